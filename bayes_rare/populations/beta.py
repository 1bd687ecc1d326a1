"""Beta-distributed risks, with a share of queries that never fail.

=================  ==============================================================
``first``          first parameter a of the beta distribution: how risks near 0 thin
                   out, as ``risk ** (a - 1)``
``second``         second parameter b: how risks near 1 do
``impossible``     share of queries whose risk is 0, a score of minus infinity
``fallible``       the other queries, with a risk from the beta distribution
=================  ==============================================================

The functions that take ``xp`` serve NumPy and PyTensor alike: what is compiled and what
is drawn from afterwards are one formula.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, override

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betainc, betaincc, betainccinv, betaincinv, gammaln

from bayes_rare.populations.population import Population
from bayes_rare.populations.quadrature import CUTS
from bayes_rare.scores import Numbers, log_risk_from_score, log_safe_from_score

__all__ = ["BetaRisks", "beta_scores", "log_beta", "log_outcome", "log_rising"]

type Array = Float[np.ndarray, "..."]
type Draws = Float[np.ndarray, " draw"]
type Points = Float[np.ndarray, " point"]
type Chosen = Bool[np.ndarray, " point"] | Int[np.ndarray, " chosen"]

# From 8 on, four terms of Stirling's series leave an error below 1e-11.
_SHIFT = 8
# Values of scipy's functions below this are not trusted to have all their digits.
_TINY = 1e-200
# A continued fraction ends by then: it is asked only far out in a tail.
_MOST_TERMS = 5_000
# Factors that differ by less from 1 differ by rounding, and may do so for ever.
_EPSILON = 1e-15
# An inverse is polished until a log level is known to so much, in so many rounds; what
# is left is found by bisection between these scores.
_POLISHED, _ROUNDS = 1e-13, 4
_LOWEST, _HIGHEST, _BISECTIONS = -700.0, 1e6, 100
# Means are Gauss-Legendre sums between levels: so deep in logarithms, from both ends.
_NODES = 12
_DEPTHS = np.array(
    [0.7, 1.1, 1.6, 2.3, 3.2, 4.5, 6.0, 8.0, 10.5, 13.5, 17.0, 21.0, 26.0, 32.0, 38.0]
)
_DEEPER = np.array([45.0, 52.0, 60.0])


def log_rising(xp: Any, start: Any, steps: Any) -> Any:
    """Log of a rising factorial: ``log Gamma(start + steps) - log Gamma(start)``.

    Differences of log gamma functions lose their digits where the start is large: at
    1e9, six of them. Here the start is moved up by eight, where Stirling's series is
    exact, and the difference of two series is taken term by term. There are no branches
    and no special functions, so gradients are finite wherever the value is.

    Examples
    --------
    A rising factorial of one step is its start, however large:

    >>> start = np.array([1e-6, 1.0, 1e9, 1e15])
    >>> (np.exp(log_rising(np, start, 1.0)) / start).round(12)
    array([1., 1., 1., 1.])
    """
    low = start + _SHIFT
    high = low + steps
    moved = 1.0 + steps / start
    for step in range(1, _SHIFT):
        moved = moved * (1.0 + steps / (start + step))
    return (
        (low - 0.5) * xp.log1p(steps / low)
        + steps * (xp.log(high) - 1.0)
        + _stirling(high)
        - _stirling(low)
        - xp.log(moved)
    )


def _stirling(value: Any) -> Any:
    """The terms of Stirling's series that vanish at infinity."""
    inverse = 1.0 / value
    square = inverse * inverse
    return inverse * (
        1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680)))
    )


