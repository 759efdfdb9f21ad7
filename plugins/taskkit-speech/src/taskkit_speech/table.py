"""Your own recordings, listed in a table with a transcript or a class for each."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from taskkit import Classes, DataError, DataModule, DataProblem, DataSpec, Example, Fact, Origin, Split, by_share
from taskkit_speech import inspection, sections
from taskkit_speech.facts import Audio, Masked, Transcript
from taskkit_speech.faults import fault, sift
from taskkit_speech.listed import Listed, read_listed
from taskkit_speech.listen import common_rate, listen
from taskkit_speech.utterances import Utterance, by_split, examples, fingerprint

log = logging.getLogger("taskkit")


class Table(DataModule):
    """Recordings with what the task asks for: transcripts, classes, or nothing but the sound.

    Splits that the table does not name are chosen by a hash of the speaker where it names speakers, else of the file:
    neither is in two, and none moves when others come or go. Of a table that lists train alone they are held out of
    that, for a score needs them.
    """

    config: sections.Table

    def prepare(self, target: type[Fact]) -> DataSpec:
        """Read the table, listen to what it lists, refuse or leave out what cannot be used, and choose the splits."""
        self.target = target
        self.path = Path(str(self.config.table)).expanduser().absolute()
        rows = read_listed(self.path, self.config, self._target_column())
        self.heard = listen([row.clip for row in rows], remember=str(self.path))
        left_out = self._find_faults(rows)
        usable = [row for row in rows if row not in self.faults]
        placed = self._place(usable)
        self.classes = (
            Classes.of(str(row.target) for row, split in placed if split == "train")
            if issubclass(target, Classes)
            else None
        )
        self.splits = by_split(self._utterance(row, split) for row, split in placed)
        self._check_splits()
        return DataSpec(
            Audio(common_rate(self.heard[row.clip] for row, _ in placed)),
            self._fact(),
            fingerprint("speech-table", self.splits, "/".join(self.heard[row.clip].file for row, _ in placed)),
            (Origin("speech.table", str(self.path), hashlib.sha256(self.path.read_bytes()).hexdigest()),),
            self._protocol(usable, left_out),
        )

    def examples(self, split: Split) -> Sequence[Example]:
        """The recordings of a split, as clips."""
        return examples(self.splits[split])

    def inspect(self) -> Iterable[DataProblem]:
        """Tell what was left out and what was heard: odd recordings, duplicates, leaks, skew."""
        yield from inspection.faulty({row.id: found for row, found in self.faults.items()}, "warning")
        yield from inspection.problems(self.splits, self.heard, self.classes)

    def _target_column(self) -> str | None:
        if issubclass(self.target, Transcript):
            return "text_column"
        return "label_column" if issubclass(self.target, Classes) else None

    def _find_faults(self, rows: Sequence[Listed]) -> Mapping[str, int]:
        """How many rows cannot be used, by why; raises DataError unless these are to be skipped."""
        transcribed = issubclass(self.target, Transcript)
        found = {row: fault(self.heard[row.clip], row.target if transcribed else None) for row in rows}
        self.faults = {row: one for row, one in found.items() if one}
        said = {f"{row.where.removeprefix(f'{self.path}: ')} ({row.id})": one for row, one in self.faults.items()}
        return sift(said, self.config.unusable, str(self.path), len(rows))

    def _place(self, rows: Sequence[Listed]) -> list[tuple[Listed, Split]]:
        """The rows, each in a split."""
        shares = self._held_out(rows)
        return [
            (row, row.split if row.split in ("val", "test") else by_share(row.speaker or row.file, **shares))
            for row in rows
        ]

    def _held_out(self, rows: Sequence[Listed]) -> Mapping[str, float]:
        """The shares that are held out of what is not listed as val or test."""
        present = {row.split for row in rows}
        return {
            "val": 0.0 if "val" in present else self.config.val_share,
            "test": 0.0 if "test" in present else self.config.test_share,
        }

    def _utterance(self, row: Listed, split: Split) -> Utterance:
        target = self.classes.number(str(row.target), row.where) if self.classes else row.target
        return Utterance(row.id, row.clip, target, split, row.speaker)

    def _fact(self) -> Fact:
        if self.classes:
            return self.classes
        return Transcript(self.config.language) if issubclass(self.target, Transcript) else Masked()

    def _check_splits(self) -> None:
        """Refuse to train on nothing; say when chance left a split empty that was asked for."""
        speakers = any(one.speaker for utterances in self.splits.values() for one in utterances)
        thing = "speaker" if speakers else "file"
        if not self.splits["train"]:
            raise DataError(
                f"{self.path}: no recording is left to train on. Each {thing} is in one split as a whole, and there "
                "are too few of them. Name the splits in a column `split`, or make data.test_share smaller."
            )
        shares: dict[Split, float] = {"val": self.config.val_share, "test": self.config.test_share}
        for split, share in shares.items():
            if share and not self.splits[split]:
                log.warning(
                    "%s: the %s split is empty: no %s of so few falls into it by its hash. Name the splits in a column "
                    "`split`.",
                    self.path,
                    split,
                    thing,
                )

    def _protocol(self, rows: Sequence[Listed], left_out: Mapping[str, int]) -> Mapping[str, Any]:
        config = self.config
        protocol: dict[str, Any] = {"splits": self._splits_in_words(rows)}
        if issubclass(self.target, Transcript):
            protocol["normaliser"] = f"{config.normaliser} ({config.language or 'no language'})"
        if left_out:
            protocol["left out"] = dict(left_out)
        return protocol

    def _splits_in_words(self, rows: Sequence[Listed]) -> str:
        how, held_out = "by a hash of the speaker, or else the file", self._held_out(rows)
        shares = ", ".join(f"{split} {share:g}" for split, share in held_out.items() if share)
        if all(row.split is None for row in rows):
            return f"{how}: {shares or 'all train'}"
        kept = sorted({row.split for row in rows if row.split and not (shares and row.split == "train")})
        said = [f"{', '.join(kept)} as listed"] if kept else []
        return "; ".join([*said, f"of those listed as train {shares} {how}"] if shares else said)
