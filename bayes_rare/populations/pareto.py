"""The generalized Pareto distribution of excesses over a threshold.

For numbers `gpd_log_survival` and `gpd_quantile` are exact. The ``smooth`` functions
are the same for NumPy and PyTensor, with series near a shape of 0: there automatic
differentiation of a quotient such as ``log1p(y) / y`` loses digits like 1e-16 / y.
"""

from typing import Any

import numpy as np

from bayes_rare.populations.population import Array, as_array
from bayes_rare.scores import Numbers

__all__ = [
    "gpd_log_likelihood",
    "gpd_log_survival",
    "gpd_quantile",
    "smooth_log_survival",
    "smooth_quantile",
]

# Below these arguments log1p(y) / y and expm1(y) / y are their series.
_LOG_SERIES, _EXP_SERIES = 1e-4, 1e-5
# Powers are capped here: expm1 of more than 709 overflows.
_LARGEST_POWER = 600.0


def gpd_log_survival(excess: Numbers, scale: Numbers, shape: Numbers) -> Array:
    """Log survival of the generalized Pareto distribution.

    ``log S(x) = -log1p(shape * x / scale) / shape``, and its limit ``-x / scale`` at
    shape 0; ``-inf`` beyond the upper end ``-scale / shape`` of a negative shape [1]_.

    Parameters
    ----------
    excess
        Excess over the threshold, at least 0.
    scale
        Scale in units of the excess, positive.
    shape
        Shape: 0 for the exponential, negative for a bounded tail.

    References
    ----------
    .. [1] S. Coles (2001). An Introduction to Statistical Modeling of Extreme Values.
       Springer, section 4.2.1.

    Examples
    --------
    Continuous through shape 0:

    >>> gpd_log_survival(2.0, 1.0, np.array([-1e-12, 0.0, 1e-12])).round(9)
    array([-2., -2., -2.])
    """
    depth = as_array(excess) / as_array(scale)
    endless = np.isinf(depth)  # a risk of 1: beyond any tail, and 0 * inf is not 0
    depth = np.where(endless, 0.0, depth)
    bend = np.maximum(as_array(shape) * depth, -1.0)
    with np.errstate(divide="ignore"):
        log_survival = -depth * _ratio_at_zero_one(np.log1p, bend)
    return np.where(endless, -np.inf, log_survival)


def gpd_quantile(depth: Numbers, scale: Numbers, shape: Numbers) -> Array:
    """Excess whose log survival is ``-depth``; the upper end where depth is infinite.

    ``scale * expm1(shape * depth) / shape``; its limit ``scale * depth`` at shape 0.

    Parameters
    ----------
    depth
        Minus the log survival, at least 0.
    scale, shape
        As in `gpd_log_survival`.

    Examples
    --------
    The inverse of `gpd_log_survival`:

    >>> excess = gpd_quantile(30.0, 0.5, np.array([-0.2, 0.0, 0.2]))
    >>> gpd_log_survival(excess, 0.5, np.array([-0.2, 0.0, 0.2])).round(9)
    array([-30., -30., -30.])
    """
    scale, shape = as_array(scale), as_array(shape)
    depth = as_array(depth)
    endless = np.isinf(depth)
    depth = np.where(endless, 0.0, depth)
    with np.errstate(over="ignore", divide="ignore"):
        excess = scale * depth * _ratio_at_zero_one(np.expm1, shape * depth)
        end = np.where(shape < 0, -scale / shape, np.inf)
    return np.where(endless, end, excess)


def gpd_log_likelihood(scale: Any, shape: Any, queries: float, log_sum: Any) -> Any:
    """Log likelihood of excesses: ``-k log(scale) - (1 + 1 / shape) log_sum``.

    Here ``log_sum`` is the sum over k excesses x of ``log1p(shape * x / scale)``, and
    the shape is not 0 (Coles 2001, equation 4.10).
    """
    return -queries * np.log(scale) - (1 + 1 / shape) * log_sum


def smooth_log_survival(xp: Any, excess: Any, scale: Any, shape: Any) -> Any:
    """`gpd_log_survival` with a finite gradient at shape 0; xp is NumPy or PyTensor."""
    depth = excess / scale
    bend = shape * depth
    small = abs(bend) < _LOG_SERIES
    safe = xp.where(small, 1.0, xp.maximum(bend, -1.0 + 1e-15))
    series = 1 - bend * (1 / 2 - bend * (1 / 3 - bend * (1 / 4 - bend / 5)))
    return -depth * xp.where(small, series, xp.log1p(safe) / safe)


def smooth_quantile(
    xp: Any, depth: Any, scale: Any, shape: Any, *, capped: bool = False
) -> Any:
    """`gpd_quantile` with a finite gradient at shape 0; xp is NumPy or PyTensor.

    Capped, quantiles too large for float64 are finite.
    """
    power = shape * depth
    if capped:
        power = xp.minimum(power, _LARGEST_POWER)
    small = abs(power) < _EXP_SERIES
    safe = xp.where(small, 1.0, power)
    series = 1 + power * (1 / 2 + power * (1 / 6))
    return scale * depth * xp.where(small, series, xp.expm1(safe) / safe)


def _ratio_at_zero_one(function: np.ufunc, argument: Numbers) -> Array:
    """``function(argument) / argument``, which is 1 at 0 for log1p and expm1."""
    argument = as_array(argument)
    ratio = np.ones_like(argument)
    np.divide(function(argument), argument, out=ratio, where=argument != 0)
    return ratio
