"""From a posterior and a deployment to a forecast: what its outcomes may be."""

import math
import zlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare import mixes, notes, outcomes
from bayes_rare.averages import Average
from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.outcomes import FOREVER, FOREVER_WRITTEN
from bayes_rare.populations import FamilyMixture, Population
from bayes_rare.posterior import Posterior
from bayes_rare.scores import risk_from_score

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure

__all__ = [
    "TARGETS",
    "Deployment",
    "Forecast",
    "checked_risks",
    "forecast",
    "outcome",
    "point_forecast",
    "population_forecast",
]

type Draws = Float[np.ndarray, " draw"]

TARGETS = (
    "worst_query_risk",
    "risk_quantile",
    "behaviour_frequency",
    "risky_queries",
    "aggregate_risk",
    "queries_to_first_failure",
    "exceedance_probability",
    "largest_safe_deployment",
)
"""What a forecast says, by name, in the order of its table."""

RISK_THRESHOLDS = (0.01, 0.5)
"""Risks above which queries are counted, where no others are asked for."""

_BY_THRESHOLD = {
    "behaviour_frequency",
    "risky_queries",
    "exceedance_probability",
    "largest_safe_deployment",
}
_WHATEVER_THE_SIZE = {
    "behaviour_frequency",
    "queries_to_first_failure",
    "largest_safe_deployment",
}
_COLUMNS = (
    "behaviour",
    "target",
    "queries",
    "samples_per_query",
    "risk_threshold",
    "mean",
    "median",
    "lower",
    "upper",
    "interval",
)
# A population holds a weight of each query of the evaluation for each draw: 32 MB for
# 1,000 queries at so many draws, which tell the chance of 5 % to a third of a percent.
_DRAWS = 4000


@dataclass(frozen=True, init=False, repr=False)
class Deployment:
    """Queries that will be served, and how often each is sampled.

    Parameters
    ----------
    queries
        How many queries, one size or several, each from 1 to 1e12; whole numbers, as
        1e9 is. Held in order, each once.
    samples_per_query
        Responses sampled for each query, at least 1.
    families
        What families the queries are from: weights by name, up to a factor, a mapping
        or a frame with columns ``family`` and ``weight``. By default the mix of the
        evaluation, uncertain as its counts leave it. A family that the evaluation has
        met under other behaviours only is, for this one, a new one.
    unseen_share
        Share of queries that come from families which the evaluation has not met, in
        [0, 1]; the named ones share the rest. A method that knows no families takes
        them to be like the others, and its forecast says so.
    unseen_families
        How many such families there are, up to 2,000; needed where the share is
        positive, as it matters whether a million queries come of one new family or of
        a thousand. Each has an equal part.

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

    def __init__(
        self,
        queries: Any,
        samples_per_query: int | float = 1,
        families: Any = None,
        unseen_share: int | float = 0.0,
        unseen_families: int | float | None = None,
    ) -> None:
        given = np.ravel(np.asarray(queries, dtype=object)).tolist()
        if not given:
            raise InvalidInput("a deployment needs a size: give queries=1_000_000.")
        sizes = {_whole("queries", size) for size in given}
        samples = _whole("samples_per_query", samples_per_query)
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
            unseen_families = _whole("unseen_families", unseen_families)
            if unseen_families > mixes.MOST_UNSEEN:
                raise InvalidInput(
                    f"unseen_families is at most {mixes.MOST_UNSEEN}, got "
                    f"{unseen_families}: each is drawn for every draw of the "
                    "posterior. Families so small are queries: call fewer, larger "
                    "kinds a family."
                )
        # A frozen value sets its own fields so.
        object.__setattr__(self, "queries", tuple(sorted(sizes)))
        object.__setattr__(self, "samples_per_query", samples)
        mix = None if families is None else mixes.checked_mix(families)
        object.__setattr__(self, "families", mix)
        object.__setattr__(self, "unseen_share", float(unseen_share))
        object.__setattr__(self, "unseen_families", unseen_families)

    def __repr__(self) -> str:
        named = f", families={dict(self.families)}" if self.families else ""
        unseen = (
            f", unseen_share={self.unseen_share:g}, "
            f"unseen_families={self.unseen_families}"
            if self.unseen_share
            else ""
        )
        return (
            f"Deployment(queries={self.queries}, "
            f"samples_per_query={self.samples_per_query}{named}{unseen})"
        )

    def of_size(self, queries: int) -> "Deployment":
        """The same deployment at one size.

        Parameters
        ----------
        queries
            How many queries.
        """
        return Deployment(
            queries,
            self.samples_per_query,
            None if self.families is None else dict(self.families),
            self.unseen_share,
            self.unseen_families,
        )


def _whole(name: str, value: Any) -> int:
    """A count from 1 to 1e12."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (1 <= number <= FOREVER) or number != math.floor(number):
        raise InvalidInput(
            f"{name} is a whole number from 1 to {FOREVER_WRITTEN}, got {value!r}. "
            "Round it, or give several sizes as a list."
        )
    return int(number)


