"""Intervals of means, by resampling clusters with replacement."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.errors import InvalidInput

__all__ = ["Bootstrap", "Clusters", "Columns", "bootstrap", "resampled_means"]

type Columns = Float[np.ndarray, "split column"]
type Clusters = Int[np.ndarray, " split"]


def resampled_means(
    values: Columns, cluster: Clusters, weights: Float[np.ndarray, "resample cluster"]
) -> Float[np.ndarray, "resample column"]:
    """Means of columns where each cluster counts as often as it was drawn.

    ``sum_k w_bk S_k / sum_k w_bk N_k``, with ``S_k`` the sum of cluster k and ``N_k``
    its size: what remains to be done of a bootstrap once each resample is written as
    how often it drew each cluster.

    Parameters
    ----------
    values
        What is averaged.
    cluster
        Number of the cluster of each split, from 0.
    weights
        How often each resample drew each cluster.

    Examples
    --------
    The second cluster drawn twice, and the first not at all:

    >>> values, cluster = np.array([[1.0], [2.0], [4.0]]), np.array([0, 1, 1])
    >>> resampled_means(values, cluster, np.array([[0.0, 2.0]]))
    array([[3.]])
    """
    sums = np.zeros((weights.shape[1], values.shape[1]))
    np.add.at(sums, cluster, values)
    sizes = np.bincount(cluster, minlength=weights.shape[1])
    return (weights @ sums) / (weights @ sizes)[:, None]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Percentile intervals of means, by resampling behaviours.

    Every cell uses the same seed: its interval does not depend on the other cells, and
    the resamples of one are reused for all with the same number of behaviours.

    Parameters
    ----------
    interval
        Probability of the intervals, in (0, 1).
    resamples
        How often clusters are drawn.
    entropy
        Seed, as numbers.
    drawn
        How often each resample drew each cluster, by how many clusters there are.
    """

    interval: int | float
    resamples: int
    entropy: Sequence[int]
    drawn: dict[int, np.ndarray] = field(default_factory=dict[int, np.ndarray])

    def __call__(
        self, values: Columns, behaviours: Clusters
    ) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]]:
        """Both ends, for each column; of a single behaviour the splits are drawn."""
        several = behaviours.max() > 0
        cluster = behaviours if several else np.arange(behaviours.size)
        count = int(cluster.max()) + 1
        if count == 1:
            # One split says nothing of how much another would differ.
            nothing = np.full(values.shape[1], math.nan)
            return nothing, nothing
        means = resampled_means(values, cluster, self._weights(count))
        tail = (1 - self.interval) / 2
        lower, upper = np.quantile(means, [tail, 1 - tail], axis=0)
        return lower, upper

    def _weights(self, count: int) -> Float[np.ndarray, "resample cluster"]:
        """How often each resample draws each of so many clusters."""
        if count not in self.drawn:
            rng = np.random.default_rng(self.entropy)
            even = np.full(count, 1 / count)
            drawn = rng.multinomial(count, even, size=self.resamples)
            self.drawn[count] = drawn.astype(float)
        return self.drawn[count]


def bootstrap(
    interval: int | float, resamples: int, seed: int | np.random.Generator
) -> Bootstrap:
    """Intervals of some probability, checked; behaviours resampled so many times."""
    if not 0 < interval < 1:
        raise InvalidInput(
            f"an interval's probability is in (0, 1), got {interval}. For 95 % give "
            "0.95."
        )
    if resamples < 1:
        raise InvalidInput(
            f"behaviours are resampled at least once, got resamples={resamples}. Give "
            "10_000."
        )
    if isinstance(seed, np.random.Generator):
        entropy = [int(word) for word in seed.integers(2**32, size=4)]
    else:
        entropy = [seed]
    return Bootstrap(interval, resamples, entropy)
