"""Which of five languages is spoken: the voice prompts of all of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from taskkit import Classes, DataModule, DataSpec, Fact, Prepared
from taskkit_speech import inspection, sections
from taskkit_speech.facts import Audio
from taskkit_speech.prompts import SAMPLE_RATE, VOICES, read_prompts
from taskkit_speech.utterances import by_split, fingerprint, for_task, prepared


class Languages(DataModule[sections.Languages]):
    """The prompts of all languages, with the language of each as its class, split as `speech.prompts` splits them.

    Each language has one speaker, and English and Spanish share theirs: what tells the others apart may be the voice as
    much as the language.
    """

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch the recordings of all languages."""
        root = self.config.root
        read = {language: read_prompts(language, root and str(Path(root) / language)) for language in VOICES}
        classes = Classes.of(
            (name for name, part in read.items() for one in part.utterances if one.split == "train"), VOICES
        )
        utterances = [
            replace(one, id=f"{language}/{one.id}", target=classes.number(language, language))
            for language, part in read.items()
            for one in part.utterances
        ]
        splits = by_split(for_task(utterances, target))
        protocol = {
            "speakers": "one for each language, in all splits; English and Spanish have the same",
            "splits": "by a hash of each sentence: 75 % train, 10 % val, 15 % test",
        }
        origins = tuple(origin for part in read.values() for origin in part.origins)
        name = fingerprint("prompt-languages", splits, "/".join(origin.sha256 for origin in origins))
        spec = DataSpec(Audio(SAMPLE_RATE), classes, name, origins, protocol)
        return prepared(spec, splits, partial(inspection.problems, splits, classes=classes))
