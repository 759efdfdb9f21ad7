"""Your own images: folders of classes, with or without splits, or a table of paths and labels."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from taskkit import Batch, Classes, DataError, DataModule, Fact, Origin, Prepared, Split, by_share, first_ids, path_text
from taskkit_image import augment, sections
from taskkit_image.examples import Files, ImageExamples
from taskkit_image.facts import Images
from taskkit_image.layouts import Listing, read_folders, read_listed
from taskkit_image.prepared import prepared
from taskkit_image.scan import Scans, scan

log = logging.getLogger("taskkit")


class Folder(DataModule[sections.Folder]):
    """Labelled image files.

    The classes are those of the training images. A split that the layout does not have is taken from these
    by a hash of each path, so an image never moves to another split when others come or go.
    """

    def prepare(self, target: type[Fact]) -> Prepared:
        """Find the images, hash and measure them, and choose the splits that the layout leaves open.

        Raises DataError for a layout or a table that cannot be understood, an image that is in a split twice, a class
        without training images, and when no image is left to train on.
        """
        found = self._find()
        classes = Classes.of(
            label for label, split in zip(found.labels, found.splits, strict=True) if split in (None, "train")
        )
        ids = [name if name.isascii() else path_text(name) for name in found.names]
        placed = self._placed(found, ids)
        splits: dict[Split, ImageExamples] = {
            split: _examples(found, split, ids, [at for at, each in enumerate(placed) if each == split], classes)
            for split in ("train", "val", "test")
        }
        if not splits["train"]:
            raise DataError(f"{found.root}: no image is left to train on. Add images, or make data.test_share smaller.")
        scans = scan(found.root, found.names)
        sha256 = _sha256(found, ids, placed, scans)
        _remark(found.root, ids, scans)
        facts = Images(
            self.config.channels,
            *scans.size,
            max_pixels=self.config.max_pixels,
            background=self.config.background,
            min_crop=self.config.min_crop if self._crops_originals else None,
            stored_size=self.config.stored_size,
        )
        origin = Origin("image.folder", self.config.table or str(found.root), sha256)
        return prepared(splits, facts, classes.names, f"folder-{sha256}", origin)

    @property
    def augment_settings(self) -> Sequence[str]:
        """Of originals parts are cut out as the facts say, which are those of packing."""
        return ("flip",) if self._crops_originals else ("augment", "min_crop", "flip")

    def augment(self, batch: Batch) -> Batch:
        """Cut out, stretch and mirror the images, if `augment` is set; of originals parts were cut out before."""
        if not self.config.augment:
            return batch
        if self._crops_originals:
            return {**batch, "image": augment.flip(batch["image"])} if self.config.flip else batch
        return {**batch, "image": augment.resized_crop(batch["image"], self.config.min_crop, self.config.flip)}

    @property
    def _crops_originals(self) -> bool:
        return self.config.augment and self.config.crop_from == "original"

    def _find(self) -> Listing:
        config = self.config
        if config.table is None:
            return read_folders(Path(str(config.root)).expanduser().absolute())
        table = Path(config.table).expanduser().absolute()
        root = Path(config.root).expanduser().absolute() if config.root else table.parent
        return read_listed(table, root, config)

    def _placed(self, found: Listing, ids: Sequence[str]) -> list[Split]:
        """The split of each image."""
        present = set(found.splits)
        val = 0.0 if "val" in present else self.config.val_share
        test = 0.0 if "test" in present else self.config.test_share
        return [
            split if split in ("val", "test") else by_share(each, val, test)
            for each, split in zip(ids, found.splits, strict=True)
        ]


def _examples(
    found: Listing, split: Split, ids: Sequence[str], numbers: Sequence[int], classes: Classes
) -> ImageExamples:
    """The examples of a split, of which these are the `numbers`."""
    first: dict[str, int] = {}
    known: dict[str, int] = {}
    for at in numbers:
        if first.setdefault(ids[at], at) != at:
            raise _twice(found, split, first[ids[at]], at)
        if (label := found.labels[at]) not in known:
            known[label] = classes.number(label, found.where(at))
    files = Files(found.root, [found.names[at] for at in numbers])
    return ImageExamples(files, [known[found.labels[at]] for at in numbers], [ids[at] for at in numbers])


def _twice(found: Listing, split: Split, first: int, second: int) -> DataError:
    return DataError(
        f"{found.where(second)}: {found.root / found.names[second]} is in the {split} split twice. Each image was "
        f"expected once, and {found.where(first)} has it already. Take one of them out."
    )


def _sha256(found: Listing, ids: Sequence[str], placed: Sequence[Split], scans: Scans) -> str:
    """A hash of all images in the order of their splits and ids, with their classes and contents."""
    digest, lead = hashlib.sha256(), ""
    for at in sorted(range(len(ids)), key=lambda at: f"{placed[at]}/{ids[at]}/{found.labels[at]}/"):
        digest.update(f"{lead}{placed[at]}/{ids[at]}/{found.labels[at]}/{scans.sha256(at)}".encode())
        lead = "\n"
    return digest.hexdigest()


def _remark(root: Path, ids: Sequence[str], scans: Scans) -> None:
    """Say of which files something is left out: all pictures but the first, or what is damaged beside one."""
    remarks = {
        "hold several pictures, of which the first is read": scans.several,
        "have EXIF that is damaged or an orientation that there is not; of these, what can be read counts": (
            scans.damaged_exif
        ),
    }
    for what, numbers in remarks.items():
        if numbers:
            names = [ids[number] for number in numbers]
            more = ", …" if len(names) > len(first_ids(names)) else ""
            log.warning(
                "%s: %d of %d files %s: %s", root, len(names), len(ids), what, ", ".join(first_ids(names)) + more
            )
