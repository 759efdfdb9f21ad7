"""What is wrong with examples of any modality: the same one twice, in two splits, under two targets; rare classes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from taskkit.contracts.facts import Classes, DataProblem, Severity, Split

SKEW = 10
"""The commonest class may have this many times the examples of the rarest before it is worth a warning."""
NAMED = 10
"""So many examples are named in one problem."""


@dataclass(frozen=True)
class ExampleLook:
    """What one look at an example found."""

    split: Split
    id: str
    digest: Hashable
    """Equal for inputs that are the same; None: not to be compared."""
    target: Hashable = None

    def __str__(self) -> str:
        return f"{self.split}/{self.id}"


def find_duplicates(looks: Iterable[ExampleLook], thing: str) -> Iterator[DataProblem]:
    """Say which examples are the same: in one split, in several (an error), with different targets (an error).

    Where none are, that is said too.

    `thing` is what the modality calls an example: `image`, `text`, `recording`.
    """
    groups = defaultdict(list)
    for look in looks:
        if look.digest is not None:
            groups[look.digest].append(look)
    kinds: dict[str, list[list[ExampleLook]]] = {"leak": [], "duplicate": [], "label": []}
    for group in groups.values():
        if len(group) > 1:
            kinds["leak" if len({look.split for look in group}) > 1 else "duplicate"].append(group)
            if len({look.target for look in group}) > 1:
                kinds["label"].append(group)
    said = {
        "leak": f"in more than one split: the score counts what was learnt by heart. Keep each {thing} in one of them.",
        "duplicate": "more than once in one split.",
        "label": "there with different targets. Correct their labels.",
    }
    for kind, found in kinds.items():
        if found:
            which = f"The same {thing} is" if len(found) == 1 else f"{len(found)} times the same {thing} is"
            severity: Severity = "warning" if kind == "duplicate" else "error"
            yield DataProblem(severity, kind, f"{which} {said[kind]}", first_ids([x for group in found for x in group]))
    if groups and not any(kinds.values()):
        compared = sum(map(len, groups.values()))
        yield DataProblem("info", "copies", f"{compared:,} {thing}s were compared; none is there twice.")


def find_imbalance(targets: Mapping[Split, Sequence[int]], classes: Classes, thing: str) -> Iterator[DataProblem]:
    """Count the classes of each split; say which a split lacks, and when training examples of one are rare.

    `targets` are the numbers of the classes of all examples, by split.
    """
    yield DataProblem("info", "classes", _counted(targets, classes))
    for split, numbers in targets.items():
        present = set(numbers)
        empty = [name for number, name in enumerate(classes.names) if number not in present]
        if len(numbers) and empty:
            yield DataProblem(
                "error" if split == "train" else "warning",
                "empty",
                f"{len(empty)} of {len(classes.names)} classes have no {thing} in the {split} split: "
                f"{', '.join(empty[:NAMED])}.",
            )
    counts = Counter(targets["train"])
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] > SKEW * counts[least]:
        yield DataProblem(
            "warning",
            "skew",
            f"Class {classes.names[most]!r} has {counts[most]} training {thing}s, {classes.names[least]!r} has "
            f"{counts[least]}. Accuracy hides what happens to the rare ones: set task.class_weights=balanced, and read "
            "the macro F1.",
        )


def find_missing_splits(splits: Collection[Split]) -> Iterator[DataProblem]:
    """Say what goes without of the splits that there are: a choice among checkpoints, a score."""
    without = {
        "val": "There is no validation split: the last checkpoint is kept, whether or not it is the best.",
        "test": "There is no test split: a run ends without a test score.",
    }
    for split, message in without.items():
        if split not in splits:
            yield DataProblem("warning", "split", f"{message} Hold one out, or name one in the data.")


def split_sizes(sizes: Mapping[Split, int | None]) -> DataProblem:
    """Say how many examples each split has; None: a stream, which nobody counted."""
    counts = [f"a stream of {split}" if size is None else f"{size:,} {split}" for split, size in sizes.items()]
    return DataProblem("info", "sizes", f"{', '.join(counts)} examples.")


def _counted(targets: Mapping[Split, Sequence[int]], classes: Classes) -> str:
    """How many examples of each class each split has, the largest classes of the training split first."""
    counts = {split: Counter(numbers) for split, numbers in targets.items() if len(numbers)}
    order = sorted(range(len(classes)), key=lambda number: -counts.get("train", Counter())[number])
    names = [classes.names[number] for number in order[:NAMED]]
    width = max(map(len, names))
    rows = [
        f"  {name:<{width}}  " + ", ".join(f"{count[number]:,} {split}" for split, count in counts.items())
        for name, number in zip(names, order, strict=False)
    ]
    left = len(classes) - len(rows)
    return "\n".join([f"{len(classes)} classes:", *rows, *([f"  and {left:,} smaller ones"] if left else [])])


def first_ids(looks: Sequence[object]) -> tuple[str, ...]:
    """The first few of what is concerned, as text."""
    return tuple(str(look) for look in looks[:NAMED])
