"""Scores of single queries given what was seen of them, drawn exactly.

Given the parameters of a posterior draw, the score of a query has the density ``P(its
outcome | score) f(score)``, up to a factor, where f is the density of the population.
That product is known at the nodes of the integral which the model was fitted with
(`bayes_rare.likelihoods.quadrature`). So a draw is made in two steps: a panel, by the
mass that its nodes add up to; and a place in the panel, where the integral of the
polynomial through its nodes reaches a uniform number. Drawn so, scores are as exact as
the quadrature.

==========  =====================================================================
outcome     successes of trials, or an estimated log risk with its standard error
place       where a node lies: the score up to the threshold, beyond it the
            threshold plus the depth in the tail, so that one density serves both
==========  =====================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.polynomial.legendre import leggauss, legval, legvander

from bayes_rare.likelihoods import quadrature
from bayes_rare.populations import SPLICE, SPLICED_SCALE, FamilyMixture, StepsAndTail
from bayes_rare.scores import log_risk_from_score, log_safe_from_score, score_from_risk

__all__ = [
    "Estimates",
    "Tallies",
    "conditional_family_scores",
    "conditional_scores",
]

type Array = Float[np.ndarray, "..."]
type Draws = Float[np.ndarray, " draw"]
type Rows = Float[np.ndarray, " outcome"]
type Uniform = Float[np.ndarray, "draw query"]

_NODES = quadrature.SHARP_NODES
# So many nodes are held at once, 4 MB an array: few enough for a processor's cache.
_NODES_AT_ONCE = 2**19
# Panels end at these depths of the tail too: a polynomial through so many nodes follows
# a density less far than their sum follows its integral.
_DEPTHS = np.array([1.6, 4.0, 9.0, 15.0, 18.5, 26.0, 32.0])
# Halvings of a panel: what is left of it is below the rounding of its ends.
_HALVINGS = 52
# Ends of panels in the body of a family, about.
_BODY_ENDS = 8
# Where a judge errs, panels of a likelihood end where it has fallen by so much, in
# logarithms, on either side of its peak; at these scores it has gone all the way.
_FALLS = np.array([0.05, 0.7, 2.0, 5.0, 10.0, 18.0, 36.0])
_LOW_END, _HIGH_END = -8.0, 60.0
_BISECTIONS = 30


def _of_integrals() -> Float[np.ndarray, "node degree"]:
    """From masses at the nodes of a panel to the Legendre series of their integral.

    A node has the mass ``w_j g(t_j)``, so the polynomial through the g has the
    coefficients ``(2k + 1) / 2 * sum of mass_j P_k(t_j)``; and P_k has the integral
    ``(P_{k+1} - P_{k-1}) / (2k + 1)`` from -1 on, P_0 has ``P_1 + P_0``.
    """
    node, _ = leggauss(_NODES)
    basis = legvander(node, _NODES - 1) / 2
    series = np.zeros((_NODES, _NODES + 1))
    series[:, 1:] = basis
    series[:, 0] = basis[:, 0]
    series[:, : _NODES - 1] -= basis[:, 1:]
    return series


_NODE, _ = leggauss(_NODES)
_INTEGRALS = _of_integrals()


@dataclass(frozen=True, eq=False)
class Tallies:
    """Successes among trials of queries, perhaps as a judge recorded them.

    A response is recorded as a success with the chance ``fpr * (1 - p) + sens * p``.

    Parameters
    ----------
    successes, trials
        One of each an outcome.
    false_positive_rate
        Chance, by draw, that a response that does not show the behaviour is recorded
        as showing it; 0 where not given.
    sensitivity
        Chance, by draw, that a response that shows it is recorded so; 1 where not
        given.
    """

    successes: Rows
    trials: Rows
    false_positive_rate: Draws | None = None
    sensitivity: Draws | None = None

    def __len__(self) -> int:
        return self.trials.size

    @cached_property
    def _fixed(self) -> Float[np.ndarray, "row break"]:
        return quadrature.sharp_breaks(self.successes, self.trials)

    @cached_property
    def _judge(self) -> tuple[Draws, Draws] | None:
        """False-positive rate and sensitivity, of a judge that errs."""
        if self.false_positive_rate is None and self.sensitivity is None:
            return None
        wrong, right = self.false_positive_rate, self.sensitivity
        if wrong is None:
            wrong = np.zeros_like(right)
        return wrong, np.ones_like(wrong) if right is None else right

    def breaks(self, rows: slice, draws: slice) -> Float[np.ndarray, "draw row break"]:
        """Scores between which the likelihoods are smooth.

        Parameters
        ----------
        rows
            Some of the outcomes.
        draws
            Some of the posterior draws; the answer has one where all are alike.
        """
        if self._judge is None:
            return self._fixed[rows][None]
        wrong, right = (rate[draws, None] for rate in self._judge)
        share = self.successes[rows] / self.trials[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            risk = (share - wrong) / (right - wrong)
        # A judge who tells nothing has no peak: any place will do.
        risk = np.clip(np.where(np.isfinite(risk), risk, 0.5), 0.0, 1.0)
        peak = np.clip(score_from_risk(risk), _LOW_END, _HIGH_END)[:, :, None]
        goal = self.log_likelihood(peak, rows, draws) - _FALLS
        found = [peak]
        for end in (_LOW_END, _HIGH_END):
            near, far = np.broadcast_arrays(peak, goal)[0], np.full_like(goal, end)
            for _ in range(_BISECTIONS):
                middle = (near + far) / 2
                beyond = self.log_likelihood(middle, rows, draws) < goal
                far = np.where(beyond, middle, far)
                near = np.where(beyond, near, middle)
            found.append(far)
        return np.sort(np.concatenate(found, axis=2), axis=2)

    def log_likelihood(self, score: Array, rows: slice, draws: slice) -> Array:
        """Log likelihood of the tallies, but for the number of orders.

        Parameters
        ----------
        score
            Scores by (draw, row, node).
        rows, draws
            Outcomes and posterior draws that they belong to.
        """
        yes, no = log_risk_from_score(score), log_safe_from_score(score)
        if self._judge is not None:
            wrong, right = (rate[draws, None, None] for rate in self._judge)
            with np.errstate(divide="ignore"):
                yes, no = (
                    np.logaddexp(np.log(wrong) + no, np.log(right) + yes),
                    np.logaddexp(np.log1p(-wrong) + no, np.log1p(-right) + yes),
                )
        successes = self.successes[rows, None]
        failures = self.trials[rows, None] - successes
        return quadrature.times(successes, yes) + quadrature.times(failures, no)


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimated log risks of queries, normal around the log risks themselves.

    Parameters
    ----------
    log_risk, log_risk_se
        Estimates and standard errors, one of each an outcome.
    """

    log_risk: Rows
    log_risk_se: Rows

    def __len__(self) -> int:
        return self.log_risk.size

    @cached_property
    def _fixed(self) -> Float[np.ndarray, "row break"]:
        return quadrature.estimate_breaks(self.log_risk, self.log_risk_se)

    def breaks(self, rows: slice, draws: slice) -> Float[np.ndarray, "draw row break"]:
        """Scores between which the likelihoods are smooth.

        Parameters
        ----------
        rows, draws
            As in `Tallies.breaks`.
        """
        del draws  # all alike
        return self._fixed[rows][None]

    def log_likelihood(self, score: Array, rows: slice, draws: slice) -> Array:
        """Log density of the estimates.

        Parameters
        ----------
        score, rows, draws
            As in `Tallies.log_likelihood`.
        """
        del draws
        return quadrature.log_normal_density(
            np,
            self.log_risk[rows, None],
            self.log_risk_se[rows, None],
            log_risk_from_score(score),
        )


