"""Whether importance weights can be trusted: Pareto smoothing and its diagnostic."""

from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

__all__ = [
    "TRUSTED",
    "smoothed",
    "trusted",
]

type Rows = Float[np.ndarray, " row"]

TRUSTED = 0.7
"""Largest Pareto k at which leaving out by weights can be trusted."""

_SAME = 1e-12

# Weights that a tail of weights needs.
_FEWEST = 5


def trusted(pareto_k: Rows | float) -> Bool[np.ndarray, "..."]:
    """Whether importance weights with such a Pareto k can be trusted.

    At most `TRUSTED`. What is no number cannot be: no tail could be fitted to the
    weights.

    Examples
    --------
    >>> trusted(np.array([-0.2, 0.7, 0.71, np.inf, np.nan])).tolist()
    [True, True, False, False, False]
    """
    return np.asarray(np.asarray(pareto_k, np.float64) <= TRUSTED)


def smoothed(
    log_chance: Float[np.ndarray, "row draw"],
) -> tuple[Float[np.ndarray, "row draw"], Rows]:
    """Log weights of draws as if a row had not been seen, and their Pareto k.

    Weights are proportional to ``1 / p(y | draw)`` and sum to 1, their largest smoothed
    [1]_. Where there are too few draws for that, or a draw gives a row no chance, k is
    infinite, and the weights are as they are, or equal.

    References
    ----------
    .. [1] A. Vehtari, D. Simpson, A. Gelman, Y. Yao, J. Gabry (2024). Pareto smoothed
       importance sampling. Journal of Machine Learning Research 25(72).
    """
    array_stats: Any = import_module("arviz_stats.base").array_stats
    pareto_k = np.zeros(len(log_chance))
    possible = np.isfinite(log_chance).all(axis=1)
    pareto_k[~possible] = np.inf
    log_weight = np.where(possible[:, None], -log_chance, 0.0)
    log_weight -= np.logaddexp.reduce(log_weight, axis=1, keepdims=True)
    # Where the largest weights are all one there is no tail of weights to smooth.
    ranked = np.sort(log_weight, axis=1)
    tail = min(int(ranked.shape[1] / 5), int(3 * ranked.shape[1] ** 0.5)) + 1
    varied = ranked[:, -1] - ranked[:, -tail] > _SAME
    if tail <= _FEWEST:
        pareto_k[ranked[:, -1] - ranked[:, 0] > _SAME] = np.inf
    elif varied.any():
        log_weight[varied], pareto_k[varied] = array_stats.psislw(
            log_chance[varied], axis=-1
        )
    pareto_k[np.isnan(pareto_k)] = np.inf  # of a tail that is no Pareto tail
    return log_weight, pareto_k