def log_outcome(xp: Any, successes: Any, trials: Any, first: Any, second: Any) -> Any:
    """Log chance of so many successes in a given order, the risk beta-distributed.

    ``log B(a + s, b + t - s) - log B(a, b)``: of s successes of t trials in any order
    it is ``log C(t, s)`` more.

    Examples
    --------
    Of a uniform risk, each number of successes is as likely, in any order:

    >>> ways = np.log([1, 4, 6, 4, 1])
    >>> np.exp(ways + log_outcome(np, np.arange(5.0), 4.0, 1.0, 1.0)).round(12)
    array([0.2, 0.2, 0.2, 0.2, 0.2])
    """
    return (
        log_rising(xp, first, successes)
        + log_rising(xp, second, trials - successes)
        - log_rising(xp, first + second, trials)
    )


def log_beta(first: Numbers, second: Numbers) -> Array:
    """Log of the beta function, to all digits where the parameters differ widely."""
    small, large = np.minimum(first, second), np.maximum(first, second)
    return np.asarray(gammaln(small) - log_rising(np, large, small))


def beta_scores(rng: np.random.Generator, first: Array, second: Array) -> Array:
    """Scores of risks drawn from beta distributions, at any risk above 0.

    A risk is ``X / (X + Y)`` of two gamma variables, whose logarithms are drawn: risks
    far below the smallest number of float64 keep their score.
    """
    odds = _log_gamma_draws(rng, second) - _log_gamma_draws(rng, first)
    # -log(risk) = log(1 + exp(odds)), which is exp(odds) where that is next to 0.
    likely = odds < -36.0
    hazard = np.logaddexp(0.0, np.where(likely, 0.0, odds))
    return np.where(likely, -odds, -np.log(hazard))


def _log_gamma_draws(rng: np.random.Generator, shape: Array) -> Array:
    """Logarithms of gamma variables: ``X(a) = X(a + 1) U^(1/a)`` in distribution."""
    larger = np.log(rng.standard_gamma(shape + 1.0))
    return larger - rng.standard_exponential(shape.shape) / shape


@dataclass(frozen=True, eq=False)
class BetaRisks(Population):
    """Beta-distributed risks, and a share of queries that never fail.

    ``S(s) = (1 - impossible) * P(risk > exp(-exp(-s)))`` of the beta distribution. The
    impossible queries have the risk 0, a score of minus infinity.

    Parameters
    ----------
    first, second
        Parameters of the beta distribution of the fallible queries, positive.
    impossible
        Share of queries whose risk is 0, in [0, 1).

    Examples
    --------
    Below the fallible queries there is only minus infinity:

    >>> risks = BetaRisks(*np.array([[0.5], [20.0], [0.25]]))
    >>> risks.quantile(np.log([[0.8], [0.7]])).ravel().round(2)
    array([ -inf, -2.16])
    """

    first: Draws
    second: Draws
    impossible: Draws

    @property
    @override
    def draws(self) -> int:
        return self.first.size

    @cached_property
    def _log_beta(self) -> Draws:
        return log_beta(self.first, self.second)

    @cached_property
    def _log_fallible(self) -> Draws:
        return np.log1p(-self.impossible)

    def _each(self, numbers: Array) -> "tuple[_Beta, Points, tuple[int, ...]]":
        """The distribution of each of the numbers, one by one, and their shape."""
        whole, draw = np.broadcast_arrays(numbers, np.arange(self.draws))
        index = draw.ravel()
        law = _Beta(self.first[index], self.second[index], self._log_beta[index])
        return law, whole.ravel(), whole.shape

    @override
    def log_survival(self, score: Numbers) -> Array:
        law, flat, shape = self._each(np.asarray(score, np.float64))
        return law.log_tails(flat)[1].reshape(shape) + self._log_fallible

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        within = np.asarray(log_survival, np.float64) - self._log_fallible
        law, flat, shape = self._each(within)
        score = np.full(flat.shape, -np.inf)
        fallible = flat < 0
        score[fallible] = law.at(fallible).score_of(flat[fallible])
        return score.reshape(shape)

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        left_out = np.broadcast_to(np.asarray(log_level, np.float64), (self.draws,))
        depth = np.concatenate([_DEPTHS, _DEEPER])[:, None]
        lower = np.log1p(-np.exp(-_DEPTHS[::-1, None]))
        law, flat, shape = self._each(np.concatenate([lower, -depth]))
        edges = law.score_of(flat).reshape(shape)
        cuts = np.broadcast_to(CUTS[:, None], (CUTS.size, self.draws))
        # Only what lies between the outermost levels, and below what is left out.
        low = edges[0]
        high = np.clip(self.quantile(left_out), low, edges[-1])
        edges = np.concatenate([edges, np.clip(cuts, low, edges[-1])])
        edges = np.minimum(np.sort(edges, axis=0), high)
        half = np.diff(edges, axis=0)[:, None] / 2
        node, weight = np.polynomial.legendre.leggauss(_NODES)
        score = edges[:-1, None] + half * (node[:, None] + 1)
        score = score.reshape(-1, self.draws)
        law, flat, shape = self._each(score)
        density = np.exp(law.log_density(flat).reshape(shape) + self._log_fallible)
        measure = (half * weight[:, None]).reshape(-1, self.draws) * density
        risky = np.einsum("nd,...nd->...d", measure, function(score))
        never = function(np.full((1, 1), -np.inf))[..., 0, :]
        share = np.clip(-np.expm1(left_out), 0.0, self.impossible)
        return risky + share * never


