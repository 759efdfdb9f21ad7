"""The rows of a run's test: predictions.parquet as a table of pyarrow."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from taskkit.runs.encryption import reading

if TYPE_CHECKING:
    import pyarrow as pa


def read_rows(path: Path, columns: Collection[str] | None = None) -> pa.Table:
    """Read a file of rows, decrypted where it is encrypted; of `columns` those that are there.

    Raises OSError, CheckpointError as `reading` does, and pyarrow.ArrowException for what is no such file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    with reading(path) as file:
        content = pa.BufferReader(file.read())
    # Without threads: one of pyarrow's that begins as the process ends aborts it, in one script of six.
    rows = parquet.ParquetFile(content, pre_buffer=False)
    wanted = None if columns is None else [name for name in columns if name in rows.schema_arrow.names]
    return rows.read(wanted, use_threads=False)
