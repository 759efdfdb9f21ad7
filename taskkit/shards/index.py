"""The index of shards: what they hold and where in which file each example is."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from taskkit.contracts.facts import Split
from taskkit.errors import DataError
from taskkit.shards.place import Place

if TYPE_CHECKING:
    import pyarrow as pa

INDEX, EXAMPLES, CATALOGUES = "index.json", "examples.parquet", "catalogues.json"
"""What there is beside the tars; the index is written last."""
FORMAT, VERSION = "taskkit shards", 1
_NAME, _SHA256 = re.compile(r"[a-z]+-[0-9]+\.tar"), re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Shard:
    """A tar of examples that follow one another in a split."""

    name: str
    split: Split
    size: int
    """In bytes."""
    sha256: str
    examples: int

    def __post_init__(self) -> None:
        """Raise ValueError for a name or a hash that would lead elsewhere."""
        if not (_NAME.fullmatch(self.name) and _SHA256.fullmatch(self.sha256)):
            raise ValueError(f"{self.name!r} with {self.sha256!r} is no shard")


@dataclass(frozen=True)
class About:
    """What the examples are, and what they were asked for."""

    data: Mapping[str, Any]
    """The data section of the recipe, as plain data."""
    asked: str
    """The reference of the fact that the task judges."""
    spec: Mapping[str, Any]
    """The facts, as plain data."""
    catalogues: Mapping[str, Sequence[str]]
    """The names of the catalogues in the facts, by their hash."""


@dataclass(frozen=True)
class Index:
    """All that is known of shards before one is opened."""

    about: About
    shards: Sequence[Shard]
    examples: pa.Table
    """In the order of the shards: `id`, `start` and `size` in its shard, and `crc32` of these bytes."""


def save(place: Place, index: Index) -> None:
    """Write the index: its tables, then the file that makes them count. Raises SourceError."""
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(index.examples, file, compression="zstd")
    tables = {EXAMPLES: file.getvalue(), CATALOGUES: json.dumps(index.about.catalogues).encode()}
    for name, content in tables.items():
        place.write_at_once(name, content)
    about = asdict(index.about)
    del about["catalogues"]
    whole = {
        "format": FORMAT,
        "version": VERSION,
        **about,
        "shards": [asdict(shard) for shard in index.shards],
        "tables": {name: _sha256(content) for name, content in tables.items()},
    }
    place.write_at_once(INDEX, json.dumps(whole, indent=1).encode())


def load(place: Place) -> Index:
    """Read the index, and look whether all shards are there in full; raises DataError where they are not."""
    whole = _read(place)
    try:
        tables = {name: _table(place, name, sha256) for name, sha256 in whole["tables"].items()}
        about = About(whole["data"], whole["asked"], whole["spec"], json.loads(tables[CATALOGUES]))
        shards = [Shard(**each) for each in whole["shards"]]
        import pyarrow.parquet as pq

        index = Index(about, shards, pq.read_table(io.BytesIO(tables[EXAMPLES])).combine_chunks())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(place, f"it cannot be read ({type(error).__name__}: {error})") from None
    if len(index.examples) != sum(shard.examples for shard in shards):
        raise _damaged(place, f"{EXAMPLES} has {len(index.examples):,} examples, others than its shards")
    _check_sizes(place, shards)
    return index


def _read(place: Place) -> dict[str, Any]:
    try:
        content = place.read(INDEX)
    except FileNotFoundError:
        raise DataError(
            f"{place}: there is no {INDEX}. Shards that `taskkit data pack` wrote to the end were expected. Correct "
            "loader.shards, or pack the data again."
        ) from None
    try:
        whole = json.loads(content)
    except ValueError:
        raise _damaged(place, "it is no JSON") from None
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise DataError(f"{place}/{INDEX}: this is not the index of taskkit's shards. Correct loader.shards.")
    if (version := whole.get("version")) != VERSION:
        raise DataError(
            f"{place}/{INDEX}: its version is {version}. Version {VERSION} was expected. Use the taskkit that wrote "
            "it, or pack the data again."
        )
    return whole


def _table(place: Place, name: str, sha256: str) -> bytes:
    try:
        content = place.read(name)
    except FileNotFoundError:
        raise _damaged(place, f"{name} is missing") from None
    if _sha256(content) != sha256:
        raise _damaged(place, f"{name} is another than the one that was written with it")
    return content


def _damaged(place: Place, why: str) -> DataError:
    return DataError(
        f"{place}/{INDEX}: the index is damaged: {why}. What `taskkit data pack` wrote was expected. Copy it again, or "
        "pack the data again."
    )


def _check_sizes(place: Place, shards: Sequence[Shard]) -> None:
    found = place.sizes()
    for shard in shards:
        try:
            size = place.size(shard.name) if found is None else found[shard.name]
        except (FileNotFoundError, KeyError):
            raise missing(place, shard.name) from None
        if size is not None and size != shard.size:
            raise _wrong(place, shard.name, f"it has {size:,} bytes. {shard.size:,} were expected")


def missing(place: Place, name: str) -> DataError:
    """What is raised for a shard that is not there."""
    return _wrong(place, name, "it is missing")


def wrong_bytes(place: Place, name: str) -> DataError:
    """What is raised for a shard whose content is not what was written."""
    return _wrong(place, name, "its bytes are not those that were written: their hash is another")


def _wrong(place: Place, name: str, why: str) -> DataError:
    return DataError(f"{place}/{name}: {why}. Copy this shard again, or pack the data again.")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
