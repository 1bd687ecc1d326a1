"""How data of several behaviours are laid out in arrays: one row each, padded."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc
from jaxtyping import Float

__all__ = [
    "DIMS",
    "data_variables",
    "padded_length",
    "padded_rows",
]

type Array = Float[np.ndarray, "..."]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc

DIMS: Mapping[str, tuple[str, ...]] = {
    "threshold": ("behaviour",),
    "others": ("behaviour",),
    "exceeding": ("behaviour",),
    "largest_excess": ("behaviour",),
    "excess": ("behaviour", "exceedance"),
    "multiplicity": ("behaviour", "exceedance"),
    "censored": ("behaviour", "exceedance"),
    "body_score": ("behaviour", "cell"),
    "body_count": ("behaviour", "cell"),
    "cell_score": ("behaviour", "cell"),
    "cell_count": ("behaviour", "cell"),
    "cell_squares": ("behaviour", "cell"),
    "cell_censored": ("behaviour", "cell"),
    "cell_family": ("behaviour", "cell"),
    "family_count": ("behaviour", "family"),
    "family_top": ("behaviour", "family"),
    "zeros": ("behaviour", "family"),
    "ones": ("behaviour", "family"),
    "location_guess": ("behaviour", "family"),
    "known_scores": ("behaviour", "family"),
    "log_scale_guess": ("behaviour", "family"),
    "scale_weight": ("behaviour", "family"),
    "shared_place": ("behaviour", "family"),
    "shared_count": ("behaviour", "shared_family"),
    "lowest": ("behaviour",),
    "highest": ("behaviour",),
    "edges": ("behaviour", "edge"),
    "successes": ("behaviour", "tally"),
    "trials": ("behaviour", "tally"),
    "ways": ("behaviour", "tally"),
    "tally_count": ("behaviour", "tally"),
    "tally_breaks": ("behaviour", "break"),
    "tally_family": ("behaviour", "tally"),
    "sharp_successes": ("behaviour", "sharp_tally"),
    "sharp_trials": ("behaviour", "sharp_tally"),
    "sharp_ways": ("behaviour", "sharp_tally"),
    "sharp_count": ("behaviour", "sharp_tally"),
    "sharp_family": ("behaviour", "sharp_tally"),
    "sharp_breaks": ("behaviour", "sharp_tally", "sharp_break"),
    "estimated": ("behaviour", "estimate"),
    "estimate_error": ("behaviour", "estimate"),
    "estimate_count": ("behaviour", "estimate"),
    "estimate_family": ("behaviour", "estimate"),
    "estimate_breaks": ("behaviour", "estimate", "estimate_break"),
}
"""Dims of the data that shipped models share."""

_SMALLEST_PADDING = 16


def padded_length(size: int) -> int:
    """Length to which a row of ``size`` is padded: the next power of two from 16 on."""
    return max(_SMALLEST_PADDING, 1 << (size - 1).bit_length())


def padded_rows(rows: list[Array], length: int) -> Float[np.ndarray, "behaviour cell"]:
    """Rows of different lengths as one array, filled up with zeros."""
    table = np.zeros((len(rows), length))
    for index, row in enumerate(rows):
        table[index, : row.size] = row
    return table


def data_variables(
    data: Mapping[str, Array], dims: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, Any]:
    """The arrays as `pm.Data` of the model on the context stack, as float64.

    Parameters
    ----------
    data
        Arrays by name.
    dims
        Dims of arrays that are not among `DIMS`.
    """
    known = {**DIMS, **(dims or {})}
    return {
        name: pm.Data(name, np.asarray(value, dtype=np.float64), dims=known[name])
        for name, value in data.items()
    }