@dataclass(frozen=True, eq=False)
class _Beta:
    """Beta distributions of the score, one for each point that is asked about."""

    first: Points
    second: Points
    log_beta: Points

    def at(self, chosen: Chosen) -> "_Beta":
        """The distributions of some of the points."""
        return _Beta(self.first[chosen], self.second[chosen], self.log_beta[chosen])

    def log_density(self, score: Points) -> Points:
        """Log density of the score."""
        return (
            self.first * log_risk_from_score(score)
            + (self.second - 1) * log_safe_from_score(score)
            - score
            - self.log_beta
        )

    def log_tails(self, score: Points) -> tuple[Points, Points]:
        """Log fractions of queries with a smaller and with a larger score."""
        log_risk = log_risk_from_score(score)
        risk, safe = np.exp(log_risk), -np.expm1(log_risk)
        likely = risk > 0.5
        a, b = self.first, self.second
        # The smaller of risk and 1 - risk keeps its digits: all is asked of that one.
        one, other = np.where(likely, b, a), np.where(likely, a, b)
        smaller = np.where(likely, safe, risk)
        within, beyond = betainc(one, other, smaller), betaincc(one, other, smaller)
        lower = np.where(likely, beyond, within)
        upper = np.where(likely, within, beyond)
        with np.errstate(divide="ignore"):
            log_lower = np.log(lower)
            log_upper = np.log(upper)
        # Where a risk or a fraction leaves float64, the logarithms are found directly.
        log_safe = log_safe_from_score(score)
        low = ((lower < _TINY) | (risk < _TINY)) & np.isfinite(log_risk)
        log_lower[low] = _log_far_tail(
            log_risk[low], log_safe[low], a[low], b[low], self.log_beta[low]
        )
        high = ((upper < _TINY) | (safe < _TINY)) & np.isfinite(log_safe)
        log_upper[high] = _log_far_tail(
            log_safe[high], log_risk[high], b[high], a[high], self.log_beta[high]
        )
        below = log_lower < log_upper
        with np.errstate(divide="ignore"):
            return (
                np.where(below, log_lower, np.log1p(-np.exp(log_upper))),
                np.where(below, np.log1p(-np.exp(log_lower)), log_upper),
            )

    def score_of(self, log_level: Points) -> Points:
        """Score with so much of the distribution above it, in logarithms below 0."""
        level, rest = np.exp(log_level), -np.expm1(log_level)
        a, b = self.first, self.second
        deep = level < 0.5
        risk = np.where(deep, betainccinv(a, b, level), betaincinv(a, b, rest))
        likely = risk > 0.5
        safe = 1.0 - risk
        safe[likely] = np.where(
            deep[likely],
            betaincinv(b[likely], a[likely], level[likely]),
            betainccinv(b[likely], a[likely], rest[likely]),
        )
        with np.errstate(all="ignore"):
            log_rest = np.log(rest)
            log_risk = np.where(
                risk > _TINY, np.log(risk), (log_rest + np.log(a) + self.log_beta) / a
            )
            log_safe = np.where(
                safe > _TINY, np.log(safe), (log_level + np.log(b) + self.log_beta) / b
            )
            hazard = np.where(likely, -np.log1p(-safe), -log_risk)
            score = np.where(safe > _TINY, -np.log(hazard), -log_safe)
        endless = np.isneginf(log_level)
        score[endless] = np.inf
        left = np.flatnonzero(~endless)
        for _ in range(_ROUNDS):
            step, error = self.at(left).newton(
                score[left], log_level[left], log_rest[left]
            )
            wrong = ~(error < _POLISHED)
            left, step = left[wrong], step[wrong]
            score[left] = score[left] - np.nan_to_num(np.clip(step, -1.0, 1.0))
        if left.size:
            _, error = self.at(left).newton(
                score[left], log_level[left], log_rest[left]
            )
            left = left[~(error < 1e3 * _POLISHED)]
            score[left] = self.at(left).bisected(log_level[left], log_rest[left])
        return score

    def newton(
        self, score: Points, log_level: Points, log_rest: Points
    ) -> tuple[Points, Points]:
        """Steps by which scores are too large, and relative errors of their levels."""
        below, above = self.log_tails(score)
        deep = log_level < log_rest
        with np.errstate(all="ignore"):
            error = np.where(deep, log_level - above, below - log_rest)
            log_slope = self.log_density(score) - np.where(deep, above, below)
            step = error * np.exp(-log_slope)
            size = np.abs(error) / (1 + np.abs(np.where(deep, log_level, log_rest)))
        return step, size

    def bisected(self, log_level: Points, log_rest: Points) -> Points:
        """Scores of levels where nothing faster has found them."""
        low, high = (
            np.full(log_level.shape, _LOWEST),
            np.full(log_level.shape, _HIGHEST),
        )
        deep = log_level < log_rest
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            below, above = self.log_tails(middle)
            beyond = np.where(deep, above <= log_level, below >= log_rest)
            high, low = np.where(beyond, middle, high), np.where(beyond, low, middle)
        return high


