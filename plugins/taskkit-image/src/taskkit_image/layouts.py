"""The ways in which people lay out labelled images: folders of classes, folders of splits, or a table."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskkit import SPLIT_NAMES, DataError, Split, and_more, read_table
from taskkit_image.decode import SUFFIXES

log = logging.getLogger("taskkit")


@dataclass(frozen=True)
class Labelled:
    """One image file and its class; no split: it is for us to choose one."""

    path: Path
    label: str
    split: Split | None
    where: str
    """The file, or the row of the table, for messages."""


def read_folders(root: Path) -> list[Labelled]:
    """Images in class folders of `root`, or in class folders of its train, val and test folders.

    A class folder may have folders of its own. Raises DataError for folders that mix both, that have no
    images, and for images that lie beside class folders.
    """
    folders = _folders(root)
    if not folders:
        raise DataError(f"{root}: it has no folders. One folder of images for each class was expected.")
    splits = {folder: SPLIT_NAMES[folder.name.lower()] for folder in folders if folder.name.lower() in SPLIT_NAMES}
    if not splits:
        return list(_classes(root, None))
    _check_splits(root, folders, splits)
    return [image for folder, split in splits.items() for image in _classes(folder, split)]


def read_listed(
    table: Path, root: Path, path_column: str, label_column: str, split_column: str | None
) -> list[Labelled]:
    """Images listed in a CSV, TSV or Parquet file; paths are relative to `root`.

    Raises DataError for a table that cannot be read, columns that it lacks, cells without a path, a label
    or a split, and files that do not exist.
    """
    rows = read_table(table)
    paths = rows.filled(path_column, "data.path_column")
    labels = rows.filled(label_column, "data.label_column")
    splits: Sequence[Split | None] = [None] * len(rows)
    if split_column or "split" in rows:
        splits = rows.splits(split_column or "split", "data.split_column")
    images = [
        Labelled(root / path, label, split, rows.where(row))
        for row, (path, label, split) in enumerate(zip(paths, labels, splits, strict=True))
    ]
    missing = [image for image in images if not image.path.is_file()]
    if missing:
        first = missing[0]
        raise DataError(
            f"{first.where}: there is no file {first.path}{and_more(missing)}. Every path must be that of an "
            f"image, relative to {root}. Correct the table, or set data.root."
        )
    return images


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _check_splits(root: Path, folders: Sequence[Path], splits: dict[Path, Split]) -> None:
    names = ", ".join(folder.name for folder in splits)
    if others := [folder.name for folder in folders if folder not in splits]:
        raise DataError(
            f"{root}: it has folders of splits ({names}) and other folders ({', '.join(others[:5])}). "
            "Either only train, val and test, or only class folders were expected. Move the others out."
        )
    if len(set(splits.values())) < len(splits):
        raise DataError(f"{root}: two of its folders ({names}) are the same split. Join them.")
    if "train" not in splits.values():
        raise DataError(f"{root}: it has {names} but no folder train. Name the folder of training images train.")


def _classes(root: Path, split: Split | None) -> Iterator[Labelled]:
    """The images of each class folder of `root`."""
    if stray := [path.name for path in root.iterdir() if _is_image(path)]:
        raise DataError(
            f"{root}: {stray[0]} lies beside the class folders{and_more(stray)}, so its class is not known. "
            "Every image must be in the folder of its class. Move it there."
        )
    for folder in _folders(root):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        images = [path for path in files if _is_image(path)]
        if not images:
            raise DataError(
                f"{folder}: it has no images, though it is a class by its name. Files that end in "
                f"{', '.join(sorted(SUFFIXES))} were expected. Fill it or remove it."
            )
        if len(images) < len(files):
            other = next(path for path in files if not _is_image(path))
            log.warning(
                "%s: %d files are left out: not images by their names, such as %s",
                folder,
                len(files) - len(images),
                other.name,
            )
        for path in images:
            yield Labelled(path, folder.name, split, str(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
