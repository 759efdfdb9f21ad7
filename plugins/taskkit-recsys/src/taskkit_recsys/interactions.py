"""Your own log of events: a table of who took what when."""

from __future__ import annotations

from pathlib import Path

from taskkit import DataModule, Fact, Origin, Prepared, PseudonymKey, file_sha256, read_table
from taskkit_recsys import sections
from taskkit_recsys.events import Columns
from taskkit_recsys.prepared import prepare
from taskkit_recsys.source import Source, TitleTable


class Interactions(DataModule[sections.Interactions]):
    """Events of a CSV, TSV, JSON lines or Parquet file, for the next item or for ratings.

    With `pseudonymise` users' ids are hashed before anything else happens to them: facts, examples, samples, messages
    and predictions have the pseudonyms alone.
    """

    def prepare(self, target: type[Fact]) -> Prepared:
        """Read, filter, order and split the events."""
        config = self.config
        key = PseudonymKey.of(config)
        events, origin = _path(config.events), "recsys.interactions"
        table = read_table(events, config.delimiter, config.encoding)
        titles, origins = None, [Origin(origin, str(events), file_sha256(events))]
        if config.items:
            items = _path(config.items)
            about = read_table(items, config.delimiter, config.encoding)
            titles = TitleTable(about, config.item_column, config.title_column)
            origins.append(Origin(f"{origin} items", str(items), file_sha256(items)))
        columns = Columns(config.user_column, config.item_column, config.time_column, config.rating_column)
        scale = (config.rating_scale[0], config.rating_scale[1]) if config.rating_scale else None
        source = Source(origin, table, columns, tuple(origins), config.time_unit, config.date_order, titles, key, scale)
        return prepare(source, config, target)


def _path(name: str) -> Path:
    return Path(name).expanduser().absolute()