type Outcomes = Tallies | Estimates


def conditional_scores(
    population: StepsAndTail,
    outcomes: Outcomes,
    uniform: Uniform,
    of: Int[np.ndarray, " query"],
    *,
    nodes_at_once: int = _NODES_AT_ONCE,
) -> Float[np.ndarray, "draw query"]:
    """Scores of queries given their outcomes, one for each draw of the population.

    The quantile of the conditional distribution at a uniform number: the same numbers
    give the same scores, however many are made at once.

    Parameters
    ----------
    population
        Steps and a tail, draw by draw; `latent.STEPS` steps and the lowest one.
    outcomes
        Distinct outcomes.
    uniform
        Independent uniform numbers in [0, 1).
    of
        Which of the outcomes each query has.
    nodes_at_once
        Nodes of integrals that are held in memory at once.

    Examples
    --------
    All queries in an exponential tail of scale 1 have a uniform ``exp(-score)``; nine
    failures in nine trials make it exponential with the rate 9:

    >>> one = np.ones(1)
    >>> steps = StepsAndTail(
    ...     np.arange(-8.0, -2.0), np.zeros((5, 1)), one, one, 0 * one
    ... )
    >>> seen = Tallies(successes=np.array([9.0]), trials=np.array([9.0]))
    >>> median = conditional_scores(steps, seen, np.full((1, 1), 0.5), np.array([0]))
    >>> bool(np.isclose(np.exp(-median[0, 0]), np.log(2) / 9))
    True
    """
    with np.errstate(divide="ignore"):  # a step may have no queries
        weight = np.log(population.weight.T)
    log_rate = np.log(population.rate)

    def placed(breaks: Array, _rows: slice, draws: slice) -> _Placed:
        scale, shape = population.scale[draws], population.shape[draws]
        edges = population.edges
        tail = (edges[-1], scale[:, None, None], shape[:, None, None])
        place, log_mass = quadrature.placed_nodes(
            np,
            edges[None],
            weight[draws],
            log_rate[draws],
            _with_depths(quadrature.place_of(np, breaks, *tail), edges[-1]),
            _NODES,
        )
        score = quadrature.score_at(np, place, *tail)

        def score_of(chosen: Uniform, _members: Any) -> Array:
            return quadrature.score_at(
                np, chosen, edges[-1], scale[:, None], shape[:, None]
            )

        return place, log_mass, score, score_of

    return _conditional(
        placed, len(population.edges), outcomes, uniform, of, nodes_at_once
    )


