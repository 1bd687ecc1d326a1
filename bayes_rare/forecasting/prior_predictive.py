"""Prior predictive checks: risks that a model expects before it sees data.

A prior of rare events has to be judged in orders of magnitude of risk: a spread that
looks modest on the scale of scores may hold that every billionth query fails, or none.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare import catalog
from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting.outcomes import FOREVER
from bayes_rare.populations import log_worst_level
from bayes_rare.posterior import population_of
from bayes_rare.scores import risk_from_score, score_from_log_risk, score_from_risk

if TYPE_CHECKING:
    import pandas
    import pymc

__all__ = [
    "PRIOR_DRAWS",
    "PriorPredictive",
    "expected_scores",
    "prior_draws",
    "prior_predictive",
]

type Array = Float[np.ndarray, "..."]

PRIOR_DRAWS = 400
"""Draws from a prior: it is wide, and its quantiles need no third digit."""

# Queries of a simulated evaluation: it is thrown away, and its size moves no parameter.
_SIMULATED = 20
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_SIZES = tuple(10**power for power in range(10))
# Riskiest queries that are drawn one by one.
_POINTS = 200
# Samples of the luck for each draw.
_REPEATS = 8


@checked_call
@dataclass(frozen=True, eq=False, repr=False)
class PriorPredictive:
    """Prior predictive distribution of the risk of the riskiest query.

    Parameters
    ----------
    model
        The model.
    evaluation
        The data. A tail model takes its threshold and the body below it from the
        evaluation: its prior is one of the tail.
    table
        Columns ``behaviour, queries, level, score, risk``: quantiles of the score, and
        of the risk, of the riskiest of so many queries.
    """

    model: catalog.Model
    evaluation: Evaluation
    table: "pandas.DataFrame"

    def plot(
        self, path: str | Path | None = None, *, backend: str | None = None
    ) -> Any:
        """The prior against the data, in orders of magnitude of risk.

        `bayes_rare.plotting.prior_predictive`, which see.

        Parameters
        ----------
        path
            Where to write the picture, if anywhere.
        backend
            Library that draws: one of ArviZ's, by default the one that it is set to.
        """
        from bayes_rare import plotting

        made = plotting.prior_predictive(
            self.table,
            seen=_seen(self.evaluation),
            title=f"Riskiest query, by the prior of {self.model.name}",
            backend=backend,
        )
        if path is not None:
            plotting.save_collection(made, path)
        return made

    def __repr__(self) -> str:
        return (
            f"PriorPredictive of {self.model.name} for "
            f"{', '.join(self.evaluation.behaviours)}. See table and plot()."
        )


@checked_call
def prior_predictive(
    evaluation: Evaluation,
    model: str | Path | catalog.Model,
    *,
    queries: Sequence[int | float] = _SIZES,
    levels: Sequence[float] = _LEVELS,
    seed: int = 0,
    **priors: Any,
) -> PriorPredictive:
    """Prior predictive check of the riskiest query.

    Parameters
    ----------
    evaluation
        The data that the model would be fitted to.
    model
        A model, the name of a shipped one, or the path of your own model file.
    queries
        Numbers of queries served, 1 to 1e12.
    levels
        Probabilities in (0, 1).
    seed
        Seed of the draws.
    **priors
        Priors and thresholds, as `bayes_rare.fit` takes them.

    Raises
    ------
    InvalidInput
        If a prior is improper, a number is out of its range, or the model has no such
        prior.
    NotApplicable
        If the model does not apply to the evaluation.
    NoSuchModel
        If there is no such model, or no way to draw from its prior.

    Examples
    --------
    A prior with a larger scale allows larger risks:

    >>> evaluation = Evaluation.from_scores(np.linspace(-3, -1, 200))
    >>> def upper(**priors: float) -> float:
    ...     made = prior_predictive(
    ...         evaluation, "gumbel_tail", queries=[10**6], levels=[0.95], **priors
    ...     )
    ...     return float(made.table["risk"].iloc[0])
    >>> upper(log_scale=-3.0) < upper(log_scale=-1.0)
    True
    """
    import pandas as pd

    chosen = model if isinstance(model, catalog.Model) else catalog.load(model)
    for size in queries:
        if not (1 <= size <= FOREVER and size == math.floor(size)):
            raise InvalidInput(
                f"queries are whole numbers from 1 to {FOREVER:.0e}, got {size!r}."
            )
    if not all(0 < level < 1 for level in levels):
        raise InvalidInput(f"levels are probabilities in (0, 1), got {list(levels)}.")
    _check_kinds(chosen, evaluation)
    settings = chosen.settings(**priors)
    built = chosen.build(evaluation, **settings)
    data: dict[str, Array] = {
        variable.name: variable.get_value() for variable in _all(built, "data_vars")
    }
    dims = {
        name: tuple(str(dim) for dim in own)
        for name, own in built.named_vars_to_dims.items()
    }
    drawn = prior_draws(chosen, evaluation, settings, data, built=built, seed=seed)
    rows: list[dict[str, Any]] = []
    for size in queries:
        found = expected_scores(
            chosen,
            evaluation.behaviours,
            drawn,
            data,
            dims,
            int(size),
            np.asarray(levels, dtype=np.float64),
            seed,
        )
        rows += [
            {
                "behaviour": behaviour,
                "queries": int(size),
                "level": float(level),
                "score": float(score),
                "risk": float(risk_from_score(score)),
            }
            for behaviour, scores in found.items()
            for level, score in zip(levels, scores, strict=True)
        ]
    return PriorPredictive(chosen, evaluation, pd.DataFrame(rows))


def prior_draws(
    model: catalog.Model,
    evaluation: Evaluation,
    settings: Mapping[str, Any],
    data: Mapping[str, Array],
    *,
    built: "pymc.Model | None" = None,
    seed: int = 0,
) -> dict[str, Array]:
    """Draws of a model's parameters from its prior.

    By PyMC; or by the model's own ``simulate``, where a part of the prior enters the
    density as a `pm.Potential`, which PyMC leaves out when it draws.

    Parameters
    ----------
    model
        The model.
    evaluation
        What it is, or would be, fitted to.
    settings
        Priors and thresholds, all of them.
    data
        The arrays that enter the density.
    built
        The PyMC model, where it has been built.
    seed
        Seed of the draws.

    Returns
    -------
    By name, with leading axes (chain, draw) as a posterior has them.

    Raises
    ------
    InvalidInput
        If a prior is improper, and cannot be drawn from.
    NoSuchModel
        If the model has a potential and defines no ``simulate``.
    """
    built = model.build(evaluation, **settings) if built is None else built
    if _all(built, "potentials"):
        return _simulated(model, evaluation, settings, data, seed)
    return _drawn(model, built, seed)


def _drawn(model: catalog.Model, built: Any, seed: int) -> dict[str, Array]:
    """Draws by PyMC."""
    import pymc

    variables = [*built.free_RVs, *built.deterministics]
    try:
        # Compiling for speed would take longer than it saves.
        drawn = pymc.draw(
            variables, draws=PRIOR_DRAWS, random_seed=seed, mode="FAST_COMPILE"
        )
    except NotImplementedError as error:  # as PyMC says of a flat prior
        raise InvalidInput(
            f"{model.name} has an improper prior: nothing can be drawn from it. Give "
            "finite standard deviations to draw from the prior."
        ) from error
    return {
        variable.name: np.asarray(values, dtype=np.float64)[None]
        for variable, values in zip(variables, drawn, strict=True)
    }


def _simulated(
    model: catalog.Model,
    evaluation: Evaluation,
    settings: Mapping[str, Any],
    data: Mapping[str, Array],
    seed: int,
) -> dict[str, Array]:
    """Draws by the model file itself."""
    simulate = model.simulate
    known = inspect.signature(simulate).parameters
    given = {
        name: value
        for name, value in settings.items()
        if name in known and value is not None
    }
    if "families" in known and "family_count" in data:
        given["families"] = data["family_count"].shape[-1]
    design = dict.fromkeys(evaluation.behaviours, _SIMULATED)
    rng = np.random.default_rng(seed)
    drawn = [simulate(rng, design, **given)[0] for _ in range(PRIOR_DRAWS)]
    return {
        name: np.stack([np.asarray(draw[name], dtype=np.float64) for draw in drawn])[
            None
        ]
        for name in drawn[0]
    }


def expected_scores(
    model: catalog.Model,
    behaviours: Sequence[str],
    drawn: Mapping[str, Array],
    data: Mapping[str, Array],
    dims: Mapping[str, tuple[str, ...]],
    queries: int,
    levels: Float[np.ndarray, " level"],
    seed: int = 0,
) -> dict[str, Float[np.ndarray, " level"]]:
    """Quantiles of the riskiest query's score under draws of the prior, by behaviour.

    Of sampled scores: between the draws of a prior risks span hundreds of orders of
    magnitude, and an exact quantile of their mixture would take minutes to find.

    Parameters
    ----------
    model
        The model.
    behaviours
        Its behaviours, in their order.
    drawn
        Draws from its prior.
    data
        The arrays that enter the density.
    dims
        Dims of each array.
    queries
        Queries served.
    levels
        Probabilities in (0, 1).
    seed
        Seed of the luck of which queries arrive.
    """
    found: dict[str, Float[np.ndarray, " level"]] = {}
    for place, behaviour in enumerate(behaviours):
        population = population_of(model, drawn, data, dims, place)
        luck = _even(population.draws, seed)
        # A prior has draws whose risks are far beyond the smallest number.
        with np.errstate(over="ignore"):
            score = population.quantile(log_worst_level(np.log(luck), queries))
        # Scores may be infinite, and no middle lies between such.
        found[behaviour] = np.quantile(score, levels, method="inverted_cdf")
    return found


def _even(draws: int, seed: int) -> Float[np.ndarray, "repeat draw"]:
    """Luck for each draw, several times over, spread evenly between 0 and 1."""
    rng = np.random.default_rng(seed)
    ranks = np.stack([rng.permutation(draws) for _ in range(_REPEATS)])
    return (ranks + rng.random(ranks.shape)) / draws


def _check_kinds(model: catalog.Model, evaluation: Evaluation) -> None:
    for behaviour in evaluation.behaviours:
        kind = evaluation.kind(behaviour)
        if kind not in model.accepts:
            raise NotApplicable(
                f"behaviour {behaviour!r} has outcomes of the kind {kind!r}, and "
                f"{model.name} takes {', '.join(sorted(model.accepts))}. Choose "
                "another model (bayes-rare models lists them)."
            )


def _all(built: Any, name: str) -> list[Any]:
    return list(getattr(built, name))


def _seen(evaluation: Evaluation) -> "pandas.DataFrame":
    """The riskiest queries seen: the i-th of m at m/i, its risk or observed share.

    Queries that are alike are one point, at the last of their ranks. A risk or a share
    of 1 has an infinite score; those of 0 are left out.
    """
    import pandas as pd

    frames: list[pandas.DataFrame] = []
    for behaviour in evaluation.behaviours:
        score, weight = _outcomes(evaluation, behaviour)
        score, weight = score[weight > 0], weight[weight > 0]
        values, place = np.unique(score, return_inverse=True)
        number = np.bincount(place, weight, values.size)
        rank = np.cumsum(number[::-1])
        frame = pd.DataFrame(
            {
                "behaviour": behaviour,
                "queries": number.sum() / rank,
                "score": values[::-1],
            }
        )
        frames.append(frame[frame["score"] > -np.inf].head(_POINTS))
    return pd.concat(frames, ignore_index=True)


def _outcomes(
    evaluation: Evaluation, behaviour: str
) -> tuple[Float[np.ndarray, " cell"], Float[np.ndarray, " cell"]]:
    """Scores of what was seen of a behaviour's queries, and how many each stands for.

    Weights add up to the effective number of queries.
    """
    seen = evaluation.behaviour(behaviour)
    if seen.kind == "exact":
        cells = seen.scores
        ends = [cells.censored_above, cells.censored_below]
        return (
            np.concatenate([[np.inf, -np.inf], cells.score]),
            np.concatenate([ends, cells.count]).astype(np.float64),
        )
    if seen.kind == "counts":
        own = seen.tallies
        score = score_from_risk(own["successes"] / own["trials"])
    else:
        own = seen.estimates
        score = score_from_log_risk(own["log_risk"])
    return score, own["weight"].astype(np.float64)
