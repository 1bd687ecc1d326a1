"""Trees of arrays as NetCDF files with digests, by which damage is found.

A file ends with the digest of all bytes before it, which HDF5 does not read: its
library can loop for ever on a damaged file, so it is never given one. An attribute of
the root has a digest of each group, for files that another program has rewritten.
"""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare.arguments.near_words import no_file
from bayes_rare.errors import InvalidData
from bayes_rare.files import replacing

if TYPE_CHECKING:
    import xarray

__all__ = ["read_tree", "write_tree"]

_GROUPS = (
    "posterior",
    "sample_stats",
    "constant_data",
    "log_likelihood",
    "evaluation",
)
# Attributes that are content; what a writer adds of its own is not.
_ATTRIBUTES = (
    "provenance",
    "verdict",
    "average",
    "average_notes",
    "evaluation",
    "dropped",
)
_DIGESTS = "content_sha256"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_END = re.compile(rb"\nbayes_rare sha256 ([0-9a-f]{64})\n\Z")
_END_LENGTH = 84
_WAY_OUT = "Use an undamaged copy, or fit again."


def write_tree(tree: "xarray.DataTree", path: Path) -> None:
    """Write a tree as NetCDF, atomically; an existing file is replaced.

    It is made in memory, since the library does not recover from a full disk.
    """
    written = _without_booleans(tree)
    written.attrs[_DIGESTS] = json.dumps(_digests(written))
    with replacing(path) as place:
        made = io.BytesIO()
        written.to_netcdf(made, engine="h5netcdf")
        content = made.getvalue()
        with place.open("wb") as file:
            file.write(content)
            digest = hashlib.sha256(content).hexdigest()
            file.write(f"\nbayes_rare sha256 {digest}\n".encode())


def read_tree(path: Path) -> "xarray.DataTree":
    """The tree of a NetCDF file, in memory."""
    import xarray as xr

    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidData(f"{no_file(path)} Make one with `bayes-rare fit`.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidData(
            f"{str(path)!r:.200} cannot be read: {reason}. Give a file that "
            "`bayes-rare fit` wrote."
        ) from error
    if not content.startswith(_HDF5):
        raise _unreadable(path, "it does not begin as one")
    end = _END.search(content[-_END_LENGTH:])
    if end is not None:
        whole = hashlib.sha256(memoryview(content)[:-_END_LENGTH]).hexdigest()
        if whole.encode() != end[1]:
            raise InvalidData(
                f"{path} is damaged: its bytes differ from those that were written. "
                f"{_WAY_OUT}"
            )
    try:
        with xr.open_datatree(io.BytesIO(content), engine="h5netcdf") as opened:
            tree = opened.load()
    except Exception as error:  # of what a damaged file makes, no list is complete
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    _refuse_changed(tree, path)
    return tree


def _unreadable(path: Path, reason: str) -> InvalidData:
    return InvalidData(
        f"{path} is not a NetCDF file that can be read ({' '.join(reason.split()):.200}"
        "). Give a file that `bayes-rare fit` wrote."
    )


def _refuse_changed(tree: "xarray.DataTree", path: Path) -> None:
    """Refuse content that differs from its digests, where these are known."""
    if _DIGESTS not in tree.attrs:
        return
    try:
        recorded: dict[str, str] = dict(json.loads(tree.attrs[_DIGESTS]))
        found = _digests(tree)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise InvalidData(
            f"{path} is damaged: digests of its content cannot be computed "
            f"({str(error)[:200]}). {_WAY_OUT}"
        ) from error
    for name in sorted({*recorded, *found}):
        if recorded.get(name) != found.get(name):
            raise InvalidData(
                f"{path} was damaged or changed: its group {name[:80]!r} is not the "
                f"one that was written. {_WAY_OUT}"
            )


def _digests(tree: "xarray.DataTree") -> dict[str, str]:
    """SHA-256 of each group that we write, by its path."""
    return {
        node.path: _digest(node.dataset.data_vars, node.attrs)
        for node in tree.subtree
        if node.name in _GROUPS or any(name in node.attrs for name in _ATTRIBUTES)
    }


def _digest(arrays: Mapping[Any, Any], attributes: Mapping[Any, Any]) -> str:
    """SHA-256 of arrays and attributes, whatever the file's encoding of numbers."""
    state = hashlib.sha256()
    for name in _ATTRIBUTES:
        if name in attributes:
            state.update(json.dumps([name, str(attributes[name])]).encode())
    for name in sorted(map(str, arrays)):
        values = arrays[name]
        head = [name, [str(dim) for dim in values.dims], list(values.shape)]
        state.update(json.dumps(head).encode())
        array = values.to_numpy()
        if array.dtype.kind in "OUST":
            state.update(json.dumps([str(text) for text in array.ravel()]).encode())
        elif array.dtype.kind in "biu":
            state.update(array.astype("<i8").tobytes())
        else:
            state.update(array.astype("<f8").tobytes())
    return state.hexdigest()


def _without_booleans(tree: "xarray.DataTree") -> "xarray.DataTree":
    """The tree with booleans as bytes, which NetCDF has."""

    def as_bytes(values: "xarray.DataArray") -> "xarray.DataArray":
        return values.astype(np.int8) if values.dtype == bool else values

    def of_group(dataset: "xarray.Dataset") -> "xarray.Dataset":
        return dataset.map(as_bytes).assign_attrs(dataset.attrs)

    return tree.map_over_datasets(of_group)
