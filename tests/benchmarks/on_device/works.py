"""What is timed: five recipes as they are shipped, without what is drawn at random, so that all drivers do the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from on_device import files
from on_device.files import Maker
from on_device.kept import ROOT

RECIPES = ROOT / "recipes"
PLAIN = ("compile=false", "channels_last=false")
"""What a recipe has before it is made faster."""
TINY = ("trainer.accelerator=cpu", "loader.workers=1")


@dataclass(frozen=True)
class Work:
    """A network and its data: a recipe, and what is changed of it."""

    says: str
    recipe: str
    files: Maker
    changes: Sequence[str]
    """So that nothing is drawn at random, rounding stays small in the first steps, and batches fit."""
    tuned: Sequence[str]
    """What makes it faster, in all rows that are tuned."""
    tiny: Sequence[str]

    def overrides(self, folder: Path, *, tiny: bool) -> list[str]:
        """The changes of the recipe that all rows have in common; files are made in the folder."""
        made = self.files(folder, files.TINY if tiny else files.WHOLE)
        small = [*TINY, *self.tiny] if tiny else []
        return ["loader.resident=no", "loader.drop_last=true", *PLAIN, *made, *self.changes, *small]


IMAGES = ("data.flip=false", "loader.encode=lazy", "model.pretrained=false")
SMALL_IMAGES = ("model.image_size=32", "loader.batch_size=4")
SMALL_SPEECH = ("model.layers=1", "model.width=48", "model.heads=4", "model.position_groups=4", "loader.budget=2")
NARROW = "model.conv_widths=[16, 16, 16, 16, 16, 16, 16]"

WORKS: Mapping[str, Work] = {
    "vit_b16": Work(
        "ViT-B/16, 64 images of 224 pixels",
        "vit_b16_folder",
        files.images,
        (
            *IMAGES,
            "data.augment=false",
            "task.mixup=0",
            "task.cutmix=0",
            "model.drop_path=0",
            "optim.lr=1.0e-4",
            "loader.batch_size=64",
        ),
        ("compile=true",),
        (*SMALL_IMAGES, "model.architecture=vit_tiny_patch16_224"),
    ),
    "resnet50": Work(
        "ResNet-50, 128 images of 224 pixels",
        "resnet50_folder",
        files.images,
        (*IMAGES, "optim.lr=0.003", "loader.batch_size=128"),
        ("compile=true", "channels_last=true"),
        # Smaller ones would be normalised by the few numbers of a batch, where rounding is soon no longer small.
        ("model.architecture=resnet10t", "model.image_size=64", "loader.batch_size=8"),
    ),
    "bert_base": Work(
        "BERT-base, packed texts of 16,384 tokens",
        "bert_base_table",
        files.texts,
        ("model.dropout=0", "model.head_dropout=0"),
        ("compile=true",),
        ("loader.budget=256", "model.max_length=64"),
    ),
    "wav2vec2_base": Work(
        "Wav2Vec2 of the size of BASE with CTC, 160 s of sound",
        "wav2vec2_librispeech",
        files.librispeech,
        (
            "model.dropout=0",
            "model.layer_drop=0",
            "model.mask_time=0",
            "model.mask_channels=0",
            "trainer.accumulate_grad_batches=1",
            "loader.budget=160",
        ),
        ("compile=true",),
        (*SMALL_SPEECH, NARROW),
    ),
    "sasrec": Work(
        "SASRec, 128 histories of up to 200 films",
        "sasrec_movielens_1m",
        files.ratings,
        ("model.dropout=0", "trainer.precision=bf16-mixed"),
        ("compile=true",),
        ("model.width=16", "model.length=20", "loader.batch_size=4"),
    ),
}