@dataclass(frozen=True, eq=False)
class Forecast:
    """Draws of what a deployment may show, by behaviour and size.

    Parameters
    ----------
    method
        Name of the method or model that made it.
    deployment
        What is forecast for.
    evaluation
        What the method saw.
    populations
        Distribution of scores by behaviour, draw by draw.
    draws
        By target name, with dims among (behaviour, queries, risk_threshold, sample);
        ``worst_query_score`` and ``aggregate_log_hazard`` tell apart risks that float64
        rounds to 0 or 1.
    converged
        Whether the posterior behind it converged.
    notes
        What a reader must know, as `bayes_rare.notes` puts it: what the evaluation
        cannot exclude, how far the forecast extrapolates, what is doubtful about the
        tail.
    is_point
        Whether it is a single guess with no interval.
    """

    method: str
    deployment: Deployment
    evaluation: Evaluation
    populations: Mapping[str, Population]
    draws: "xarray.Dataset"
    converged: bool
    notes: tuple[str, ...]
    is_point: bool = False

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Behaviours that are forecast."""
        return tuple(self.populations)

    def summary(self, interval: float = 0.9) -> "pandas.DataFrame":
        """A row for each behaviour, target, size and risk threshold.

        Columns ``behaviour, target, queries, samples_per_query, risk_threshold, mean,
        median, lower, upper, interval``; missing where a target does not depend on one.
        The interval has equal tails. For worst_query_risk its ends and the median are
        quantiles of the predictive distribution function averaged over draws. For
        exceedance_probability the mean is the predictive probability, the interval what
        is not known of the population; for largest_safe_deployment the mean is the size
        at which the predictive probability reaches the level. Where a draw of
        queries_to_first_failure stands for 1e12 or more, there is no mean. A point
        forecast has its one guess as mean and median alike, though it is an
        expectation for counts, chances, the aggregate risk and the waiting time.

        Parameters
        ----------
        interval
            Probability of the interval, in (0, 1).

        Raises
        ------
        InvalidInput
            If the interval is not in (0, 1).
        """
        import pandas as pd

        if not 0 < interval < 1:
            raise InvalidInput(f"interval is a probability in (0, 1), got {interval}.")
        tails = np.array([0.5 - interval / 2, 0.5, 0.5 + interval / 2])
        rows = [
            row
            for behaviour in self.behaviours
            for target in TARGETS
            if target in self.draws
            for row in self._rows(behaviour, target, tails)
        ]
        frame = pd.DataFrame(rows, columns=list(_COLUMNS[:-1]))
        frame["interval"] = np.nan if self.is_point else interval
        return frame.astype({"queries": "Int64"})

    def _rows(
        self, behaviour: str, target: str, tails: Float[np.ndarray, " level"]
    ) -> list[dict[str, Any]]:
        cells = self.draws[target].sel(behaviour=behaviour)
        sizes = [None] if target in _WHATEVER_THE_SIZE else self.deployment.queries
        risks = self.draws["risk_threshold"].to_numpy()
        rows: list[dict[str, Any]] = []
        for size in sizes:
            for risk in risks if target in _BY_THRESHOLD else [None]:
                chosen: dict[str, Any] = {}
                if size is not None:
                    chosen["queries"] = size
                if risk is not None:
                    chosen["risk_threshold"] = risk
                values = cells.sel(chosen).to_numpy()
                low, median, high = self._quantiles(
                    behaviour, target, size, values, tails
                )
                rows.append(
                    {
                        "behaviour": behaviour,
                        "target": target,
                        "queries": size,
                        "samples_per_query": self.deployment.samples_per_query,
                        "risk_threshold": np.nan if risk is None else float(risk),
                        "mean": self._mean(behaviour, target, risk, values),
                        "median": median,
                        "lower": np.nan if self.is_point else low,
                        "upper": np.nan if self.is_point else high,
                    }
                )
        return rows

    def _quantiles(
        self,
        behaviour: str,
        target: str,
        size: int | None,
        values: Draws,
        tails: Float[np.ndarray, " level"],
    ) -> Float[np.ndarray, " level"]:
        if target == "worst_query_risk" and size is not None and not self.is_point:
            population = self.populations[behaviour]
            return risk_from_score(
                outcomes.worst_score_quantile(population, size, tails)
            )
        # No interpolation: two infinite neighbours would give NaN.
        return np.quantile(values, tails, method="inverted_cdf")

    def _mean(
        self, behaviour: str, target: str, risk: float | None, values: Draws
    ) -> float:
        if target == "largest_safe_deployment" and risk is not None:
            level = float(self.draws.attrs["level"])
            return float(_largest_safe(self.populations[behaviour], risk, level))
        if target == "queries_to_first_failure" and (values >= FOREVER).any():
            return math.nan  # some draws are only known to be as large
        return float(values.mean())

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
        """
        import pandas as pd

        if sizes is None:
            top = min(10 * self.deployment.queries[-1], FOREVER)
            # Evenly on a logarithmic scale: a factor is added at each step.
            factor = (top / 10) ** (1 / 24)
            sizes = sorted({round(10 * factor**step) for step in range(25)})
        chances = np.asarray(levels, dtype=np.float64)
        return pd.DataFrame(
            [
                {"behaviour": name, "queries": size, "level": level, "score": score}
                for name, population in self.populations.items()
                for size in sizes
                for level, score in zip(
                    levels,
                    np.repeat(_worst_guess(population, size), len(levels))
                    if self.is_point
                    else outcomes.worst_score_quantile(population, size, chances),
                    strict=True,
                )
            ]
        )

    def variance_split(self) -> "pandas.DataFrame":
        """How much of the worst query's variance is luck, and how much ignorance.

        Columns ``behaviour, queries, luck, ignorance``, in squared score units, of the
        score limited to 1000, where risks have long been 1; see
        `bayes_rare.outcomes.worst_score_variance`.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                (name, size, *outcomes.worst_score_variance(population, size))
                for name, population in self.populations.items()
                for size in self.deployment.queries
            ],
            columns=["behaviour", "queries", "luck", "ignorance"],
        )

    def family_contributions(
        self, sizes: Sequence[int] | None = None, seed: int = 0
    ) -> "pandas.DataFrame":
        """Which families are likely to hold the riskiest query.

        Parameters
        ----------
        sizes
            Numbers of queries; by default those of the deployment.
        seed
            Seeds the luck, a whole number from 0.

        Returns
        -------
        Columns ``behaviour, queries, family, share_of_queries, chance_of_worst``, the
        likeliest family of each behaviour and size first; both shares are predictive
        and sum to 1. Families without a name are one row.

        Raises
        ------
        NotApplicable
            If the method knows no families.
        """
        import pandas as pd

        _refuse_negative(seed)
        rows = [
            {"behaviour": name, "queries": size, **row}
            for name, population in self.populations.items()
            for size in (self.deployment.queries if sizes is None else sizes)
            for row in _contributions(
                self.method, population, size, _generator(seed, name, "family", size)
            )
        ]
        return pd.DataFrame(rows)

    def joint_worst(
        self,
        behaviours: Sequence[str] | None = None,
        interval: float = 0.9,
        seed: int = 0,
    ) -> "pandas.DataFrame":
        """Risk of the riskiest query of any of several behaviours.

        Samples share the posterior draw across behaviours. Given that, the luck of two
        behaviours is related in a way that no evaluation of single behaviours tells: if
        both are measured on the same queries, the riskiest of one may be the riskiest
        of the other. So there are two rows: with luck ``independent``, and with luck
        ``shared`` in full. The maximum of several is larger with the former.

        Parameters
        ----------
        behaviours
            Which ones; by default all.
        interval
            Probability of the interval, in (0, 1).
        seed
            Seeds the luck, a whole number from 0.

        Returns
        -------
        Columns ``queries, luck, median, lower, upper, interval, likeliest``; the last
        is the behaviour that is most often the worst.

        Raises
        ------
        InvalidInput
            If a behaviour was not forecast, or the interval is not in (0, 1).
        """
        import pandas as pd

        if not 0 < interval < 1:
            raise InvalidInput(f"interval is a probability in (0, 1), got {interval}.")
        names = self._named(self.behaviours if behaviours is None else behaviours)
        tails = np.array([0.5, 0.5 - interval / 2, 0.5 + interval / 2])
        rows: list[dict[str, Any]] = []
        for size, luck, scores in self._joint(names, seed):
            worst = np.bincount(scores.argmax(axis=0), minlength=len(names))
            risks = risk_from_score(
                np.quantile(scores.max(axis=0), tails, method="inverted_cdf")
            )
            median, lower, upper = risks.tolist()
            rows.append(
                {
                    "queries": size,
                    "luck": luck,
                    "median": median,
                    "lower": lower,
                    "upper": upper,
                    "interval": interval,
                    "likeliest": names[int(worst.argmax())],
                }
            )
        return pd.DataFrame(rows)

    def worse(self, first: str, second: str, seed: int = 0) -> "pandas.DataFrame":
        """Chance that the riskiest query of one behaviour is riskier than another's.

        Of two systems, say, that were evaluated as two behaviours. Ties count half.
        The luck of the two is taken once for independent and once for the same, as in
        `joint_worst`: where a safety case rests on the difference, look at both.

        Parameters
        ----------
        first, second
            The behaviours.
        seed
            Seeds the luck, a whole number from 0.

        Returns
        -------
        Columns ``queries, luck, chance``, and ``population``: the chance that the risk
        which a fraction 1/n of queries exceeds is larger for the first, which no luck
        of a deployment blurs.

        Raises
        ------
        InvalidInput
            If a behaviour was not forecast.
        """
        import pandas as pd

        names = self._named([first, second])

        def chance(one: Draws, other: Draws) -> float:
            return float((one > other).mean() + 0.5 * (one == other).mean())

        rows: list[dict[str, Any]] = []
        for size, luck, scores in self._joint(names, seed):
            level = -math.log(max(size, 2))
            of_both = [self.populations[name].quantile(level) for name in names]
            rows.append(
                {
                    "queries": size,
                    "luck": luck,
                    "chance": chance(scores[0], scores[1]),
                    "population": chance(of_both[0], of_both[1]),
                }
            )
        return pd.DataFrame(rows)

    def _named(self, behaviours: Sequence[str]) -> list[str]:
        """Behaviours that were forecast, at least one."""
        for name in behaviours:
            if name not in self.populations:
                raise InvalidInput(
                    f"no forecast of {name!r} here. There are: "
                    f"{', '.join(self.behaviours)}."
                )
        if not behaviours:
            raise InvalidInput(
                f"no behaviour is named. There are: {', '.join(self.behaviours)}."
            )
        return list(behaviours)

    def _joint(
        self, names: Sequence[str], seed: int
    ) -> Generator[tuple[int, str, Float[np.ndarray, "behaviour sample"]]]:
        """Worst scores of several behaviours, by size and by what luck they share."""
        _refuse_negative(seed)
        populations = [self.populations[name] for name in names]
        for size in self.deployment.queries:
            for luck in ("independent", "shared"):
                rng = _generator(seed, " and ".join(names), "joint", size)
                yield (
                    size,
                    luck,
                    outcomes.joint_worst_scores(
                        populations, size, rng, together=luck == "shared"
                    ),
                )

    def plot_families(
        self, path: str | Path | None = None, most: int = 6, seed: int = 0
    ) -> "Figure":
        """Which families are likely to hold the riskiest query, by number of queries.

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
            If the method knows no families.
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

        Parameters
        ----------
        truth
            A larger evaluation that was held out; its riskiest queries are drawn in.
        others
            Point forecasts to be drawn beside; of one method they are numbered.
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