def _log_far_tail(
    log_x: Points, log_rest: Points, first: Points, second: Points, log_beta: Points
) -> Points:
    """Log of the incomplete beta function far out in its lower tail.

    ``I_x(a, b) = x**a (1 - x)**b / (a B(a, b))`` times a continued fraction [1]_, by
    Lentz's rule.

    References
    ----------
    .. [1] NIST Digital Library of Mathematical Functions, 8.17.22.
    """
    x = np.exp(log_x)
    total = first + second
    below = _away_from_zero(1.0 - total * x / (first + 1.0))
    ratio = 1.0 / below
    upper, answer = np.ones_like(x), ratio.copy()
    for m in range(1, _MOST_TERMS):
        even = m * (second - m) * x / ((first + 2 * m - 1) * (first + 2 * m))
        odd = -(first + m) * (total + m) * x
        odd = odd / ((first + 2 * m) * (first + 2 * m + 1))
        change = np.ones_like(x)
        for term in (even, odd):
            ratio = 1.0 / _away_from_zero(1.0 + term * ratio)
            upper = _away_from_zero(1.0 + term / upper)
            change = ratio * upper
            answer = answer * change
        if (np.abs(change - 1.0) < _EPSILON).all():
            break
    return first * log_x + second * log_rest - np.log(first) - log_beta + np.log(answer)


def _away_from_zero(value: Points) -> Points:
    return np.where(np.abs(value) < 1e-300, 1e-300, value)
