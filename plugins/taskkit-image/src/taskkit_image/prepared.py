"""Images that were read and split, as the host takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from taskkit import DataSpec, Origin, Prepared, Split
from taskkit_image import inspection
from taskkit_image.examples import ImageExamples
from taskkit_image.facts import Images


def prepared(
    splits: Mapping[Split, ImageExamples], images: Images, names: Sequence[str], fingerprint: str, origin: Origin
) -> Prepared:
    """The splits with their facts, and a look for what is wrong with them; `names` are those of the classes."""
    classes = splits["train"].classes(names)
    spec = DataSpec(images, classes, fingerprint, (origin,))
    return Prepared(spec, splits, partial(inspection.problems, splits, classes, images))
