"""Checks of a user's own model file, before anything is sampled.

Its functions are called with three draws near the starting point, and what they return
is checked as far as the rest of the package relies on it. Shipped models are checked by
the tests instead.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Float

from bayes_rare import catalog
from bayes_rare.arguments.near_words import shown
from bayes_rare.errors import BayesRareError, NoSuchModel
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.density import Density
from bayes_rare.posterior.posterior import one_behaviour

__all__ = ["check_data", "tried"]

type Array = Float[np.ndarray, "..."]

_DRAWS = 3
# Between draws, in unconstrained values: shows which quantities differ between draws.
_STEP = 0.01
_SCORES = np.array([[-3.0], [-1.0]])
_LOG_LEVELS = np.log([[0.5], [1e-6]])
# Queries of each behaviour that `simulate` is asked for.
_SIMULATED = 50


def check_data(model: catalog.Model, data: Any, density: Density | None = None) -> None:
    """Refuse what ``observe`` of a model file returned, if it is not valid data."""
    if not isinstance(data, Mapping):
        raise _wrong(model, "observe", data, "a dict of arrays by name")
    missing = [name for name in density.data if name not in data] if density else []
    if missing:
        raise _wrong(
            model,
            "observe",
            ", ".join(map(str, cast("Mapping[Any, Any]", data))),
            f"all data of the density, also {missing[0]!r}",
        )


def tried(
    model: catalog.Model,
    evaluation: Evaluation,
    density: Density,
    data: Mapping[str, Array],
    initial: Mapping[str, Array],
) -> None:
    """Call the functions of a user's model file and check their results, once."""
    if model.shipped:
        return
    done = _done(model)
    kinds = " ".join(sorted({*map(evaluation.kind, evaluation.behaviours), *data}))
    if kinds in done:
        return
    draws = _near_the_start(density, data, initial)
    dims = density.dims
    for name, values in draws.items():
        own = dims.get(name, ())
        if "behaviour" in own:
            length = values.shape[own.index("behaviour") + 2]
            if length != len(evaluation.behaviours):
                raise _wrong(
                    model,
                    "build",
                    f"{name!r} for {length} behaviours",
                    f"one for each of {len(evaluation.behaviours)}: "
                    'coords={"behaviour": list(evaluation.behaviours)}',
                )
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(len(evaluation.behaviours)):
            own_draws, own_data = one_behaviour(draws, data, dims, index)
            _try_population(model, model.population(own_draws, own_data))
            _try_recorded(model, own_draws)
            _try_query_scores(model, own_draws, own_data)
        _try_simulate(model, evaluation)
    done.add(kinds)


@lru_cache(maxsize=64)
def _done(model: catalog.Model) -> set[str]:
    """Kinds of data for which a model file was checked."""
    del model
    return set()


def _near_the_start(
    density: Density, data: Mapping[str, Array], initial: Mapping[str, Array]
) -> dict[str, Array]:
    """Quantities by (chain, draw): one chain of three draws near the starting point."""
    constrain = jax.jit(density.constrain)
    arrays = [data[name] for name in density.data]
    made: list[dict[str, Any]] = [
        constrain(*(initial[n] + step for n in density.values), *arrays)
        for step in _STEP * np.arange(_DRAWS)
    ]
    return {
        name: np.stack([np.asarray(one[name], np.float64) for one in made])[None]
        for name in made[0]
    }


def _try_population(model: catalog.Model, population: Any) -> None:
    """Check the methods of a population."""

    def asked(word: str, *arguments: Any) -> Any:
        return _called(
            model, f"population: {word}", getattr(population, word), *arguments
        )

    if population.draws != _DRAWS:
        raise _wrong(
            model,
            "population",
            f"a population of {shown(population.draws)} draws",
            f"one with as many draws as it was given: {_DRAWS}",
        )
    both = (2, _DRAWS)
    survival = _shaped(model, "log_survival", asked("log_survival", _SCORES), both)
    if (survival > 1e-9).any() or (np.diff(survival, axis=0) > 1e-9).any():
        raise _wrong(
            model,
            "population: log_survival",
            survival[:, 0].tolist(),
            "log fractions of queries with a larger score, at most 0 and falling with "
            "the score",
        )
    quantile = _shaped(model, "quantile", asked("quantile", _LOG_LEVELS), both)
    if (np.diff(quantile, axis=0) < -1e-9).any():
        raise _wrong(
            model,
            "population: quantile",
            quantile[:, 0].tolist(),
            "a score for each log fraction of queries, larger for a smaller fraction",
        )
    _shaped(model, "mean", asked("mean", np.ones_like), (_DRAWS,))
    _shaped(model, "mean_failure", asked("mean_failure", 1), (_DRAWS,))


