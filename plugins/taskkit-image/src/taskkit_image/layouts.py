"""The ways in which people lay out labelled images: folders of classes, folders of splits, or a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskkit import (
    SPLIT_NAMES,
    WRITTEN_BY_SYSTEMS,
    DataError,
    Split,
    TableFile,
    and_more,
    find_files,
    path_text,
    read_table,
)
from taskkit_image import sections
from taskkit_image.opening import SUFFIXES, is_file

UNREAD = frozenset({".heic", ".heif"})
"""How names of files end, in lower case, that people mean as images and Pillow does not read."""


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
        raise DataError(
            f"{root}: it has no folders. One folder of images for each class was expected. Put them into such, or list "
            "them with their classes in a table, which data.table names."
        )
    splits = {folder: SPLIT_NAMES[folder.name.lower()] for folder in folders if folder.name.lower() in SPLIT_NAMES}
    if splits:
        _check_splits(root, folders, splits)
    files = find_files(root, SUFFIXES)
    if not splits:
        return list(_classes(root, None, files))
    _refuse_beside(root, files, "folders of splits, so its split")
    return [
        image
        for folder, split in splits.items()
        for image in _classes(folder, split, [path for path in files if folder in path.parents])
    ]


def read_listed(table: Path, root: Path, config: sections.Folder) -> list[Labelled]:
    """Images listed in a table; paths are relative to `root`.

    Raises DataError for a table that cannot be read, columns that it lacks, cells without a path, a label
    or a split, and files that do not exist.
    """
    rows = read_table(table, config.delimiter, config.encoding)
    rows.check_columns(
        {
            "data.path_column": config.path_column,
            "data.label_column": config.label_column,
            "data.split_column": config.split_column,
        }
    )
    paths = rows.paths(config.path_column, "data.path_column", root)
    labels = rows.filled(config.label_column, "data.label_column")
    rows.remark_on_numbers(config.label_column, labels)
    found = rows.find_splits(config.split_column, "data.split_column")
    splits: Sequence[Split | None] = found or [None] * len(rows)
    files = present(rows, paths, root, "Correct the table, or set data.root.")
    return [
        Labelled(path, label, split, rows.where(row))
        for row, (path, label, split) in enumerate(zip(files, labels, splits, strict=True))
    ]


def present(rows: TableFile, paths: Sequence[str], root: Path, advice: str) -> list[Path]:
    """The files that the rows of a table name, relative to `root`; raises DataError, with advice, for missing ones."""
    files = [root / path for path in paths]
    missing = [row for row, path in enumerate(files) if not is_file(path)]
    if missing:
        first = missing[0]
        raise DataError(
            f"{rows.where(first)}: there is no file {files[first]} ({len(missing):,} of {len(files):,} are missing). "
            f"Every path must be that of an image, relative to {root}. {advice}"
        )
    return files


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not _is_passed_over(path.name))


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in WRITTEN_BY_SYSTEMS


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


def _classes(root: Path, split: Split | None, files: Sequence[Path]) -> Iterator[Labelled]:
    """The images of each class folder of `root`, which are among `files`."""
    _refuse_beside(root, files, "class folders, so its class")
    depth, by_folder = len(root.parts), defaultdict(list)
    for path in files:
        by_folder[path.parts[depth]].append(path)
    for folder in _folders(root):
        if folder.name not in by_folder:
            heic = sum(path.suffix.lower() in UNREAD for path in folder.rglob("*"))
            advice = f"Convert its {heic:,} HEIC files to JPEG." if heic else "Fill it or remove it."
            raise DataError(
                f"{folder}: it has no images, though it is a class by its name. Files that end in "
                f"{', '.join(sorted(SUFFIXES))} were expected. {advice}"
            )
        for path in by_folder[folder.name]:
            yield Labelled(path, path_text(folder.name), split, str(path))


def _refuse_beside(root: Path, files: Sequence[Path], what: str) -> None:
    if stray := [path.name for path in files if path.parent == root]:
        raise DataError(
            f"{root}: {stray[0]} lies beside the {what} is not known{and_more(stray)}. Every image must be in the "
            "folder of its class. Move it there."
        )
