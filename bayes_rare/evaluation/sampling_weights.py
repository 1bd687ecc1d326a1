"""Sampling weights, summed so that neither engine nor order changes the answer.

A weight is a share of its behaviour's scale, and a share is two whole numbers: how many
units, and how many units of a unit are left. Their sums are exact, whoever takes them
in whatever order, up to 2**27 queries a cell.
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
"""Columns of whole numbers that a share and its square are; a cell has their sums."""

# A behaviour without rows has no weights either.
TINY = np.finfo(np.float64).tiny


def scale_of(least: float, largest: float) -> float:
    """What weights are shares of: their one value, or the power of 2 below the largest.

    Division by a power of 2 is exact; equal weights are shares of exactly 1.

    Examples
    --------
    >>> scale_of(3.0, 3.0), scale_of(1.0, 3.0)
    (3.0, 2.0)
    """
    return largest if least == largest else math.ldexp(0.5, math.frexp(largest)[1])


def shares(weight: Rows, group: Codes) -> Columns:
    """Each weight as whole numbers, with the square of its share: columns `SUMS`."""
    least, largest = np.full(group.max() + 1, np.inf), np.zeros(group.max() + 1)
    np.minimum.at(least, group, weight)
    np.maximum.at(largest, group, weight)
    scale = np.array(
        [scale_of(*ends) for ends in zip(least.tolist(), largest.tolist(), strict=True)]
    )
    share = weight / scale[group]
    return dict(zip(SUMS, (*_split(share), *_split(share * share)), strict=True))


def _split(share: Rows) -> tuple[Rows, Rows]:
    """Whole units of each share, and units of a unit that are left."""
    units = share / SHARE_UNIT
    whole = np.floor(units)
    return whole, np.floor((units - whole) / SHARE_UNIT + 0.5)


def weighed(cells: Columns) -> Columns:
    """The cells with a column ``weight`` in place of the sums of shares.

    Weights of a behaviour are scaled so that they add up to Kish's effective sample
    size, ``(sum w)**2 / sum w**2``: the queries that would say as much, had each the
    same weight.
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