def _contributions(
    method: str, population: Population, size: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """A row for each family, the likeliest to hold the riskiest query first."""
    if not isinstance(population, FamilyMixture):
        raise NotApplicable(
            f"{method} knows no families. Fit family_tail to an evaluation that names "
            "them (--model family_tail, --columns family=...)."
        )
    chance = outcomes.family_contributions(population, size, rng).mean(axis=1)
    share = population.weight.mean(axis=1)
    found: dict[str, list[float]] = {}
    for name, *both in zip(
        population.labels, share.tolist(), chance.tolist(), strict=True
    ):
        old = found.setdefault(name, [0.0, 0.0])
        found[name] = [old[0] + both[0], old[1] + both[1]]
    ordered = sorted(found.items(), key=lambda item: -item[1][1])
    return [
        {"family": name, "share_of_queries": queries, "chance_of_worst": worst}
        for name, (queries, worst) in ordered
    ]


def _numbered(names: Sequence[str]) -> list[str]:
    """The names made different: the second of a kind is ``name (2)``."""
    made: list[str] = []
    for name in names:
        label, number = name, 1
        while label in made:
            number += 1
            label = f"{name} ({number})"
        made.append(label)
    return made


def forecast(
    posterior: Posterior | Average,
    deployment: Deployment,
    *,
    risk_thresholds: Sequence[float] = RISK_THRESHOLDS,
    level: float = 0.05,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
) -> Forecast:
    """What a deployment may show, given the posterior.

    One outcome for each posterior draw, of each target: luck and ignorance together.
    Draws of one index share the posterior draw, so the population, across behaviours,
    sizes and targets. They do not share the luck, which is drawn anew for each
    behaviour, target and size; but the worst queries of one behaviour share it across
    sizes, so that in no draw the worst of more queries is less risky. An answer depends
    on the seed, behaviour, target and size alone, not on what else is asked.

    Of more than 4,000 posterior draws every second, third, ... is taken, in each
    chain, so that at most 4,000 are left: a fit goes on for longer where its draws say
    little each, and then neighbours say nearly the same.

    Parameters
    ----------
    posterior
        What the evaluation taught.
    deployment
        How many queries will be served.
    risk_thresholds
        Risks above which queries count as risky, each in (0, 1). Not looked at where no
        target needs them.
    level
        Chance of a query above the threshold that a deployment may have and be safe.
    targets
        Which of `TARGETS` to forecast.
    seed
        Seeds the luck; from 0.

    Raises
    ------
    InvalidInput
        If a threshold, the level, a target or the seed is none.

    Examples
    --------
    Ten times the queries are never safer:

    >>> import bayes_rare as br
    >>> evaluation = br.Evaluation.from_scores(np.linspace(-3, -1, 200))
    >>> posterior = br.fit(evaluation, "gumbel_tail", warmup=200, draws=200)
    >>> table = br.forecast(posterior, br.Deployment([1e6, 1e7])).summary()
    >>> worst = table[table.target == "worst_query_risk"].set_index("queries")
    >>> bool(worst.loc[10**7, "median"] > worst.loc[10**6, "median"])
    True
    """
    _refuse_negative(seed)
    thinned = posterior.thinned(_DRAWS)
    populations = {
        name: mixes.deployed(
            thinned.population(name),
            posterior.evaluation,
            name,
            deployment.families,
            deployment.unseen_share,
            deployment.unseen_families,
        )
        for name in posterior.behaviours
    }
    draws = _dataset(populations, deployment, risk_thresholds, level, targets, seed)
    return Forecast(
        method=posterior.name,
        deployment=deployment,
        evaluation=posterior.evaluation,
        populations=populations,
        draws=draws,
        converged=posterior.verdict.converged,
        notes=(
            *notes.on_convergence(posterior),
            *notes.on_evaluation(posterior.evaluation, deployment.queries[-1]),
            *_family_notes(posterior.evaluation, populations, deployment),
            *_fit_notes(posterior),
            *notes.on_caps(draws),
        ),
    )


def point_forecast(
    method: str,
    evaluation: Evaluation,
    populations: Mapping[str, Population],
    deployment: Deployment,
    *,
    risk_thresholds: Sequence[float] = RISK_THRESHOLDS,
    level: float = 0.05,
    targets: Sequence[str] = TARGETS,
) -> Forecast:
    """A single guess for each target, from populations of a single draw.

    The worst query's risk is guessed by the risk that a fraction 1/n of queries
    exceeds, and that of a single query by the median; counts, chances, the aggregate
    risk and the waiting time by their expectation.

    Parameters
    ----------
    method
        Name of the method.
    evaluation
        What the method saw.
    populations
        Fitted population by behaviour, of one draw each.
    deployment, risk_thresholds, level
        As in `forecast`.
    targets
        Which of `TARGETS` to forecast; none where only the populations are wanted.
    """
    draws = _dataset(populations, deployment, risk_thresholds, level, targets, None)
    return _without_posterior(method, evaluation, populations, deployment, draws, True)


def population_forecast(
    method: str,
    evaluation: Evaluation,
    populations: Mapping[str, Population],
    deployment: Deployment,
    *,
    risk_thresholds: Sequence[float] = RISK_THRESHOLDS,
    level: float = 0.05,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
) -> Forecast:
    """What a deployment may show, from populations that no posterior is behind.

    As `forecast`, for a method that says how uncertain it is by several draws of the
    population, equally likely: one outcome of each target for each of them.

    Parameters
    ----------
    method
        Name of the method.
    evaluation
        What the method saw.
    populations
        Fitted populations by behaviour, each of the same number of draws.
    deployment, risk_thresholds, level, seed
        As in `forecast`.
    targets
        Which of `TARGETS` to forecast; none where only the populations are wanted.

    Raises
    ------
    InvalidInput
        If a threshold, the level, a target or the seed is none.
    """
    _refuse_negative(seed)
    draws = _dataset(populations, deployment, risk_thresholds, level, targets, seed)
    return _without_posterior(method, evaluation, populations, deployment, draws, False)


def _without_posterior(
    method: str,
    evaluation: Evaluation,
    populations: Mapping[str, Population],
    deployment: Deployment,
    draws: "xarray.Dataset",
    is_point: bool,
) -> Forecast:
    """A forecast by a method that does not sample, and so has nothing to converge."""
    return Forecast(
        method=method,
        deployment=deployment,
        evaluation=evaluation,
        populations=populations,
        draws=draws,
        converged=True,
        notes=(
            *notes.on_evaluation(evaluation, deployment.queries[-1]),
            *_family_notes(evaluation, populations, deployment),
            *notes.on_caps(draws),
        ),
        is_point=is_point,
    )


def _fit_notes(posterior: Posterior | Average) -> list[str]:
    """What to know of a tail and a judge, of each posterior that has a say."""
    if isinstance(posterior, Average):
        return notes.on_average(posterior)
    return [*notes.on_tail(posterior), *notes.on_judge(posterior)]


def _family_notes(
    evaluation: Evaluation,
    populations: Mapping[str, Population],
    deployment: Deployment,
) -> list[str]:
    """What to know of families, from a method that knows them or does not."""
    if any(map(mixes.knows_families, populations.values())):
        return notes.on_families(
            evaluation,
            None if deployment.families is None else dict(deployment.families),
            deployment.unseen_share,
        )
    return [
        *notes.on_unseen_families(
            deployment.unseen_share, named=deployment.families is not None
        ),
        *notes.on_concentration(evaluation),
    ]


def _refuse_negative(seed: int) -> None:
    if seed < 0:
        raise InvalidInput(f"a seed is a whole number from 0, got {seed}. Give seed=0.")


def checked_risks(risks: Sequence[float]) -> list[float]:
    """Risk thresholds in order, each once.

    Parameters
    ----------
    risks
        At least one, each in (0, 1).

    Raises
    ------
    InvalidInput
        If there is none, or one is outside that range.
    """
    values = sorted({float(risk) for risk in risks})
    if not values:
        raise InvalidInput(
            "no risk threshold is given. Give one, or name the targets that need none, "
            'as in targets=["worst_query_risk"].'
        )
    for risk in values:
        if not 0 < risk < 1:
            raise InvalidInput(
                f"a risk threshold is a probability in (0, 1), got {risk}. For one in "
                "a million give 1e-6."
            )
    return values


def _generator(
    seed: int, behaviour: str, target: str, size: int | None
) -> np.random.Generator:
    if target == "worst_query_risk":  # of more queries, with the same luck
        size = None
    name = zlib.crc32(f"{behaviour} {target}".encode())
    return np.random.default_rng([seed, name, size or 0])


def _dataset(
    populations: Mapping[str, Population],
    deployment: Deployment,
    risk_thresholds: Sequence[float],
    level: float,
    targets: Sequence[str],
    seed: int | None,
) -> "xarray.Dataset":
    """Draws of the targets by behaviour, size and threshold; no luck without a seed."""
    import xarray as xr

    if not 0 < level < 1:
        raise InvalidInput(f"level is a probability in (0, 1), got {level}.")
    for target in targets:
        if target not in TARGETS:
            raise InvalidInput(
                f"no target {target!r}. There are: {', '.join(TARGETS)}."
            )
    risks = checked_risks(risk_thresholds) if _BY_THRESHOLD & set(targets) else []
    labels: dict[str, Any] = {
        "behaviour": np.array(list(populations), dtype=object),
        "queries": np.array(deployment.queries),
        "risk_threshold": np.array(risks, dtype=np.float64),
    }
    arrays: dict[str, Any] = {}
    for target in targets:
        sized = target not in _WHATEVER_THE_SIZE
        counted = target in _BY_THRESHOLD
        asked = product(
            populations.items(),
            deployment.queries if sized else [None],
            risks if counted else [None],
        )
        dims = [
            "behaviour",
            *(["queries"] if sized else []),
            *(["risk_threshold"] if counted else []),
        ]
        values = np.array(
            [
                outcome(
                    target,
                    population,
                    size,
                    risk,
                    deployment.samples_per_query,
                    level,
                    None if seed is None else _generator(seed, name, target, size),
                )
                for (name, population), size, risk in asked
            ]
        ).reshape(*(labels[dim].size for dim in dims), -1)
        dims.append("sample")
        arrays |= _named(target, dims, values)
    return xr.Dataset(arrays, labels, attrs={"level": level})


def _named(target: str, dims: Sequence[str], values: Any) -> dict[str, Any]:
    """A target under its name, and on a scale without rounding where it has one."""
    if target == "worst_query_risk":
        return {
            "worst_query_score": (dims, values),
            target: (dims, risk_from_score(values)),
        }
    if target == "aggregate_risk":
        return {
            "aggregate_log_hazard": (dims, values),
            target: (dims, -np.expm1(-np.exp(values))),
        }
    return {target: (dims, values)}


def outcome(
    target: str,
    population: Population,
    size: Any,
    risk: Any,
    samples: int,
    level: float,
    rng: np.random.Generator | None,
) -> Draws:
    """One outcome for each draw of the population; a point method's guess without rng.

    Parameters
    ----------
    target
        One of `TARGETS`; of ``worst_query_risk`` the score and of ``aggregate_risk``
        the log hazard is given.
    population
        Distribution of scores, draw by draw.
    size
        Queries served; not looked at where the target does not depend on it.
    risk
        Risk above which queries count as risky, where the target counts any.
    samples
        Responses sampled per query.
    level
        Chance of a risky query that a safe deployment may have.
    rng
        Source of luck.
    """
    match target:
        case "worst_query_risk" if rng is not None:
            return outcomes.worst_score(population, size, rng)
        case "worst_query_risk":
            return _worst_guess(population, size)
        case "risk_quantile":
            return risk_from_score(population.quantile(-math.log(size)))
        case "behaviour_frequency":
            return np.exp(outcomes.log_behaviour_frequency(population, risk))
        case "risky_queries" if rng is not None:
            return outcomes.risky_queries(population, size, risk, rng)
        case "risky_queries":
            return size * np.exp(outcomes.log_behaviour_frequency(population, risk))
        case "aggregate_risk" if rng is not None:
            return outcomes.aggregate_log_hazard(population, size, samples, rng)
        case "aggregate_risk":
            with np.errstate(divide="ignore"):  # surely not, or surely
                safe = np.log1p(-population.mean_failure(samples))
                return np.log(-size * safe)
        case "queries_to_first_failure" if rng is not None:
            return outcomes.first_failure(population, samples, rng)
        case "queries_to_first_failure":
            return 1 / np.maximum(population.mean_failure(samples), 1 / FOREVER)
        case "exceedance_probability":
            return outcomes.exceedance_probability(population, size, risk)
        case _:
            return outcomes.largest_safe_deployment(population, risk, level)


def _worst_guess(population: Population, size: int) -> Draws:
    """Score that a fraction 1/n of queries exceeds; of a single query the median.

    What all queries exceed is no guess of one: of a normal population, minus infinity.
    """
    return population.quantile(-math.log(max(size, 2)))


def _largest_safe(population: Population, risk: float, level: float) -> int:
    """Largest size whose predictive chance of a query above ``risk`` is ``level``."""
    low, high = 0, FOREVER
    while low < high:
        middle = (low + high + 1) // 2
        chance = outcomes.exceedance_probability(population, middle, risk).mean()
        low, high = (middle, high) if chance <= level else (low, middle - 1)
    return low
