"""Means over a population as sums over panels.

Sums are Gauss-Legendre sums: over panels of at most 5 units of depth in a tail, 2
standard deviations in a normal population. The chance that a query sampled r times
fails turns from 0 to 1 where -log(risk) is near log(r), within a few units of it; a
wide population crosses that in a hundredth of its width. So panels are cut at scores
too, up to 60 by fours on the scale of -log(risk), and by ones above: the relative error
is then below 1e-6 for r up to 1e9 and scales up to 8.
"""

import math

import numpy as np
from jaxtyping import Float

from bayes_rare.populations.population import as_array
from bayes_rare.scores import Numbers

__all__ = ["CUTS", "DEPTH", "panels"]

CUTS = np.concatenate([-np.log(np.arange(60.0, 0.0, -4.0)), np.arange(0.0, 6.0)])
"""Scores at which panels are cut."""

DEPTH = 60.0
"""The deepest level that a mean descends to, exp(-60) of the tail.

A query so rare is met once in 1e26, and a failure chance is at most 1.
"""

# Twelve to a panel, worked out once: it takes longer than to use them.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def panels(
    lowest: float,
    highest: Numbers,
    width: float,
    cuts: Float[np.ndarray, "cut draw"],
) -> tuple[Float[np.ndarray, "node draw"], Float[np.ndarray, "node draw"]]:
    """Nodes and weights of Gauss-Legendre quadrature in equal panels, cut further.

    Panels that are empty under every draw are left out.
    """
    draws = cuts.shape[1]
    span = np.broadcast_to(as_array(highest) - lowest, (draws,))
    number = max(math.ceil(span.max(initial=0.0) / width), 1)
    even = lowest + np.linspace(0, 1, number + 1)[:, None] * span
    edges = np.sort(np.concatenate([even, np.clip(cuts, lowest, even[-1])]), axis=0)
    half = np.diff(edges, axis=0) / 2
    filled = (half > 0).any(axis=1)
    half, start = half[filled, None], edges[:-1][filled, None]
    place = start + half * (_NODES[:, None] + 1)
    return place.reshape(-1, draws), (half * _WEIGHTS[:, None]).reshape(-1, draws)
