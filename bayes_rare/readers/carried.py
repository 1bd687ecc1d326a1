"""The record of an import that a table carries in its metadata."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from bayes_rare.dropped import Dropped, merged

__all__ = ["DROPPED_KEY", "record_of"]

DROPPED_KEY = b"bayes_rare.dropped"
"""Key of the record in the metadata of a schema of Arrow or Parquet."""


def record_of(source: Any, files: Sequence[str] = ()) -> Dropped | None:
    """The record that a table carries, if it was made of logs.

    Parameters
    ----------
    source
        A frame, or what names the files.
    files
        The files, if there are any; those that are not Parquet have no record.

    Raises
    ------
    InvalidData
        If there is one that cannot be read.
    """
    if not files:
        import pyarrow as pa

        # Lazy frames of other engines would plan their whole query to say this.
        if not isinstance(source, pa.Table):
            return None
        return merged(_records([source.schema.metadata]))
    parquet = [file for file in files if file.lower().endswith(".parquet")]
    if not parquet:
        return None
    import pyarrow.parquet as pq

    return merged(_records([pq.read_schema(file).metadata for file in parquet]))


def _records(metadata: Sequence[Any]) -> list[Dropped]:
    found: list[Dropped] = []
    for one in metadata:
        if isinstance(one, Mapping):
            text = cast("Mapping[Any, Any]", one).get(DROPPED_KEY)
            if isinstance(text, bytes):
                found.append(Dropped.from_json(text.decode("utf-8", errors="replace")))
    return found