def _shaped(
    model: catalog.Model, word: str, got: Any, wanted: tuple[int, ...]
) -> Array:
    """An answer of a population as an array, of the right shape and without NaN."""
    where = f"population: {word}"
    dims = "(score, draw)" if len(wanted) == 2 else "(draw,)"
    values = _numbers(model, where, got)
    if values.shape != wanted:
        raise _wrong(
            model,
            where,
            f"shape {values.shape}",
            f"shape {wanted}, which is {dims}: the draws along the last axis",
        )
    if np.isnan(values).any():
        raise _wrong(model, where, "NaN near the start of sampling", "numbers")
    return values


def _try_recorded(model: catalog.Model, draws: Mapping[str, Array]) -> None:
    if model.recorded is None:
        return
    wanted = "false-positive rate and sensitivity, each in [0, 1] and one a draw"
    got = model.recorded(draws)
    both: list[Any] = [*got] if isinstance(got, tuple | list) else []
    if len(both) != 2:
        raise _wrong(model, "recorded", got, wanted)
    for one in both:
        rate = _numbers(model, "recorded", one)
        inside = ((rate >= 0) & (rate <= 1)).all()
        if rate.shape not in ((), (_DRAWS,)) or not inside:
            raise _wrong(model, "recorded", one, wanted)


def _try_query_scores(
    model: catalog.Model, draws: Mapping[str, Array], data: Mapping[str, Array]
) -> None:
    if model.query_scores is None or "counts" not in model.accepts:
        return
    successes, trials = np.array([0, 1]), np.array([5, 5])
    rng = np.random.default_rng(0)
    got = _numbers(
        model,
        "query_scores",
        model.query_scores(rng, draws, data, successes, trials),
    )
    if got.shape != (2, _DRAWS):
        raise _wrong(
            model,
            "query_scores",
            f"shape {got.shape}",
            f"shape (2, {_DRAWS}), which is (query, draw)",
        )


def _try_simulate(model: catalog.Model, evaluation: Evaluation) -> None:
    if "simulate" not in model.scope:
        return
    design = dict.fromkeys(evaluation.behaviours, _SIMULATED)
    try:
        got = _called(
            model, "simulate", model.simulate, np.random.default_rng(0), design
        )
    except NoSuchModel:
        raise
    except BayesRareError:
        return  # it needs more queries than these
    parts: list[Any] = [*got] if isinstance(got, tuple) else []
    if len(parts) != 2 or not isinstance(parts[1], Evaluation):
        raise _wrong(
            model,
            "simulate",
            got,
            "the parameters by name and an Evaluation, as a tuple",
        )


def _called(
    model: catalog.Model, where: str, function: Callable[..., Any], *arguments: Any
) -> Any:
    try:
        return function(*arguments)
    except BayesRareError:
        raise
    except Exception as error:
        raise NoSuchModel(
            f"{model.path}: {where} failed with {type(error).__name__}: "
            f"{shown(str(error))}. {_WAY_OUT}"
        ) from error


def _numbers(model: catalog.Model, where: str, got: Any) -> Array:
    try:
        return np.asarray(got, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _wrong(model, where, got, "an array of numbers") from error


_WAY_OUT = f"Correct the file; one that works is {catalog.FOLDER / 'gumbel_tail.py'}."


def _wrong(model: catalog.Model, where: str, got: Any, wanted: str) -> NoSuchModel:
    got = got if isinstance(got, str) else f"{shown(got)} ({type(got).__name__})"
    return NoSuchModel(
        f"{model.path}: {where} returned {got}; it should be {wanted}. {_WAY_OUT}"
    )
