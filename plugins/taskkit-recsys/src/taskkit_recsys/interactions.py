"""Your own log of events: a table of who took what when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from taskkit import DataModule, DataProblem, DataSpec, Example, Fact, Origin, Split, read_table
from taskkit_recsys import inspection, sections
from taskkit_recsys.events import Columns
from taskkit_recsys.prepared import Prepared, Source, TitleTable
from taskkit_recsys.pseudonyms import Key


class Interactions(DataModule):
    """Events of a CSV, TSV, JSON lines or Parquet file, for the next item or for ratings.

    With `pseudonymise` users' ids are hashed before anything else happens to them: facts, examples, samples, messages
    and predictions have the pseudonyms alone.
    """

    config: sections.Interactions

    def prepare(self, target: type[Fact]) -> DataSpec:
        """Read, filter, order and split the events."""
        config = self.config
        key = None
        if config.pseudonymise:
            key = Key.read(Path(config.key).expanduser()) if config.key else Key.of_user()
        events, origin = _path(config.events), "recsys.interactions"
        table = read_table(events)
        titles, origins = None, [Origin(origin, str(events), _sha256(events))]
        if config.items:
            items = _path(config.items)
            titles = TitleTable(read_table(items), config.item_column, config.title_column)
            origins.append(Origin(f"{origin} items", str(items), _sha256(items)))
        columns = Columns(config.user_column, config.item_column, config.time_column, config.rating_column)
        scale = (config.rating_scale[0], config.rating_scale[1]) if config.rating_scale else None
        source = Source(origin, table, columns, tuple(origins), config.time_unit, titles, key, scale)
        self.prepared = Prepared(source, config, target)
        return self.prepared.spec

    def examples(self, split: Split) -> Sequence[Example]:
        """The histories or the ratings of a split."""
        return self.prepared.splits[split]

    def inspect(self) -> Iterable[DataProblem]:
        """Look for doubled events, odd times, leaks, what training never saw, and skew."""
        return inspection.problems(self.prepared)


def _path(name: str) -> Path:
    return Path(name).expanduser().absolute()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
