"""Data sets of the Hugging Face hub, by name: fetched once by the `datasets` library, then read from Parquet files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from taskkit import DataError, DataModule, Download, Fact, Local, Prepared, Split, fetch
from taskkit_text import sections, shards
from taskkit_text.examples import fingerprint, placed
from taskkit_text.prepared import prepared
from taskkit_text.table import Columns, class_names, how_split, read_rows


class HuggingFace(DataModule[sections.HuggingFace]):
    """Labelled texts of the hub, in its own splits; one that it lacks is taken from training by a hash of each text."""

    def prepare(self, target: type[Fact]) -> Prepared:
        """Fetch the splits, and choose those that it does not have; raises SourceError or DataError."""
        config = self.config
        which = " ".join(filter(None, (config.dataset, config.subset, config.revision)))
        folder, origin = fetch(
            f"huggingface-{config.dataset}",
            {"*.parquet": None},
            [
                Local(config.root),
                Download(f"Hugging Face {which}", partial(_download, config.dataset, config.subset, config.revision)),
            ],
            licence="see its page on the hub",
            citation=f"https://huggingface.co/datasets/{config.dataset}",
        )
        tables = {split: shards.read(paths) for split, paths in self._files(folder).items()}
        columns = Columns(config.text_column, config.pair_column, config.label_column)
        found = [row for split, table in tables.items() for row in read_rows(table, columns, split)]
        rows = placed(found, config.val_share, config.test_share)
        splits = how_split(found, config.val_share, config.test_share, columns)
        names = class_names(tables["train"], config.label_column)
        return prepared(rows, f"huggingface-{fingerprint(rows)}", (origin,), {"splits": splits}, names)

    def _files(self, folder: Path) -> dict[Split, list[Path]]:
        """The files of each split that is used; raises DataError when one that is named is not there."""
        config = self.config
        there = shards.grouped(folder)
        named: dict[Split, str | None] = {
            "train": config.train_split,
            "val": config.val_split,
            "test": config.test_split,
        }
        usual: dict[Split, str] = {"val": "validation", "test": "test"}
        taken = set(named.values())
        for split, name in usual.items():
            if named[split] is None and name in there and name not in taken:
                named[split] = name
        for split, wanted in named.items():
            if wanted is not None and wanted not in there:
                raise DataError(
                    f"{folder}: {config.dataset} has no split {wanted!r}. It has {', '.join(there) or 'none'}. Set "
                    f"data.{split}_split to one of them."
                )
        return {split: there[name] for split, name in named.items() if name is not None}


def _download(dataset: str, subset: str | None, revision: str | None, folder: Path) -> None:
    try:
        import datasets
    except ImportError:
        raise ImportError(
            "the datasets library is not installed. Install it: pip install 'taskkit-text[hub]'"
        ) from None
    # Before 4.0 the library runs code that a data set brings, or stops to ask whether it may.
    for split, rows in datasets.load_dataset(dataset, subset, revision=revision, trust_remote_code=False).items():
        rows.to_parquet(folder / f"{split}.parquet")
