"""Which of five languages is spoken: the voice prompts of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from taskkit import Classes, DataModule, DataProblem, DataSpec, Example, Fact, Split
from taskkit_speech import inspection, sections
from taskkit_speech.facts import Audio
from taskkit_speech.prompts import SAMPLE_RATE, VOICES, read_prompts
from taskkit_speech.utterances import by_split, examples, fingerprint, for_task


class Languages(DataModule):
    """The prompts of all languages, with the language of each as its class, split as `speech.prompts` splits them.

    Each language has one speaker, and English and Spanish share theirs: what tells the others apart may be the voice as
    much as the language.
    """

    config: sections.Languages

    def prepare(self, target: type[Fact]) -> DataSpec:
        """Fetch the recordings of all languages."""
        root = self.config.root
        read = {language: read_prompts(language, root and str(Path(root) / language)) for language in VOICES}
        self.classes = Classes.of(
            (name for name, part in read.items() for one in part.utterances if one.split == "train"), VOICES
        )
        self.splits = by_split(
            for_task(
                [
                    replace(one, id=f"{language}/{one.id}", target=self.classes.number(language, language))
                    for language, part in read.items()
                    for one in part.utterances
                ],
                target,
            )
        )
        protocol = {
            "speakers": "one for each language, in all splits; English and Spanish have the same",
            "splits": "by a hash of each sentence: 75 % train, 10 % val, 15 % test",
        }
        origins = tuple(origin for part in read.values() for origin in part.origins)
        name = fingerprint("prompt-languages", self.splits, "/".join(origin.sha256 for origin in origins))
        return DataSpec(Audio(SAMPLE_RATE), self.classes, name, origins, protocol)

    def examples(self, split: Split) -> Sequence[Example]:
        """The prompts of a split, as clips."""
        return examples(self.splits[split])

    def inspect(self) -> Iterable[DataProblem]:
        """Listen to all; look for odd ones, duplicates, leaks and skew."""
        return inspection.problems(self.splits, classes=self.classes)
