"""What a plugin keeps of the template that it was written by: its version, which is that of taskkit, the answers, and
the packaging as it was written.

The texts themselves are kept, some kilobytes: so the difference to a later template can be told without the old one,
offline, whatever the template once was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from taskkit.errors import PluginError
from taskkit.scaffold.answers import Answers
from taskkit.scaffold.naming import Names
from taskkit.scaffold.rendering import is_packaging

FILE = ".taskkit-template.json"


@dataclass(frozen=True)
class Record:
    """The answers of a plugin, and what its packaging and continuous integration were written as."""

    answers: Answers
    version: str
    """Of the taskkit that wrote it."""
    packaging: Mapping[str, str]
    """Texts by path."""

    @classmethod
    def of(cls, answers: Answers, files: Mapping[str, str]) -> Record:
        """Of a plugin that is written now."""
        return cls(
            answers, metadata.version("taskkit-ml"), {path: text for path, text in files.items() if is_packaging(path)}
        )

    def text(self) -> str:
        """The content of the file."""
        answers = self.answers
        return (
            json.dumps(
                {
                    "about": "Read by `taskkit plugins update`: what these files were written as. Keep it unchanged.",
                    "template": self.version,
                    "answers": {
                        "name": answers.names.distribution,
                        "kinds": answers.kinds,
                        "like": answers.like,
                    },
                    "packaging": self.packaging,
                },
                indent=2,
                ensure_ascii=False,
            )
            + "\n"
        )


def read(folder: Path) -> Record:
    """The record of a plugin's folder; raises PluginError where there is none that can be read."""
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        given = content["answers"]
        answers = Answers(Names.of(given["name"]), tuple(given["kinds"]), given["like"])
        packaging = {str(name): str(text) for name, text in content["packaging"].items()}
        return Record(answers, str(content["template"]), packaging)
    except FileNotFoundError:
        raise PluginError(
            f"{path}: there is no such file. A plugin that `taskkit new plugin` wrote was expected. Name its folder."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PluginError(
            f"{path}: it cannot be read ({type(error).__name__}: {error}). What `taskkit new plugin` wrote was "
            "expected. Take it back from version control."
        ) from None
