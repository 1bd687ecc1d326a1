"""The deployment that a forecast is for."""

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_rare.arguments.checking import checked_call, whole_number
from bayes_rare.arguments.near_words import shown
from bayes_rare.errors import InvalidInput
from bayes_rare.forecasting import family_mix
from bayes_rare.forecasting.outcomes import FOREVER, FOREVER_WRITTEN
from bayes_rare.populations.missed_mode import MissedMode

__all__ = ["Deployment", "checked_number"]


@checked_call
@dataclass(frozen=True, init=False, repr=False)
class Deployment:
    """A deployment: number of queries, responses per query and mix of families.

    Parameters
    ----------
    queries
        Number of queries, one size or several, each a whole number from 1 to 1e12, such
        as 1e9. Stored in order, without duplicates.
    samples_per_query
        Responses per query, at least 1.
    families
        Mix of families of the queries: weights by name, up to a factor, as a mapping or
        a frame with columns ``family`` and ``weight``. By default the mix of the
        evaluation, with the uncertainty of its counts. A family that was evaluated for
        other behaviours only is an unseen family for this one.
    unseen_share
        Share of queries from unseen families, in [0, 1]; the named families share the
        rest. A method that ignores families treats these queries like the others, and
        its forecast has a note about it.
    unseen_families
        Number of unseen families, up to 2,000; needed if the share is positive, as it
        matters whether a million queries come from one new family or from a thousand.
        All have equal shares.
    missed_mode
        A kind of query that the evaluation is assumed to have missed. By default none,
        and every forecast has a note on what the evaluation cannot exclude.

    Raises
    ------
    InvalidInput
        If a number is not whole or out of range.

    Examples
    --------
    >>> Deployment([1e9, 1e4])
    Deployment(queries=(10000, 1000000000), samples_per_query=1)
    """

    queries: tuple[int, ...]
    samples_per_query: int
    families: tuple[tuple[str, float], ...] | None
    unseen_share: float
    unseen_families: int | None
    missed_mode: MissedMode | None

    def __init__(
        self,
        queries: Any,
        samples_per_query: int | float = 1,
        families: Any = None,
        unseen_share: int | float = 0.0,
        unseen_families: int | float | None = None,
        missed_mode: MissedMode | None = None,
    ) -> None:
        try:
            given = np.ravel(np.asarray(queries, dtype=object)).tolist()
        except ValueError:
            raise InvalidInput(
                f"queries is a number or a list of numbers, got {shown(queries)}. Give "
                "queries=[10_000, 1_000_000]."
            ) from None
        if not given:
            raise InvalidInput("a deployment needs a size: give queries=1_000_000.")
        sizes = {checked_number("queries", size) for size in given}
        samples = checked_number("samples_per_query", samples_per_query)
        if not 0 <= unseen_share <= 1:
            raise InvalidInput(
                f"unseen_share is a share of queries, in [0, 1], got {unseen_share}. "
                "For 5 % give 0.05."
            )
        if (unseen_share > 0) != (unseen_families is not None):
            raise InvalidInput(
                f"unseen_share={unseen_share:g} and unseen_families={unseen_families} "
                "do not go together: a share of queries comes from some number of new "
                "families. Give both, as in unseen_share=0.05, unseen_families=40, or "
                "neither."
            )
        if unseen_families is not None:
            unseen_families = checked_number("unseen_families", unseen_families)
            if unseen_families > family_mix.MOST_UNSEEN:
                raise InvalidInput(
                    f"unseen_families is at most {family_mix.MOST_UNSEEN}, got "
                    f"{unseen_families}: each is drawn for every draw of the "
                    "posterior. Families so small are queries: call fewer, larger "
                    "kinds a family."
                )
        # A frozen value sets its own fields so.
        object.__setattr__(self, "queries", tuple(sorted(sizes)))
        object.__setattr__(self, "samples_per_query", samples)
        mix = None if families is None else family_mix.checked_mix(families)
        object.__setattr__(self, "families", mix)
        object.__setattr__(self, "unseen_share", float(unseen_share))
        object.__setattr__(self, "unseen_families", unseen_families)
        object.__setattr__(self, "missed_mode", missed_mode)

    def __repr__(self) -> str:
        named = f", families={dict(self.families)}" if self.families else ""
        unseen = (
            f", unseen_share={self.unseen_share:g}, "
            f"unseen_families={self.unseen_families}"
            if self.unseen_share
            else ""
        )
        missed = "" if self.missed_mode is None else f", missed_mode={self.missed_mode}"
        return (
            f"Deployment(queries={self.queries}, "
            f"samples_per_query={self.samples_per_query}{named}{unseen}{missed})"
        )

    def of_size(self, queries: int) -> "Deployment":
        """The same deployment at one size.

        Parameters
        ----------
        queries
            How many queries.
        """
        made = copy(self)  # weights that sum to one are not divided again
        size = (checked_number("queries", queries),)
        object.__setattr__(made, "queries", size)
        return made


def checked_number(name: str, value: Any) -> int:
    """A number of queries or samples, from 1 to 1e12."""
    number = whole_number(value)
    if number is None or not 1 <= number <= FOREVER:
        raise InvalidInput(
            f"{name} is a whole number from 1 to {FOREVER_WRITTEN}, got {shown(value)}."
            f"{_way_out(name, value)}"
        )
    return number


def _way_out(name: str, value: Any) -> str:
    """What to type in place of an invalid number of queries."""
    if isinstance(value, float) and 1 <= value <= FOREVER:
        return f" Round it: {name}={round(value)}."
    if isinstance(value, str):
        return f" Give a number, not a text: {name}=1_000_000."
    return f" Give {name}=1_000_000, or several in a list."
