"""Parquet files: read whole, unless they hold more than there is memory for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import psutil

from taskkit.errors import DataError
from taskkit.wording import without_stop

if TYPE_CHECKING:
    import pyarrow as pa

_WIDTHS = {"BOOLEAN": 0.125, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
"""Bytes of a number in memory, by what it is in the file."""
_ENDS = 4
"""Bytes that say where a text ends."""


def read_parquet(path: Path) -> pa.Table:
    """The table of a Parquet file; raises DataError where it is none, is not UTF-8, or would not fit into memory."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Opened here, since pyarrow takes no path that is not UTF-8.
        with path.open("rb") as source:
            _check_size(path, source)
            content = parquet.ParquetFile(source).read()
        # Text that is not UTF-8 would be found wherever a cell is first looked at.
        content.validate(full=True)
        _ = content.column_names
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: the name of one of its columns is not UTF-8: {error.object!r}. UTF-8 was expected. Write the "
            "file anew."
        ) from None
    except (pa.ArrowException, ValueError) as error:
        reason = without_stop(str(error).partition("\n")[0])
        raise DataError(f"{path}: it cannot be read: {reason}. A Parquet file was expected.") from None
    return content


def _check_size(path: Path, source: BinaryIO) -> None:
    """Raise DataError for what is larger than memory: a value that is repeated takes next to nothing in a file."""
    from pyarrow import parquet

    file = parquet.ParquetFile(source)
    free = psutil.virtual_memory().available
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    size = sum(each.num_values * _WIDTHS.get(each.physical_type, _ENDS) for each in chunks)
    texts = [each for each in chunks if each.physical_type not in _WIDTHS]
    # No text is longer than all that its chunk of the column holds.
    if size <= free and size + sum(each.num_values * each.total_uncompressed_size for each in texts) > free:
        size += _texts_size(source, file)
    if size > free:
        raise DataError(
            f"{path}: it takes {size / 2**30:,.0f} GiB once it is decoded, and {free / 2**30:,.0f} GiB of memory are "
            "free. Less was expected. Split it; a stranger's file that is small on the disk may be made to do harm."
        )


def _texts_size(source: BinaryIO, file: Any) -> int:
    """Bytes of all texts, each as often as it stands there, without repeating them in memory."""
    import pyarrow as pa
    from pyarrow import compute, parquet

    names = [each.name for each in file.schema_arrow if pa.types.is_string(each.type) or pa.types.is_binary(each.type)]
    again, size = parquet.ParquetFile(source, read_dictionary=names), 0
    for number in range(again.num_row_groups):
        for column in again.read_row_group(number, columns=names).columns:
            for chunk in column.chunks:
                if pa.types.is_dictionary(chunk.type):
                    lengths = compute.binary_length(chunk.dictionary)
                    size += compute.sum(compute.take(lengths, chunk.indices)).as_py() or 0
                else:
                    size += chunk.nbytes
    return size
