"""The ways in which people lay out labelled images: folders of classes, folders of splits, or a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskkit import (
    SPLIT_NAMES,
    WRITTEN_BY_SYSTEMS,
    DataError,
    Split,
    TableFile,
    and_more,
    find_names,
    path_text,
    read_table,
)
from taskkit_image import sections
from taskkit_image.opening import SUFFIXES, is_file

UNREAD = frozenset({".heic", ".heif"})
"""How names of files end, in lower case, that people mean as images and Pillow does not read."""


@dataclass(frozen=True)
class Listing:
    """Image files by their numbers, with the class of each; there may be millions."""

    root: Path
    names: Sequence[str]
    """The path of each, relative to the root; one that lies elsewhere is absolute."""
    labels: Sequence[str]
    splits: Sequence[Split | None]
    """None: it is for us to choose one."""
    where: Callable[[int], str]
    """The file, or the row of the table, for messages."""

    def __len__(self) -> int:
        return len(self.names)


def read_folders(root: Path) -> Listing:
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
    names = find_names(root, SUFFIXES)
    if splits:
        _refuse_beside(root, [name for name in names if "/" not in name], "folders of splits, so its split")
    labels = _labels(root, names, splits or [root])
    of_split = {folder.name: split for folder, split in splits.items()}
    found = [of_split[name.partition("/")[0]] for name in names] if splits else [None] * len(names)
    return Listing(root, names, labels, found, lambda number: str(root / names[number]))


def read_listed(table: Path, root: Path, config: sections.Folder) -> Listing:
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
    splits: Sequence[Split | None] = rows.find_splits(config.split_column, "data.split_column") or [None] * len(rows)
    _check_present(rows, paths, root, "Correct the table, or set data.root.")
    same = {label: label for label in labels}
    return Listing(root, [_inside(root, path) for path in paths], [same[each] for each in labels], splits, rows.where)


def _inside(root: Path, path: str) -> str:
    """A path of a table relative to the root, if it is in that, and with `/` alone between its parts."""
    whole = root / path
    return str(whole.relative_to(root) if whole.is_relative_to(root) else whole)


def _check_present(rows: TableFile, paths: Sequence[str], root: Path, advice: str) -> None:
    """Raise DataError, with advice, where files are missing that the rows of a table name, relative to `root`."""
    missing = [row for row, path in enumerate(paths) if not is_file(root / path)]
    if missing:
        first = missing[0]
        raise DataError(
            f"{rows.where(first)}: there is no file {root / paths[first]} ({len(missing):,} of {len(paths):,} are "
            f"missing). Every path must be that of an image, relative to {root}. {advice}"
        )


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


def _labels(root: Path, names: Sequence[str], places: Iterable[Path]) -> list[str]:
    """The class of each image of `root`: the name of the folder that it is in, of those in one of the `places`."""
    depth = len(next(iter(places)).relative_to(root).parts) + 1
    labels, beside, classes = list[str](), list[str](), dict[str, str]()
    for name in names:
        *above, _ = name.split("/", depth)
        if len(above) < depth:
            beside.append(name)
            continue
        if (whole := "/".join(above)) not in classes:
            classes[whole] = path_text(above[-1])
        labels.append(classes[whole])
    for place in places:
        here = [name.rpartition("/")[2] for name in beside if (root / name).parent == place]
        _refuse_beside(place, here, "class folders, so its class")
        for folder in _folders(place):
            if folder.relative_to(root).as_posix() not in classes:
                raise _without_images(folder)
    return labels


def _without_images(folder: Path) -> DataError:
    heic = sum(path.suffix.lower() in UNREAD for path in folder.rglob("*"))
    advice = f"Convert its {heic:,} HEIC files to JPEG." if heic else "Fill it or remove it."
    return DataError(
        f"{folder}: it has no images, though it is a class by its name. Files that end in "
        f"{', '.join(sorted(SUFFIXES))} were expected. {advice}"
    )


def _refuse_beside(root: Path, names: Sequence[str], what: str) -> None:
    if names:
        raise DataError(
            f"{root}: {names[0]} lies beside the {what} is not known{and_more(names)}. Every image must be in the "
            "folder of its class. Move it there."
        )
