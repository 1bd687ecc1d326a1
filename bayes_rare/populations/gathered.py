"""Draws of several populations as one population.

A weighted average of posteriors is the collection of their draws, as many of each as
its weight says.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import override

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.populations.population import Population
from bayes_rare.scores import Numbers

__all__ = ["Gathered"]

type Array = Float[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Gathered(Population):
    """The draws of several populations, end to end or in an order of their own.

    Parameters
    ----------
    parts
        Populations, at least one, of any kinds. A draw of the whole is a draw of one of
        them.
    order
        Where each draw of the parts, end to end, stands in the whole: each place once.

    Examples
    --------
    >>> from bayes_rare.populations import Normal
    >>> low, high = (Normal(np.full(2, at), np.ones(2)) for at in (-1.0, 1.0))
    >>> Gathered((low, high)).quantile(np.log(0.5))
    array([-1., -1.,  1.,  1.])
    """

    parts: tuple[Population, ...]
    order: Int[np.ndarray, " draw"] | None = None

    @property
    @override
    def draws(self) -> int:
        return self._ends[-1]

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        return tuple(int(end) for end in np.cumsum([p.draws for p in self.parts]))

    @cached_property
    def _places(self) -> Int[np.ndarray, " draw"]:
        return np.arange(self.draws) if self.order is None else self.order

    def _with_their_own(self, numbers: Numbers) -> Iterator[tuple[Population, Array]]:
        """Each part, and what of the numbers belongs to its draws."""
        values = np.asarray(numbers, np.float64)
        alike = values.ndim == 0 or values.shape[-1] != self.draws
        start = 0
        for part, end in zip(self.parts, self._ends, strict=True):
            yield part, values if alike else values[..., self._places[start:end]]
            start = end

    def _joined(self, found: Sequence[Array]) -> Array:
        """The answers of the parts, each draw at its place."""
        end_to_end = np.concatenate(found, axis=-1)
        if self.order is None:
            return end_to_end
        whole = np.empty_like(end_to_end)
        whole[..., self.order] = end_to_end
        return whole

    @cached_property
    def _tabled(self) -> "Gathered":
        return replace(self, parts=tuple(part.tabled() for part in self.parts))

    @override
    def tabled(self) -> Population:
        return self._tabled

    @override
    def log_survival(self, score: Numbers) -> Array:
        return self._joined(
            [part.log_survival(own) for part, own in self._with_their_own(score)]
        )

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        return self._joined(
            [part.quantile(own) for part, own in self._with_their_own(log_survival)]
        )

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        return self._joined(
            [part.mean(function, own) for part, own in self._with_their_own(log_level)]
        )