def conditional_family_scores(
    population: FamilyMixture,
    family: Int[np.ndarray, " row"],
    outcomes: Outcomes,
    uniform: Uniform,
    of: Int[np.ndarray, " query"],
    *,
    nodes_at_once: int = _NODES_AT_ONCE,
) -> Float[np.ndarray, "draw query"]:
    """Scores of queries given their families and outcomes, one for each draw.

    As `conditional_scores`, over the scores of each query's own family.

    Parameters
    ----------
    population
        Families, draw by draw.
    family
        Which family each of the distinct outcomes is of.
    outcomes, uniform, of, nodes_at_once
        As there.
    """
    location, scale = population.location.T, population.scale.T

    def placed(breaks: Array, rows: slice, draws: slice) -> _Placed:
        middle, wide = (
            each[draws, family[rows]][:, :, None] for each in (location, scale)
        )
        shape = population.shape[draws, None, None]
        standard = (SPLICE, SPLICED_SCALE, shape)
        place = quadrature.place_of(np, (breaks - middle) / wide, *standard)
        place, log_mass = quadrature.placed_spliced_nodes(
            np, _with_depths(place, SPLICE), _NODES
        )
        score = middle + wide * quadrature.score_at(np, place, *standard)

        def score_of(chosen: Uniform, members: Any) -> Array:
            deviate = quadrature.score_at(np, chosen, *standard[:2], shape[:, :, 0])
            return middle[:, members, 0] + wide[:, members, 0] * deviate

        return place, log_mass, score, score_of

    return _conditional(placed, _BODY_ENDS, outcomes, uniform, of, nodes_at_once)


type _Placed = tuple[Array, Array, Array, Callable[[Array, Any], Array]]
type _Nodes = Callable[[Array, slice, slice], _Placed]


