"""The generalized Pareto distribution of excesses over a threshold."""

import numpy as np

from bayes_rare.populations.population import Array, as_array
from bayes_rare.scores import Numbers

__all__ = ["gpd_log_survival", "gpd_quantile"]


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


def _ratio_at_zero_one(function: np.ufunc, argument: Numbers) -> Array:
    """``function(argument) / argument``, which is 1 at 0 for log1p and expm1."""
    argument = as_array(argument)
    ratio = np.ones_like(argument)
    np.divide(function(argument), argument, out=ratio, where=argument != 0)
    return ratio
