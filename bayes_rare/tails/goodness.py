"""Whether the riskiest queries follow a tail."""

import numpy as np
from jaxtyping import Float

from bayes_rare.populations import Population

__all__ = ["misfit_chance"]

type Shares = Float[np.ndarray, "query draw"]
type Scores = Float[np.ndarray, " query"]
type Draws = Float[np.ndarray, " draw"]


def misfit_chance(population: Population, scores: Scores, seed: int = 0) -> float:
    """How often a right model would fit the riskiest queries as badly or worse.

    Under each draw, the levels of scores above the k-th largest, as shares of its own
    level, are uniform; their Kolmogorov distance from that is held against the distance
    of as many uniform numbers [1]_.

    Parameters
    ----------
    population
        Distribution of scores, draw by draw.
    scores
        The largest scores, the least of which counts as the threshold; at least two.
    seed
        Seed of the numbers that they are held against.

    Returns
    -------
    A posterior predictive p-value: the share of draws for which that of uniform numbers
    is at least as large.

    References
    ----------
    .. [1] A. Gelman, X.-L. Meng, H. Stern (1996). Posterior predictive assessment of
       model fitness via realized discrepancies. Statistica Sinica 6, 733-807.

    Examples
    --------
    Scores of the very population are no misfit, those of a far heavier tail are:

    >>> from bayes_rare.populations import Normal
    >>> normal = Normal(np.zeros(500), np.ones(500))
    >>> like = normal.quantile(np.log(np.arange(1, 31) / 1000)[:, None])[:, 0]
    >>> heavy = like[-1] + np.arange(30.0)
    >>> misfit_chance(normal, like) > 0.1, misfit_chance(normal, heavy) < 0.01
    (True, True)
    """
    largest = np.sort(scores)[::-1]
    log_level = population.log_survival(largest[:, None])
    share: Shares = np.exp(log_level[:-1] - log_level[-1])
    rng = np.random.default_rng(seed)
    replicated: Shares = np.sort(rng.random(share.shape), axis=0)
    seen, expected = _distance(share), _distance(replicated)
    return float((expected >= seen).mean())


def _distance(share: Shares) -> Draws:
    """Kolmogorov distance of sorted shares from uniform ones."""
    count = len(share)
    above = np.arange(1, count + 1)[:, None] / count - share
    return np.maximum(above, 1 / count - above).max(axis=0)
