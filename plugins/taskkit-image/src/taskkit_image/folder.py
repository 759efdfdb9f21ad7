"""Your own images: folders of classes, with or without splits, or a table of paths and labels."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from taskkit import Batch, Classes, DataError, DataModule, Fact, Origin, Prepared, Split, by_share, first_ids, path_text
from taskkit_image import augment, sections
from taskkit_image.examples import ImageExamples
from taskkit_image.facts import Images
from taskkit_image.layouts import Labelled, read_folders, read_listed
from taskkit_image.prepared import prepared
from taskkit_image.scan import Scanned, common_size, scan

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
        root, found = self._find()
        classes = Classes.of(image.label for image in found if image.split in (None, "train"))
        images = self._assigned(root, found)
        splits: dict[Split, ImageExamples] = {
            split: _examples(root, [image for image in images if image.split == split], classes)
            for split in ("train", "val", "test")
        }
        if not splits["train"]:
            raise DataError(f"{root}: no image is left to train on. Add images, or make data.test_share smaller.")
        scanned = scan(root, [image.path for image in images])
        rows = sorted(
            f"{image.split}/{_id(root, image)}/{image.label}/{file.sha256}"
            for image, file in zip(images, scanned, strict=True)
        )
        sha256 = hashlib.sha256("\n".join(rows).encode()).hexdigest()
        self._remark(root, images, scanned)
        facts = Images(
            self.config.channels,
            *common_size(scanned),
            max_pixels=self.config.max_pixels,
            background=self.config.background,
            min_crop=self.config.min_crop if self._crops_originals else None,
            stored_size=self.config.stored_size,
        )
        origin = Origin("image.folder", self.config.table or str(root), sha256)
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

    def _find(self) -> tuple[Path, list[Labelled]]:
        config = self.config
        if config.table is None:
            root = Path(str(config.root)).expanduser().absolute()
            return root, read_folders(root)
        table = Path(config.table).expanduser().absolute()
        root = Path(config.root).expanduser().absolute() if config.root else table.parent
        return root, read_listed(table, root, config)

    def _remark(self, root: Path, images: Sequence[Labelled], scanned: Sequence[Scanned]) -> None:
        """Say of which files something is left out: all pictures but the first, or what is damaged beside one."""
        files = [(_id(root, image), file) for image, file in zip(images, scanned, strict=True)]
        remarks = {
            "hold several pictures, of which the first is read": [name for name, file in files if file.several],
            "have EXIF that is damaged or an orientation that there is not; of these, what can be read counts": [
                name for name, file in files if file.damaged_exif
            ],
        }
        for what, found in remarks.items():
            if found:
                more = ", …" if len(found) > len(first_ids(found)) else ""
                log.warning(
                    "%s: %d of %d files %s: %s", root, len(found), len(images), what, ", ".join(first_ids(found)) + more
                )

    def _assigned(self, root: Path, images: Sequence[Labelled]) -> list[Labelled]:
        """The images, each in a split."""
        present = {image.split for image in images}
        val = 0.0 if "val" in present else self.config.val_share
        test = 0.0 if "test" in present else self.config.test_share
        return [
            image if image.split in ("val", "test") else replace(image, split=by_share(_id(root, image), val, test))
            for image in images
        ]


def _examples(root: Path, images: Sequence[Labelled], classes: Classes) -> ImageExamples:
    """The examples of one split."""
    by_id: dict[str, Labelled] = {}
    for image in images:
        first = by_id.setdefault(_id(root, image), image)
        if first is not image:
            raise DataError(
                f"{image.where}: {image.path} is in the {image.split} split twice. Each image was expected "
                f"once, and {first.where} has it already. Take one of them out."
            )
    numbers = [classes.number(image.label, image.where) for image in by_id.values()]
    return ImageExamples([image.path for image in by_id.values()], numbers, list(by_id))


def _id(root: Path, image: Labelled) -> str:
    path = image.path
    return path_text(path.relative_to(root) if path.is_relative_to(root) else path)
