"""What the posterior of one model and an average of several have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from bayes_rare.errors import InvalidInput, NotConverged, listed
from bayes_rare.populations import Population
from bayes_rare.posterior.netcdf import write_tree
from bayes_rare.posterior.query_risks import PosteriorLike, QueryRisks, query_risks

if TYPE_CHECKING:
    import xarray

__all__ = ["Fitted", "refuse_other_draws"]


class Fitted(PosteriorLike):
    """Posterior draws that forecast: a `Posterior`, or an `Average` of several."""

    @cached_property
    @abstractmethod
    def tree(self) -> "xarray.DataTree":
        """All of it as an ArviZ `DataTree`."""

    @abstractmethod
    def population(self, behaviour: str | None = None) -> Population:
        """Distribution of a new query's score, draw by draw."""

    @abstractmethod
    def thinned[F: "Fitted"](self: F, most: int) -> F:
        """The same with at most so many draws."""

    @abstractmethod
    def _in_a_refusal(self) -> tuple[str, str]:
        """What it is called where it did not converge, and the way out."""

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Behaviours that were fitted."""
        return self.evaluation.behaviours

    def query_risks(
        self,
        query_ids: str | Sequence[str] | None = None,
        *,
        behaviour: str | Sequence[str] | None = None,
        top: int | float = 20,
        successes: ArrayLike | int | float | None = None,
        trials: ArrayLike | int | float | None = None,
        log_risk: ArrayLike | int | float | None = None,
        log_risk_se: ArrayLike | int | float | None = None,
        family: str | Sequence[str] | None = None,
        seed: int = 0,
    ) -> QueryRisks:
        """Posterior draws of the risks of single queries, given the outcomes of each.

        The same as `bayes_rare.query_risks`, which says more.

        Parameters
        ----------
        query_ids
            Queries by their identity; by default the riskiest as observed.
        behaviour
            Which behaviours, one or several; by default all.
        top
            How many of the riskiest of each behaviour, at most.
        successes, trials
            Outcomes of queries of one behaviour, in place of those observed.
        log_risk, log_risk_se
            Estimates with standard errors, in place of successes and trials.
        family
            Families of the queries whose outcomes are given, one for all or one each.
        seed
            Random seed of the draws, a whole number from 0.
        """
        return query_risks(
            self,
            query_ids,
            behaviour=behaviour,
            top=top,
            successes=successes,
            trials=trials,
            log_risk=log_risk,
            log_risk_se=log_risk_se,
            family=family,
            seed=seed,
        )

    def require_convergence[F: "Fitted"](self: F, advice: str = "") -> F:
        """Return it unchanged, or refuse it if its draws cannot be trusted.

        Parameters
        ----------
        advice
            A sentence that ends the refusal.

        Raises
        ------
        NotConverged
            With the reasons.
        """
        if not self.verdict.converged:
            name, way_out = self._in_a_refusal()
            raise NotConverged(
                f"{name} did not converge: {'; '.join(self.verdict.reasons)}. "
                f"{way_out} {advice}".strip()
            )
        return self

    def save(self, path: str | Path) -> Path:
        """Write it as NetCDF, atomically; an existing file is replaced.

        Parameters
        ----------
        path
            The file; `bayes_rare.load_posterior` reads it.
        """
        path = Path(path)
        write_tree(self.tree, path)
        return path

    def _only_or_named(self, behaviour: str | None) -> str:
        """The behaviour that is named, or the only one."""
        if behaviour is None and len(self.behaviours) == 1:
            return self.behaviours[0]
        if behaviour is None or behaviour not in self.behaviours:
            raise InvalidInput(
                f"this {type(self).__name__.lower()} has no behaviour {behaviour!r}. "
                f"It has: {listed(self.behaviours)}."
            )
        return behaviour


def refuse_other_draws(values: Float[np.ndarray, "..."], draws: int) -> None:
    """Refuse values that are not one for each draw."""
    if not values.ndim or len(values) != draws:
        raise InvalidInput(
            f"values have the shape {values.shape}, and there are {draws:,} draws. "
            "Give an array whose first axis is the draw."
        )