def _with_depths(place: Array, start: float) -> Array:
    """Breaks by their places, and where panels of a tail end beside them."""
    deep = np.broadcast_to(start + _DEPTHS, (*place.shape[:2], len(_DEPTHS)))
    return np.concatenate([place, deep], axis=2)


def _conditional(
    placed: _Nodes,
    body_ends: int,
    outcomes: Outcomes,
    uniform: Uniform,
    of: Int[np.ndarray, " query"],
    nodes_at_once: int,
) -> Float[np.ndarray, "draw query"]:
    """Scores by blocks of outcomes and draws, of a population given by its nodes."""
    answer = np.empty_like(uniform)
    per_outcome = _NODES * (body_ends + 30)
    width = max(min(nodes_at_once // per_outcome, len(outcomes)), 1)
    for first in range(0, len(outcomes), width):
        rows = slice(first, first + width)
        members = np.flatnonzero((of >= first) & (of < first + width))
        # Queries cost a panel each, beside the nodes of their outcomes.
        held = max(width * per_outcome, members.size * 4 * _NODES)
        step = max(nodes_at_once // held, 1)
        for start in range(0, len(uniform), step):
            draws = slice(start, start + step)
            place, log_mass, score, score_of = placed(
                outcomes.breaks(rows, draws), rows, draws
            )
            log_mass = log_mass + outcomes.log_likelihood(score, rows, draws)
            own = of[members] - first
            chosen = _chosen(place, log_mass, uniform[draws, members], own)
            answer[draws, members] = score_of(chosen, own)
    return answer


def _chosen(
    place: Array, log_mass: Array, uniform: Uniform, of: Int[np.ndarray, " query"]
) -> Float[np.ndarray, "draw query"]:
    """Places at which the conditional distribution has reached the uniform numbers."""
    mass = np.exp(log_mass - log_mass.max(axis=2, keepdims=True))
    by_panel = (*mass.shape[:2], -1, _NODES)
    place, mass = place.reshape(by_panel), mass.reshape(by_panel)
    level = mass.sum(axis=3).cumsum(axis=2)
    total = level[:, of, -1]
    # Rounded, a product with a number below 1 may be the whole, which no panel reaches.
    goal = np.minimum(uniform * total, np.nextafter(total, 0.0))
    panel = _first_above(level, goal, of)
    draw = np.arange(len(uniform))[:, None]
    before = np.where(panel > 0, level[draw, of, panel - 1], 0.0)
    found = _inverted(mass[draw, of, panel], goal - before)
    ends = place[draw, of, panel]
    first, last = ends[..., 0], ends[..., -1]
    return (first + last) / 2 + (last - first) / 2 * found / _NODE[-1]


def _first_above(
    level: Float[np.ndarray, "draw row panel"],
    goal: Uniform,
    of: Int[np.ndarray, " query"],
) -> Int[np.ndarray, "draw query"]:
    """First panel at whose end a level is larger than the goal; bisection."""
    draw = np.arange(len(goal))[:, None]
    low, high = np.zeros(goal.shape, int), np.full(goal.shape, level.shape[2] - 1)
    for _ in range(level.shape[2].bit_length()):
        middle = (low + high) // 2
        above: Bool[np.ndarray, "draw query"] = level[draw, of, middle] > goal
        low, high = (
            np.where(above, low, np.minimum(middle + 1, high)),
            np.where(above, middle, high),
        )
    return high


def _inverted(
    mass: Float[np.ndarray, "draw query node"], part: Uniform
) -> Float[np.ndarray, "draw query"]:
    """Where in [-1, 1] the integral of the polynomial through a panel is a part of it.

    A panel across which a density falls far has a polynomial that is slightly negative
    in places; any place where the integral is what it should be will do.
    """
    # By einsum, whose sums do not depend on how many are made at once.
    series = np.einsum("dqn,nk->kdq", mass, _INTEGRALS)
    low, high = np.full(part.shape, -1.0), np.ones(part.shape)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = cast("Array", legval(middle, series, tensor=False)) < part
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return (low + high) / 2
