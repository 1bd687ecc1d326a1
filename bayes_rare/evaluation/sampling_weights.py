"""Sampling weights, summed exactly, so that neither engine nor order matters.

A weight is expressed as a share of its behaviour's scale, and a share as two whole
numbers: the number of units, and the rest in units of a unit. Sums of these are exact
in any order, up to 2**27 queries in a cell.
"""

import math

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.evaluation.score_cells import Columns

__all__ = ["SHARE_UNIT", "SUMS", "scale_of", "shares", "weighed"]

type Rows = Float[np.ndarray, " row"]
type Codes = Int[np.ndarray, " row"]

SHARE_UNIT = 2.0**-24
"""Unit of a share; the rest of it is counted in units of this unit."""

SUMS = ("share", "share_rest", "share_square", "share_square_rest")
"""Columns of whole numbers for a share and its square; a cell has their sums."""

# Avoids 0 / 0 for behaviours without rows.
TINY = np.finfo(np.float64).tiny


def scale_of(least: float, largest: float) -> float:
    """What weights are divided by: their common value, or a power of 2.

    Dividing by a power of 2 is exact: it is the largest one up to the largest weight.

    Examples
    --------
    >>> scale_of(3.0, 3.0), scale_of(1.0, 3.0)
    (3.0, 2.0)
    """
    return largest if least == largest else math.ldexp(0.5, math.frexp(largest)[1])


def shares(weight: Rows, group: Codes) -> Columns:
    """Each weight and its square as whole numbers: columns `SUMS`."""
    least, largest = np.full(group.max() + 1, np.inf), np.zeros(group.max() + 1)
    np.minimum.at(least, group, weight)
    np.maximum.at(largest, group, weight)
    scale = np.array(
        [scale_of(*ends) for ends in zip(least.tolist(), largest.tolist(), strict=True)]
    )
    share = weight / scale[group]
    return dict(zip(SUMS, (*_split(share), *_split(share * share)), strict=True))


def _split(share: Rows) -> tuple[Rows, Rows]:
    """Whole units of each share, and the rest in units of a unit."""
    units = share / SHARE_UNIT
    whole = np.floor(units)
    return whole, np.floor((units - whole) / SHARE_UNIT + 0.5)


def weighed(cells: Columns) -> Columns:
    """The cells with a column ``weight`` in place of the sums of shares.

    Weights of a behaviour are scaled to add up to Kish's effective sample size, ``(sum
    w)**2 / sum w**2``.
    """
    if SUMS[0] not in cells:
        return cells | {"weight": cells["count"].astype(np.float64)}
    share, square = (
        (cells[whole] + cells[rest] * SHARE_UNIT) * SHARE_UNIT
        for whole, rest in (SUMS[:2], SUMS[2:])
    )
    group = cells["behaviour"]
    factor = np.bincount(group, share) / np.maximum(np.bincount(group, square), TINY)
    left = {name: values for name, values in cells.items() if name not in SUMS}
    return left | {"weight": share * factor[group]}
