"""Your own recordings, listed in a table with a transcript or a class for each."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from taskkit import (
    Classes,
    DataError,
    DataModule,
    DataProblem,
    DataSpec,
    Fact,
    Origin,
    Prepared,
    PseudonymKey,
    Split,
    by_share,
    file_sha256,
)
from taskkit_speech import inspection, sections
from taskkit_speech.audio import Clip
from taskkit_speech.facts import Audio, Masked, Transcript
from taskkit_speech.faults import Fault, fault, leave_out
from taskkit_speech.listed import Listed, read_listed, root_of
from taskkit_speech.probe import AudioStats, common_rate, probe
from taskkit_speech.utterances import Utterance, Utterances, by_split, fingerprint, prepared

log = logging.getLogger("taskkit")

Placed = Sequence[tuple[Listed, Split]]


class Table(DataModule[sections.Table]):
    """Recordings with what the task needs: transcripts, classes, or nothing but the sound.

    Splits that the table does not name are chosen by a hash of the speaker where it names speakers, else of the file:
    neither is in two, and none moves when others come or go. Of a table that lists train alone they are held out of
    that, for a score needs them. With `pseudonymise` speakers and files have pseudonyms from here on.
    """

    def prepare(self, target: type[Fact]) -> Prepared:
        """Read the table, decode what it lists, refuse or leave out what cannot be used, and choose the splits."""
        path = Path(str(self.config.table)).expanduser().absolute()
        key = PseudonymKey.of(self.config)
        rows = read_listed(path, self.config, _target_column(target), key)
        # What is remembered is found again by the paths of files, which may name people.
        stats = probe([row.clip for row in rows], remember="" if key else str(path))
        faults = _faults(rows, stats, target)
        at = {f"{row.where.removeprefix(f'{path}: ')} ({row.id})": one for row, one in faults.items()}
        left_out = leave_out(at, self.config.unusable, str(path), len(rows), root_of(path, self.config))
        shares = self._held_out(rows)
        placed = _placed([row for row in rows if row not in faults], shares)
        fact = self._fact(target, placed)
        splits = by_split(_utterance(row, split, fact) for row, split in placed)
        self._check_splits(splits, shares, path)
        spec = DataSpec(
            Audio(common_rate(stats[row.clip] for row, _ in placed)),
            fact,
            fingerprint("speech-table", splits, "/".join(stats[row.clip].file for row, _ in placed)),
            (Origin("speech.table", str(path), file_sha256(path)),),
            self._protocol(fact, placed, shares, left_out),
        )
        return prepared(spec, splits, partial(_problems, faults, splits, stats, fact))

    def _held_out(self, rows: Sequence[Listed]) -> Mapping[Split, float]:
        """The shares that are held out of what is not listed as val or test; `rows` are all, those left out too."""
        present = {row.split for row in rows}
        return {
            "val": 0.0 if "val" in present else self.config.val_share,
            "test": 0.0 if "test" in present else self.config.test_share,
        }

    def _fact(self, target: type[Fact], placed: Placed) -> Fact:
        if issubclass(target, Classes):
            return Classes.of(str(row.target) for row, split in placed if split == "train")
        return Transcript(self.config.language) if issubclass(target, Transcript) else Masked()

    def _check_splits(self, splits: Utterances, held_out: Mapping[Split, float], path: Path) -> None:
        """Refuse to train on nothing; warn when chance or faults left a split empty that should have some."""
        speakers = any(one.speaker for utterances in splits.values() for one in utterances)
        thing = "speaker" if speakers else "file"
        if not splits["train"]:
            raise DataError(
                f"{path}: no recording is left to train on. Each {thing} is in one split as a whole, and there "
                "are too few of them. Name the splits in a column `split`, or make data.test_share smaller."
            )
        for split, share in held_out.items():
            if not share and not splits[split] and getattr(self.config, f"{split}_share"):
                log.warning("%s: the %s split is empty: none that is listed there can be used.", path, split)
            if share and not splits[split]:
                log.warning(
                    "%s: the %s split is empty: no %s of so few falls into it by its hash. Name the splits in a column "
                    "`split`.",
                    path,
                    split,
                    thing,
                )

    def _protocol(
        self, fact: Fact, placed: Placed, held_out: Mapping[Split, float], left_out: Counter[str]
    ) -> Mapping[str, Any]:
        protocol: dict[str, Any] = {"splits": _splits_in_words([row for row, _ in placed], held_out)}
        if isinstance(fact, Transcript):
            protocol["normaliser"] = f"{self.config.normaliser} ({fact.language or 'no language'})"
        if left_out:
            protocol["left out"] = dict(left_out)
        return protocol


def _placed(rows: Sequence[Listed], held_out: Mapping[Split, float]) -> Placed:
    """The rows, each in a split."""
    return [
        (
            row,
            row.split
            if row.split in ("val", "test")
            else by_share(row.speaker or row.file, held_out["val"], held_out["test"]),
        )
        for row in rows
    ]


def _splits_in_words(rows: Sequence[Listed], held_out: Mapping[Split, float]) -> str:
    how = "by a hash of the speaker, or else the file"
    shares = ", ".join(f"{split} {share:g}" for split, share in held_out.items() if share)
    if all(row.split is None for row in rows):
        return f"{how}: {shares or 'all train'}"
    kept = sorted({row.split for row in rows if row.split and not (shares and row.split == "train")})
    parts = [f"{', '.join(kept)} as listed"] if kept else []
    return "; ".join([*parts, f"of those listed as train {shares} {how}"] if shares else parts)


def _target_column(target: type[Fact]) -> str | None:
    if issubclass(target, Transcript):
        return "text_column"
    return "label_column" if issubclass(target, Classes) else None


def _faults(rows: Sequence[Listed], stats: Mapping[Clip, AudioStats], target: type[Fact]) -> Mapping[Listed, Fault]:
    """What is wrong with those rows that cannot be used."""
    transcribed = issubclass(target, Transcript)
    faults = {row: fault(row.clip, stats[row.clip], row.target if transcribed else None) for row in rows}
    return {row: one for row, one in faults.items() if one}


def _utterance(row: Listed, split: Split, fact: Fact) -> Utterance:
    target = fact.number(str(row.target), row.where) if isinstance(fact, Classes) else row.target
    return Utterance(row.id, row.clip, target, split, row.speaker)


def _problems(
    faults: Mapping[Listed, Fault], splits: Utterances, stats: Mapping[Clip, AudioStats], fact: Fact
) -> Iterator[DataProblem]:
    """What was left out, and what is odd about the rest: duplicates, leaks, skew."""
    yield from inspection.faulty({row.id: one for row, one in faults.items()}, "warning")
    yield from inspection.problems(splits, stats, fact if isinstance(fact, Classes) else None)
