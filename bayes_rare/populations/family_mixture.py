"""A mixture of families of queries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import override

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.populations.origin import Origin
from bayes_rare.populations.population import (
    Array,
    Draws,
    FamilyDraws,
    Population,
    as_array,
)
from bayes_rare.populations.spliced import (
    spliced_log_density,
    spliced_panels,
    spliced_quantile,
)
from bayes_rare.populations.tabled import Tabled
from bayes_rare.scores import Numbers

__all__ = ["FamilyMixture"]

# Scores that no quantile of a family reaches at any level that is asked for.
_FAR_OUT = 1e6
# Newton's steps double the digits; a bracket that is halved each time needs 60.
_STEPS, _TOLERANCE = 80, 1e-13


@dataclass(frozen=True, eq=False)
class FamilyMixture(Population):
    """A mixture of families: one standard shape, located and scaled by family.

    ``S(s) = sum over families of weight_f * S_e((s - location_f) / scale_f)``, where
    S_e is `spliced_log_survival`: normal up to `SPLICE`, generalized Pareto beyond.

    Parameters
    ----------
    location, scale
        Mean and standard deviation of the normal body of each family's scores.
    weight
        Share of the queries that come from each family; they sum to 1 in each draw.
    shape
        Shape of the tail that the families share.
    origin
        The population of families that new ones are drawn from, if it is known.
    labels
        Names of the families; none where nobody has named them.

    Notes
    -----
    Nothing is simulated: a quantile is the root of the log survival between bounds that
    the families' own quantiles set, and costs the same for any number of queries.

    Examples
    --------
    Half of the queries in a family far below leave the other family's tail, at twice
    the level:

    >>> one = np.ones((2, 1))
    >>> halves = FamilyMixture(np.array([[-9.0], [0.0]]), one, one / 2, np.zeros(1))
    >>> alone = FamilyMixture(np.zeros((1, 1)), one[:1], one[:1], np.zeros(1))
    >>> alone.quantile(-20.0 + np.log(2)) - halves.quantile(-20.0) < 1e-9
    array([ True])
    """

    location: FamilyDraws
    scale: FamilyDraws
    weight: FamilyDraws
    shape: Draws
    origin: Origin | None = None
    labels: tuple[str, ...] = ()

    @property
    @override
    def draws(self) -> int:
        return self.shape.size

    @property
    def families(self) -> int:
        """Number of families, those of no weight among them."""
        return len(self.location)

    def taken(self, draws: Int[np.ndarray, " taken"]) -> "FamilyMixture":
        """The same of some draws, perhaps several times.

        Parameters
        ----------
        draws
            Places of the draws.
        """
        return FamilyMixture(
            self.location[:, draws],
            self.scale[:, draws],
            self.weight[:, draws],
            self.shape[draws],
            None if self.origin is None else self.origin.taken(draws),
            self.labels,
        )

    def mixed(
        self,
        weight: FamilyDraws | None = None,
        new: Float[np.ndarray, " new"] | None = None,
        labels: Sequence[str] = (),
    ) -> "FamilyMixture":
        """The same families in another mix, and new ones beside them.

        Parameters
        ----------
        weight
            Share of each family, by draw or, of one draw, for all; by default as it is.
        new
            Share of each new family, whose location and scale are drawn from the
            population of families. Its sum is what is left to the others.
        labels
            Names of all of them.

        Raises
        ------
        ValueError
            If there are new families, and nothing is known of where they come from.
        """
        weight = self.weight if weight is None else weight
        weight = np.broadcast_to(weight, self.location.shape)
        weight = weight / weight.sum(axis=0)
        if new is None or not new.size:
            return replace(self, weight=weight, labels=tuple(labels))
        if self.origin is None:
            raise ValueError("new families need the population that they are from.")
        location, scale = self.origin.drawn(new.size)
        share = np.broadcast_to(new[:, None], location.shape)
        return FamilyMixture(
            np.concatenate([self.location, location]),
            np.concatenate([self.scale, scale]),
            np.concatenate([weight * max(1 - float(new.sum()), 0.0), share]),
            self.shape,
            self.origin,
            tuple(labels),
        )

    def shares(self, score: Numbers) -> FamilyDraws:
        """Chance that a query of a known score is from each family.

        ``weight_f * density_f(score) / sum over families``.

        Parameters
        ----------
        score
            One score for each draw.
        """
        deviate = (as_array(score) - self.location) / self.scale
        with np.errstate(divide="ignore"):
            log_density = spliced_log_density(deviate, self.shape) + np.log(
                self.weight / self.scale
            )
        largest = log_density.max(axis=0)
        # Beyond every upper end there is no density: the mix itself is all we know.
        beyond = ~np.isfinite(largest)
        part = np.exp(log_density - np.where(beyond, 0.0, largest))
        part = np.where(beyond, self.weight, part)
        return part / part.sum(axis=0)

    @cached_property
    def by_draw(self) -> tuple[Array, Array, Array]:
        """Location, scale and weight of each family, by draw and family."""
        return (
            np.ascontiguousarray(self.location.T),
            np.ascontiguousarray(self.scale.T),
            np.ascontiguousarray(self.weight.T),
        )

    @cached_property
    def _tabled(self) -> Tabled:
        return Tabled(self)

    @override
    def tabled(self) -> Population:
        return self._tabled

    @override
    def log_survival(self, score: Numbers) -> Array:
        score = as_array(score)
        shape = np.broadcast_shapes(score.shape, (self.draws,))
        rows = np.broadcast_to(score, shape).reshape(-1, self.draws)
        every = np.arange(self.draws)
        levels = np.empty(rows.shape)
        for number, row in enumerate(rows):
            levels[number] = self._slope(row, every)[0]
        return levels.reshape(shape)

    def _slope(
        self, score: Draws, chosen: Int[np.ndarray, " point"]
    ) -> tuple[Draws, Draws]:
        """Log survival at a score for each of some draws, and minus its derivative."""
        from bayes_rare.populations import kernels

        level, hazard = np.empty(chosen.size), np.empty(chosen.size)
        kernels.tails(score, chosen, *self.by_draw, self.shape, level, hazard)
        return level, hazard

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        log_survival = as_array(log_survival)
        shape = np.broadcast_shapes(log_survival.shape, (self.draws,))
        rows = np.broadcast_to(log_survival, shape).reshape(-1, self.draws)
        low, high = self._bounds(rows.max(axis=0), rows.min(axis=0))
        score = np.empty(rows.shape)
        start = high
        for number, row in enumerate(rows):  # each from where the last one ended
            start = self._root(row, low, high, start)
            score[number] = start
        return score.reshape(shape)

    def _bounds(self, shallow: Draws, deep: Draws) -> tuple[Draws, Draws]:
        """Scores between which the quantiles of all levels between two lie.

        No part is more than the whole: ``weight_f * S_f(s) <= S(s)`` bounds a quantile
        from below; and a mean is no more than its largest term: ``S(s) <= max S_f(s)``.
        """
        with np.errstate(divide="ignore"):
            log_weight = np.log(self.weight)
        present = self.weight > 0
        own = np.minimum(shallow - np.where(present, log_weight, 0.0), 0.0)
        low = self.location + self.scale * spliced_quantile(own, self.shape)
        high = self.location + self.scale * spliced_quantile(deep, self.shape)
        return (
            np.where(present, low, -np.inf).max(axis=0),
            np.where(present, high, -np.inf).max(axis=0),
        )

    def _root(self, level: Draws, low: Draws, high: Draws, start: Draws) -> Draws:
        """Where the log survival is ``level``: Newton's steps, kept inside bounds."""
        score = np.where(level == 0.0, -np.inf, high)
        low = np.where(np.isfinite(low), low, np.minimum(-_FAR_OUT, high - 1))
        high = np.where(np.isfinite(high), high, np.maximum(_FAR_OUT, low + 1))
        left = np.flatnonzero((level < 0.0) & (level > -np.inf) & (low < high))
        level, low, high = level[left], low[left], high[left]
        now = np.asarray(np.clip(start[left], low, high))
        for _ in range(_STEPS):
            if not left.size:
                break
            value, slope = self._slope(now, left)
            gap = value - level
            low, high = np.where(gap >= 0, now, low), np.where(gap <= 0, now, high)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                step = np.asarray(now + gap / slope)
            inside = (step >= low) & (step <= high)  # not so for NaN
            step = np.where(inside, step, (low + high) / 2)
            close = np.abs(gap) <= _TOLERANCE * (1 - level)
            still = ~close & (np.abs(step - now) > _TOLERANCE * (1 + np.abs(now)))
            score[left] = np.where(close, now, step)
            left, level, now = left[still], level[still], step[still]
            low, high = low[still], high[still]
        return score

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        highest = self.quantile(log_level)
        total: Array | float = 0.0
        for location, scale, weight in zip(
            self.location, self.scale, self.weight, strict=True
        ):
            if weight.any():
                end = (highest - location) / scale
                deviate, measure = spliced_panels(end, scale, self.shape)
                values = function(location + scale * deviate)
                total = total + weight * np.einsum("nd,...nd->...d", measure, values)
        return np.asarray(total)
