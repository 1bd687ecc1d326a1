"""Risks estimated with a standard error, kept one by one or in narrow bins.

Bins are two-dimensional: by score and by standard error. Their sums are whole numbers,
so that neither engine nor order changes them.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayes_rare.evaluation.score_cells import (
    BIN_WIDTH,
    DEVIATION_UNIT,
    EXACT_LIMIT,
    SQUARE_UNIT,
    Columns,
)
from bayes_rare.scores import score_from_log_risk

__all__ = [
    "CERTAIN",
    "ERROR_STEPS",
    "VARIANCE_UNIT",
    "added_up",
    "bins_of_estimates",
    "cells_of_estimates",
    "estimates_of_bins",
    "joined_estimates",
    "kept_from",
]

type Rows = Float[np.ndarray, " row"]

ERROR_STEPS = 8
"""Bins of standard errors per octave."""

VARIANCE_UNIT = 2.0**-26
"""Unit of the relative excess of a squared standard error over its bin's lower edge."""

CERTAIN = 2**40
"""Number of the bin of a risk of 1, whose score is infinite; above all other bins."""

_KEYS = ("family", "log_risk", "log_risk_se")
_ADDED = ("deviation", "square", "variance")


def bins_of_estimates(log_risk: Rows, log_risk_se: Rows) -> Columns:
    """Bin of each estimate, and the whole numbers to be summed in the bin."""
    certain = log_risk == 0
    score = np.where(certain, 0.0, score_from_log_risk(log_risk - 1.0 * certain))
    edge = np.floor(score / BIN_WIDTH)
    offset = score - (edge + 0.5) * BIN_WIDTH
    step = np.floor(np.log(log_risk_se) * (ERROR_STEPS / math.log(2)))
    beyond = np.exp(2 * (np.log(log_risk_se) - step * (math.log(2) / ERROR_STEPS))) - 1
    return {
        "edge": np.where(certain, float(CERTAIN), edge),
        "step": step,
        "deviation": np.floor(offset / DEVIATION_UNIT + 0.5),
        "square": np.floor(offset**2 / SQUARE_UNIT + 0.5),
        "variance": np.floor(beyond / VARIANCE_UNIT + 0.5),
    }


def estimates_of_bins(bins: Columns) -> Columns:
    """Mean estimate and root mean square standard error of each bin."""
    count, step = bins["count"], bins["step"]
    certain = bins["edge"] == CERTAIN
    shift = bins["deviation"] * DEVIATION_UNIT / count
    spread = np.maximum(bins["square"] * SQUARE_UNIT / count - shift**2, 0.0)
    score = (np.where(certain, 0.0, bins["edge"]) + 0.5) * BIN_WIDTH + shift
    # The mean of exp(-score); the third moment within a bin contributes below 1e-7.
    mean = -np.exp(-score) * (1 + spread / 2)
    lowest = np.exp(step * (math.log(2) / ERROR_STEPS))
    left = {n: v for n, v in bins.items() if n not in {"edge", "step", *_ADDED}}
    return left | {
        "log_risk": np.where(certain, 0.0, mean),
        "log_risk_se": lowest * np.sqrt(1 + bins["variance"] * VARIANCE_UNIT / count),
    }


def kept_from(edge: Rows, count: Rows) -> float:
    """Lowest bin of scores whose estimates are kept one by one.

    These are the uppermost whole bins that together hold at most `EXACT_LIMIT` queries.
    """
    bins, number = np.unique(-edge, return_inverse=True)
    whole = np.cumsum(np.bincount(np.ravel(number), count)) <= EXACT_LIMIT
    return -float(bins[whole][-1]) if whole.any() else math.inf


def cells_of_estimates(rows: Columns) -> Columns:
    """Cells of one behaviour, from its estimates in any order."""
    bins = bins_of_estimates(rows["log_risk"], rows["log_risk_se"])
    kept = bins["edge"] >= kept_from(bins["edge"], rows["count"])
    top = added_up({n: v[kept] for n, v in rows.items()}, _KEYS)
    if kept.all():
        return joined_estimates(top)
    bins |= {name: bins[name] * rows["count"] for name in _ADDED}
    bins |= {n: v for n, v in rows.items() if n not in {"log_risk", "log_risk_se"}}
    low = added_up({n: v[~kept] for n, v in bins.items()}, ("family", "edge", "step"))
    return joined_estimates(top, estimates_of_bins(low))


def joined_estimates(*parts: Columns) -> Columns:
    """Cells of one behaviour combined, riskiest first."""
    whole = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    order = np.lexsort((whole["log_risk_se"], whole["family"], -whole["log_risk"]))
    return {name: values[order] for name, values in whole.items()}


def added_up(rows: Columns, keys: Sequence[str]) -> Columns:
    """Rows with equal keys merged, their other columns summed."""
    order = np.lexsort([rows[name] for name in reversed(keys)])
    new = np.zeros(len(order), bool)
    new[:1] = True
    for name in keys:
        values = rows[name][order]
        new[1:] |= values[1:] != values[:-1]
    starts = np.flatnonzero(new)
    return {
        name: values[order][starts]
        if name in keys
        else np.add.reduceat(values[order], starts)
        if len(starts)
        else values
        for name, values in rows.items()
    }
