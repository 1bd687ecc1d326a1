"""The forecast: draws of the outcomes of a deployment."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayes_rare.arguments.checking import checked_call
from bayes_rare.diagnostics.tail_checks import TailCheck
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import tables
from bayes_rare.forecasting.deployment import Deployment, checked_number
from bayes_rare.forecasting.outcomes import FOREVER
from bayes_rare.forecasting.tables import contributions
from bayes_rare.populations import Population

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure

__all__ = ["Forecast"]


@checked_call
@dataclass(frozen=True, eq=False)
class Forecast:
    """Draws of the outcomes of a deployment, by behaviour and size.

    Parameters
    ----------
    method
        Name of the method or model that made it.
    deployment
        The deployment that is forecast.
    evaluation
        The evaluation that the forecast is made from.
    populations
        Distribution of scores by behaviour, draw by draw.
    draws
        By target name, with dims among (behaviour, queries, risk_threshold, sample);
        ``worst_query_score`` and ``aggregate_log_hazard`` are on scales that do not
        round small and large risks to 0 or 1.
    converged
        Whether the posterior converged.
    notes
        Caveats in sentences: what the evaluation cannot exclude, how far the forecast
        extrapolates, and why a tail is doubtful.
    is_point
        Whether it is a point forecast, without intervals.
    tail_checks
        Checks of the tail by behaviour; alarms are notes as well.
    by_family
        Makes the populations of those members of an average that model families, if
        others contribute to the forecast too.
    shrunken
        Makes the table of shrunken risks of the riskiest queries, for behaviours whose
        data are counts or estimates.
    """

    method: str
    deployment: Deployment
    evaluation: Evaluation
    populations: Mapping[str, Population]
    draws: "xarray.Dataset"
    converged: bool
    notes: tuple[str, ...]
    is_point: bool = False
    tail_checks: Mapping[str, Sequence[TailCheck]] = field(
        default_factory=dict[str, Sequence[TailCheck]]
    )
    by_family: Callable[[], Mapping[str, Population]] | None = None
    shrunken: Callable[[], "pandas.DataFrame | None"] | None = None

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Behaviours that are forecast."""
        return tuple(self.populations)

    def summary(self, interval: int | float = 0.9) -> "pandas.DataFrame":
        """A row for each behaviour, target, size and risk threshold.

        Columns ``behaviour, target, queries, samples_per_query, risk_threshold, mean,
        median, lower, upper, interval``; missing where a target does not depend on one.
        The interval has equal tails. For worst_query_risk its ends and the median are
        quantiles of the predictive distribution function averaged over draws. For
        exceedance_probability the mean is the predictive probability, and the interval
        is the uncertainty about the population; for largest_safe_deployment the mean is
        the size at which the predictive probability reaches the level. Where a draw of
        queries_to_first_failure is capped at 1e12, there is no mean. A point
        forecast has its single value as both mean and median; it is an expectation
        for counts, chances, the aggregate risk and the waiting time.

        Parameters
        ----------
        interval
            Probability of the interval, in (0, 1).

        Raises
        ------
        InvalidInput
            If the interval is not in (0, 1).
        """
        return tables.summary(
            self.populations,
            self.deployment,
            self.draws,
            interval,
            is_point=self.is_point,
        )

    def scaling(
        self,
        sizes: Sequence[int] | None = None,
        levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    ) -> "pandas.DataFrame":
        """Quantiles of the worst query's score at many deployment sizes.

        Parameters
        ----------
        sizes
            Numbers of queries; by default from 10 to ten times the largest deployment,
            evenly on a logarithmic scale.
        levels
            Probabilities in (0, 1).

        Returns
        -------
        Columns ``behaviour, queries, level, score``.

        Raises
        ------
        InvalidInput
            If a size is no whole number from 1 to 1e12, or a level no probability.
        """
        if sizes is None:
            sizes = tables.sizes_up_to(self.deployment.queries[-1])
        sizes = [checked_number("sizes", size) for size in sizes]
        return tables.scaling(self.populations, sizes, levels, is_point=self.is_point)

    def variance_split(self) -> "pandas.DataFrame":
        """Variance of the worst query's score, split into chance and uncertainty.

        Columns ``behaviour, queries, luck, ignorance``, in squared score units, of the
        score limited to 1000, where risks have long been 1; see
        `bayes_rare.forecasting.outcomes.worst_score_variance`.
        """
        return tables.variance_split(self.populations, self.deployment.queries)

    def tail_verdict(self) -> "pandas.DataFrame":
        """Checks of each tail, a row for each.

        Columns ``behaviour, name, value, limit, alarm, false_alarms, sentence``, as
        `bayes_rare.diagnostics.tail_checks.TailCheck` has them; ``false_alarms`` is the
        share of simulated evaluations that raise the alarm although the model is
        right, and missing where it was not simulated.
        """
        import pandas as pd

        columns = ["behaviour", *TailCheck.__dataclass_fields__]
        columns.remove("in_short")  # the sentence says it, with the figures
        rows = [
            {"behaviour": behaviour, **asdict(check)}
            for behaviour, checks in self.tail_checks.items()
            for check in checks
        ]
        return pd.DataFrame(rows, columns=columns)

    def family_contributions(
        self, sizes: Sequence[int] | None = None, seed: int = 0
    ) -> "pandas.DataFrame":
        """Chance of each family to hold the riskiest query.

        For an average, by its members that model families, with their whole posteriors.

        Parameters
        ----------
        sizes
            Numbers of queries; by default those of the deployment.
        seed
            Random seed, a whole number from 0.

        Returns
        -------
        Columns ``behaviour, queries, family, share_of_queries, chance_of_worst``, the
        likeliest family of each behaviour and size first; both shares are predictive
        and sum to 1. Families without a name are one row.

        Raises
        ------
        NotApplicable
            If the method ignores families.
        InvalidInput
            If a size is no whole number from 1 to 1e12.
        """
        sizes = self.deployment.queries if sizes is None else sizes
        sizes = [checked_number("sizes", size) for size in sizes]
        populations = self.by_family() if self.by_family else self.populations
        return contributions(self.method, populations, sizes, seed)

    def joint_worst(
        self,
        behaviours: Sequence[str] | None = None,
        interval: int | float = 0.9,
        seed: int = 0,
    ) -> "pandas.DataFrame":
        """Risk of the riskiest query of any of several behaviours.

        Samples share the posterior draw across behaviours; for an average as far as its
        weights allow: `bayes_rare.Average`. How the worst queries of two behaviours
        depend on each other cannot be learnt from separate evaluations: if both are
        measured on the same queries, the riskiest of one may be the riskiest of the
        other. So there are two rows, the two extremes: luck ``independent`` and luck
        fully ``shared``. The maximum of several is larger with the former.

        Parameters
        ----------
        behaviours
            Which ones; by default all.
        interval
            Probability of the interval, in (0, 1).
        seed
            Random seed, a whole number from 0.

        Returns
        -------
        Columns ``queries, luck, median, lower, upper, interval, likeliest``; the last
        is the behaviour that is most often the worst.

        Raises
        ------
        InvalidInput
            If a behaviour was not forecast, or the interval is not in (0, 1).
        """
        return tables.joint_worst(
            self.populations,
            self.behaviours if behaviours is None else behaviours,
            self.deployment.queries,
            interval,
            seed,
        )

    def worse(self, first: str, second: str, seed: int = 0) -> "pandas.DataFrame":
        """Chance that the riskiest query of one behaviour is riskier than another's.

        For example of two systems that were evaluated as two behaviours. Ties count
        half. The luck of the two is once independent and once shared, as in
        `joint_worst`: if a safety case depends on the difference, look at both.

        Parameters
        ----------
        first, second
            The behaviours.
        seed
            Random seed, a whole number from 0.

        Returns
        -------
        Columns ``queries, luck, chance``, and ``population``: the chance that the risk
        which a fraction 1/n of queries exceeds is larger for the first, without the
        chance of which queries arrive.

        Raises
        ------
        InvalidInput
            If a behaviour was not forecast.
        """
        sizes = self.deployment.queries
        return tables.worse(self.populations, first, second, sizes, seed)

    def plot_families(
        self, path: str | Path | None = None, most: int = 6, seed: int = 0
    ) -> "Figure":
        """Chance of each family to hold the riskiest query, by number of queries.

        Parameters
        ----------
        path
            Where to write the picture, if anywhere.
        most
            Families that have a colour of their own in a panel; the others are one.
        seed
            As of `family_contributions`.

        Raises
        ------
        NotApplicable
            If the method ignores families.
        """
        from bayes_rare import plotting

        top = min(10 * self.deployment.queries[-1], FOREVER)
        steps = np.linspace(1, math.log10(max(top, 100)), 13)
        sizes = sorted({round(10**step) for step in steps.tolist()})
        figure = plotting.contributions(
            self.family_contributions(sizes, seed),
            most=most,
            title=f"Families that hold the riskiest query, by {self.method}",
            doubtful=not self.converged,
        )
        if path is not None:
            plotting.save(figure, path)
        return figure

    def plot(
        self,
        truth: Evaluation | None = None,
        others: Sequence["Forecast"] = (),
        path: str | Path | None = None,
    ) -> "Figure":
        """The risk of the riskiest query against the number of queries.

        The riskiest queries of the evaluation are drawn in: known risks as they are;
        counts and estimates with the intervals of their shrunken risks, if the forecast
        was made from a posterior that provides them.

        Parameters
        ----------
        truth
            A larger evaluation that was held out; its riskiest queries are drawn in
            where their risks are known.
        others
            Point forecasts to draw as lines; several of one method are numbered.
        path
            Where to write the picture, if anywhere.
        """
        from bayes_rare import plotting

        figure = plotting.scaling(
            self.scaling(),
            evaluation=self.evaluation,
            truth=truth,
            lines=dict(
                zip(
                    _numbered([other.method for other in others]),
                    (other.scaling(levels=[0.5]) for other in others),
                    strict=True,
                )
            ),
            title=f"Forecast by {self.method}",
            doubtful=not self.converged,
            checks=self.tail_checks,
            shrunken=self.shrunken() if self.shrunken else None,
        )
        if path is not None:
            plotting.save(figure, path)
        return figure

    def __repr__(self) -> str:
        sizes = ", ".join(f"{size:.3g}" for size in self.deployment.queries)
        doubt = "" if self.converged else ", NOT CONVERGED"
        return (
            f"Forecast by {self.method} of {len(self.behaviours)} behaviour"
            f"{'s'[: len(self.behaviours) != 1]} at {sizes} queries{doubt}. "
            "See summary(), plot() and notes."
        )


def _numbered(names: Sequence[str]) -> list[str]:
    """Names made unique: the second of the same name is ``name (2)``."""
    made: list[str] = []
    for name in names:
        label, number = name, 1
        while label in made:
            number += 1
            label = f"{name} ({number})"
        made.append(label)
    return made
