"""From a posterior and a deployment to a forecast: what its outcomes may be."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare import outcomes
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.outcomes import FOREVER
from bayes_rare.populations import Population
from bayes_rare.posterior import Posterior
from bayes_rare.scores import risk_from_score

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.figure import Figure

__all__ = ["TARGETS", "Deployment", "Forecast", "forecast", "point_forecast"]

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
# An observed risk above this leaves no room to see how the tail goes on.
_SATURATED_RISK = 0.9
# Extrapolating further than this many times the evaluation is said aloud.
_FAR = 1000


@dataclass(frozen=True)
class Deployment:
    """Queries that will be served, and how often each is sampled.

    Parameters
    ----------
    queries
        How many queries, one size or several, each from 1 to 1e12; whole numbers, as
        1e9 is.
    samples_per_query
        Responses sampled for each query, at least 1.

    Raises
    ------
    InvalidInput
        If a number is not whole or out of range.

    Examples
    --------
    >>> Deployment([1e4, 1e9]).queries
    (10000, 1000000000)
    """

    queries: Any
    samples_per_query: int = 1

    def __post_init__(self) -> None:
        sizes = np.ravel(np.asarray(self.queries, dtype=object)).tolist()
        if not sizes:
            raise InvalidInput("a deployment needs a size: give queries=1_000_000.")
        whole = tuple(_whole("queries", size) for size in sizes)
        object.__setattr__(self, "queries", tuple(sorted(set(whole))))
        samples = _whole("samples_per_query", self.samples_per_query)
        object.__setattr__(self, "samples_per_query", samples)


def _whole(name: str, value: Any) -> int:
    """A count from 1 to 1e12."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (1 <= number <= FOREVER) or number != math.floor(number):
        raise InvalidInput(
            f"{name} is a whole number from 1 to 1e12, got {value!r}. Round it, or "
            "give several sizes as a list."
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
        What a reader must know: what the evaluation cannot exclude, how far the
        forecast extrapolates, what is doubtful about the tail.
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
        at which the predictive probability reaches the level.

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
                    np.repeat(population.quantile(-math.log(size)), len(levels))
                    if self.is_point
                    else outcomes.worst_score_quantile(population, size, chances),
                    strict=True,
                )
            ]
        )

    def variance_split(self) -> "pandas.DataFrame":
        """How much of the worst query's variance is luck, and how much ignorance.

        Columns ``behaviour, queries, luck, ignorance``, in squared score units; see
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
            Point forecasts to be drawn beside.
        path
            Where to write the picture, if anywhere.
        """
        from bayes_rare import plotting

        figure = plotting.scaling(
            self.scaling(),
            evaluation=self.evaluation,
            truth=truth,
            lines={other.method: other.scaling(levels=[0.5]) for other in others},
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


def forecast(
    posterior: Posterior,
    deployment: Deployment,
    *,
    risk_thresholds: Sequence[float] = RISK_THRESHOLDS,
    level: float = 0.05,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
) -> Forecast:
    """What a deployment may show, given the posterior.

    One outcome for each posterior draw, of each target: luck and ignorance together.
    Draws of one index belong together across behaviours, sizes and targets. An answer
    depends on the seed, behaviour and size alone, not on what else is asked.

    Parameters
    ----------
    posterior
        What the evaluation taught.
    deployment
        How many queries will be served.
    risk_thresholds
        Risks above which queries count as risky, each in (0, 1).
    level
        Chance of a query above the threshold that a deployment may have and be safe.
    targets
        Which of `TARGETS` to forecast.
    seed
        Seeds the luck.

    Raises
    ------
    InvalidInput
        If a threshold, the level or a target is none.

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
    populations = {name: posterior.population(name) for name in posterior.behaviours}
    draws = _dataset(
        populations,
        deployment,
        _checked_risks(risk_thresholds),
        level,
        targets,
        seed,
    )
    notes = [
        *_verdict_notes(posterior),
        *_evaluation_notes(posterior.evaluation, deployment),
        *_tail_notes(posterior),
        *_capped_notes(draws),
    ]
    return Forecast(
        method=posterior.model.name,
        deployment=deployment,
        evaluation=posterior.evaluation,
        populations=populations,
        draws=draws,
        converged=posterior.verdict.converged,
        notes=tuple(notes),
    )


def point_forecast(
    method: str,
    evaluation: Evaluation,
    populations: Mapping[str, Population],
    deployment: Deployment,
    *,
    risk_thresholds: Sequence[float] = RISK_THRESHOLDS,
    level: float = 0.05,
) -> Forecast:
    """A single guess for each target, from populations of a single draw.

    The worst query's risk is guessed by the risk that a fraction 1/n of queries
    exceeds; counts, chances and the aggregate risk by their expectation.

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
    """
    draws = _dataset(
        populations,
        deployment,
        _checked_risks(risk_thresholds),
        level,
        TARGETS,
        None,
    )
    return Forecast(
        method=method,
        deployment=deployment,
        evaluation=evaluation,
        populations=populations,
        draws=draws,
        converged=True,
        notes=tuple(_evaluation_notes(evaluation, deployment)),
        is_point=True,
    )


def _checked_risks(risks: Sequence[float]) -> list[float]:
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
    name = zlib.crc32(f"{behaviour} {target}".encode())
    return np.random.default_rng([seed, name, size or 0])


def _dataset(
    populations: Mapping[str, Population],
    deployment: Deployment,
    risks: Sequence[float],
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
    labels: dict[str, Any] = {
        "behaviour": np.array(list(populations), dtype=object),
        "queries": np.array(deployment.queries),
        "risk_threshold": np.array(risks, dtype=np.float64),
    }
    arrays: dict[str, Any] = {}
    for target in targets:
        sizes = [None] if target in _WHATEVER_THE_SIZE else list(deployment.queries)
        thresholds = risks if target in _BY_THRESHOLD else [None]
        values = np.array(
            [
                [
                    [
                        _outcome(
                            target,
                            population,
                            size,
                            risk,
                            deployment.samples_per_query,
                            level,
                            None
                            if seed is None
                            else _generator(seed, name, target, size),
                        )
                        for risk in thresholds
                    ]
                    for size in sizes
                ]
                for name, population in populations.items()
            ]
        )
        dims = ["behaviour", "queries", "risk_threshold", "sample"]
        if target not in _BY_THRESHOLD:
            values, _ = values[:, :, 0], dims.remove("risk_threshold")
        if target in _WHATEVER_THE_SIZE:
            values, _ = values[:, 0], dims.remove("queries")
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


def _outcome(
    target: str,
    population: Population,
    size: Any,
    risk: Any,
    samples: int,
    level: float,
    rng: np.random.Generator | None,
) -> Draws:
    """One outcome for each draw of the population; its expectation without ``rng``."""
    match target:
        case "worst_query_risk" if rng is not None:
            return outcomes.worst_score(population, size, rng)
        case "worst_query_risk":
            return population.quantile(-math.log(size))
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


def _largest_safe(population: Population, risk: float, level: float) -> int:
    """Largest size whose predictive chance of a query above ``risk`` is ``level``."""
    low, high = 0, FOREVER
    while low < high:
        middle = (low + high + 1) // 2
        chance = outcomes.exceedance_probability(population, middle, risk).mean()
        low, high = (middle, high) if chance <= level else (low, middle - 1)
    return low


def _verdict_notes(posterior: Posterior) -> list[str]:
    if posterior.verdict.converged:
        return []
    return [
        "THE FIT DID NOT CONVERGE, so these numbers may be wrong: "
        f"{'; '.join(posterior.verdict.reasons)}."
    ]


def _evaluation_notes(evaluation: Evaluation, deployment: Deployment) -> list[str]:
    smallest = min(evaluation.sizes.values())
    notes = [
        f"What this evaluation cannot exclude: of {smallest} queries none need have "
        f"come from a kind of query whose share is below {3 / smallest:.2g} (three in "
        f"{smallest}, with 95 % confidence). If such a kind exists and fails often, "
        "every number here is too low."
    ]
    ratio = deployment.queries[-1] / smallest
    if ratio > _FAR:
        notes.append(
            f"Extrapolation: {deployment.queries[-1]:.3g} queries are {ratio:.2g} "
            "times the evaluation; tails were checked against held-out queries only to "
            "about a hundred times."
        )
    for behaviour in evaluation.behaviours:
        if evaluation.kind(behaviour) != "exact":
            continue
        scores = evaluation.scores(behaviour)
        for count, what, edge in (
            (scores.censored_below, "0", "smaller than"),
            (scores.censored_above, "1", "larger than"),
        ):
            if count:
                resolution = scores.lowest if what == "0" else scores.highest
                notes.append(
                    f"{behaviour}: {count} of {scores.size} risks were recorded as "
                    f"exactly {what}; they count as {edge} what the record can tell "
                    f"(a score of {resolution:.3g})."
                )
        top = risk_from_score(evaluation.worst(behaviour))
        if top > _SATURATED_RISK:
            notes.append(
                f"{behaviour}: the riskiest query seen has risk {float(top):.4g}. Near "
                "1 scores spread without the risk changing: read risks, not scores, "
                "and doubt the shape of the tail."
            )
    return notes


def _tail_notes(posterior: Posterior) -> list[str]:
    """How many scores the tails were fitted to, and above what."""
    if "exceeding" not in posterior.data:
        return []
    rests = [
        f"{name} {count:g} scores above {threshold:.3g} (risk "
        f"{float(risk_from_score(threshold)):.2g})"
        for name, count, threshold in zip(
            posterior.behaviours,
            posterior.data["exceeding"],
            posterior.data["threshold"],
            strict=True,
        )
    ]
    return [f"What each tail rests on: {'; '.join(rests)}."]


def _capped_notes(draws: "xarray.Dataset") -> list[str]:
    return [
        f"{target}: 1e12 stands for 1e12 or more."
        for target in ("queries_to_first_failure", "largest_safe_deployment")
        if target in draws and bool((draws[target] >= FOREVER).any())
    ]
