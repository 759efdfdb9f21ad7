"""What a person's files are, if they are images: in folders of classes, or listed in a table. Without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskkit import SPLIT_NAMES, Guess, UserData, class_columns
from taskkit_image.opening import SUFFIXES

SHOWN = 5
"""So many classes are named."""


def guesses(data: UserData) -> Iterator[Guess]:
    """Folders of images and tables of them."""
    yield from _in_folders(data)
    for path, columns in data.tables.items():
        listed = [name for name, cells in columns.items() if all(_is_image(Path(cell)) for cell in cells)]
        labels = [name for name in class_columns(columns) if name not in listed]
        if listed and labels and (path.parent / columns[listed[0]][0]).is_file():
            yield Guess(
                f"images that a table lists, with classes in {labels[0]!r}",
                [
                    f"every cell of {listed[0]!r} ends as names of images do, and the first of the files is there",
                    f"{labels[0]!r} has {len(set(columns[labels[0]]))} different words",
                ],
                0.95,
                _recipe(
                    {"table": str(path), "path_column": listed[0], "label_column": labels[0]}, len(columns[labels[0]])
                ),
            )


def _in_folders(data: UserData) -> Iterator[Guess]:
    images = [file for file in data.files if _is_image(file)]
    first = {file.parts[0].lower() for file in images if len(file.parts) > 1}
    splits = bool(first) and first <= SPLIT_NAMES.keys()
    depth = 1 if splits else 0
    classes = Counter(file.parts[depth] for file in images if len(file.parts) > depth + 1)
    if len(classes) < 2 or sum(classes.values()) < len(images):
        return
    named = ", ".join(f"{name} ({count})" for name, count in classes.most_common(SHOWN))
    yield Guess(
        f"images in {len(classes)} folders, one for each class" + (", by split" if splits else ""),
        [
            f"{len(images)} of {len(data.files)} files end as names of images do",
            f"they lie in {named}" + (", …" if len(classes) > SHOWN else ""),
            *([f"above these are {', '.join(sorted(first))}, as splits are called"] if splits else []),
        ],
        0.95 * len(images) / len(data.files),
        _recipe({"root": str(data.path)}, len(images)),
    )


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _recipe(data: Mapping[str, Any], images: int) -> Mapping[str, Any]:
    """A small network from scratch, tried in minutes; a batch is a part of the images, also where these are few."""
    return {
        "title": "My images",
        "seed": 7,
        "task": {"name": "image.classification"},
        "model": {"name": "image.resnet", "image_size": 64, "widths": [32, 64, 128], "depths": [1, 1, 1]},
        "data": {"name": "image.folder", **data},
        "loader": {"batch_size": max(2, min(16, images // 4))},
        "optim": {"lr": 3e-3, "weight_decay": 0.05, "warmup": 0.1},
        "trainer": {"max_epochs": 40, "check_val_every_n_epoch": 5},
    }
