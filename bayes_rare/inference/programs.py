"""Densities and samplers, kept with what they have compiled for the next data set."""

import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pymc
from jaxtyping import Float

from bayes_rare import catalog
from bayes_rare.errors import NoSuchModel
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.density import Density, density_of, same_density
from bayes_rare.inference.nuts import Sampler

__all__ = ["density_and_data", "sampler"]

type Array = Float[np.ndarray, "..."]


@dataclass(eq=False)
class _Compiled:
    """A density, the PyMC model that it was made from, and for whom it was checked."""

    built: Any
    density: Density
    digest: str
    checked: bool = False


_DENSITIES: OrderedDict[Any, list[_Compiled]] = OrderedDict()
_DENSITIES_KEPT = 32


def _kept(
    model: catalog.Model,
    settings: Mapping[str, Any],
    evaluation: Evaluation,
    names: Iterable[str] = (),
) -> list[_Compiled]:
    """Densities of a model with these settings, for so many behaviours and such data.

    Data have names: evaluations of counts and of estimates enter one model differently.
    Where their shapes set the number of unknowns, these are among the names.
    """
    key = (
        model.digest,
        json.dumps(catalog.plain(settings), sort_keys=True),
        len(evaluation.behaviours),
        *sorted(names),
    )
    kept = _DENSITIES.setdefault(key, [])
    _DENSITIES.move_to_end(key)
    while len(_DENSITIES) > _DENSITIES_KEPT:
        _DENSITIES.popitem(last=False)
    return kept


def _built(
    model: catalog.Model, settings: Mapping[str, Any], evaluation: Evaluation
) -> pymc.Model:
    built = model.build(evaluation, **settings)
    if not isinstance(built, pymc.Model):
        raise NoSuchModel(
            f"{model.path}: build returned {type(built).__name__}, not a pymc.Model. "
            "End it with `return model`."
        )
    return built


def density_and_data(
    model: catalog.Model, settings: Mapping[str, Any], evaluation: Evaluation
) -> tuple[Density, dict[str, Array]]:
    """The JAX functions of a model, and the data that they take for an evaluation.

    Parameters
    ----------
    model
        The model file.
    settings
        Priors and thresholds, all of them.
    evaluation
        What was measured.

    Raises
    ------
    NotApplicable
        If the model does not serve the evaluation.
    NoSuchModel
        If the file does not work, or hides data in its density.
    """
    if model.observe is None:
        return _built_each_time(model, settings, evaluation)
    data = _observed(model.observe, settings, evaluation)
    # A density has so many unknowns as the data that it was made from.
    sizes = (f"{name}{data[name].shape}" for name in model.sized_by if name in data)
    return _density(model, settings, evaluation, (*data, *sizes)), data


def _density(
    model: catalog.Model,
    settings: Mapping[str, Any],
    evaluation: Evaluation,
    names: Iterable[str],
) -> Density:
    """The JAX functions of a model that observes, made from the first data set.

    When a second comes, the model is built for it too, to see that nothing of the first
    stands in the density itself.
    """
    kept = _kept(model, settings, evaluation, names)
    if not kept:
        built = _built(model, settings, evaluation)
        density = density_of(built, model.pointwise)
        kept.append(_Compiled(built, density, evaluation.digest))
    first = kept[0]
    if not first.checked and first.digest != evaluation.digest:
        if not same_density(first.built, _built(model, settings, evaluation)):
            raise NoSuchModel(
                f"{model.path} builds numbers of its data set into the density, and "
                "defines observe(), which promises that all of them are pm.Data. Wrap "
                "what differs between data sets in pm.Data and return it from "
                "observe(), or remove observe()."
            )
        first.checked = True
    return first.density


def _built_each_time(
    model: catalog.Model, settings: Mapping[str, Any], evaluation: Evaluation
) -> tuple[Density, dict[str, Array]]:
    """The JAX functions and data of a model that is built for each data set.

    Data sets share a program where their models differ in `pm.Data` alone.
    """
    built = _built(model, settings, evaluation)
    kept = _kept(model, settings, evaluation)
    for compiled in kept:
        if same_density(compiled.built, built):
            return compiled.density, _data_of(built)
    density = density_of(built, model.pointwise)
    kept.append(_Compiled(built, density, evaluation.digest))
    return density, _data_of(built)


@lru_cache(maxsize=_DENSITIES_KEPT)
def sampler(
    density: Density, warmup: int, draws: int, pointwise: bool, way: str, dense: bool
) -> Sampler:
    """A sampler, kept with the programs that it has compiled.

    Parameters
    ----------
    density, warmup, draws, pointwise, way, dense
        As of `bayes_rare.inference.nuts.Sampler`.
    """
    return Sampler(density, warmup, draws, pointwise, way, dense)


def _observed(
    observe: Callable[..., dict[str, Array]],
    settings: Mapping[str, Any],
    evaluation: Evaluation,
) -> dict[str, Array]:
    """The data of the density, by the model's ``observe``."""
    wanted = inspect.signature(observe).parameters
    return observe(
        evaluation, **{name: settings[name] for name in settings if name in wanted}
    )


def _data_of(built: Any) -> dict[str, Array]:
    """The data of a PyMC model: float64, but for indices."""
    return {
        variable.name: np.asarray(variable.get_value(), dtype=np.float64)
        if variable.dtype.startswith("float")
        else np.asarray(variable.get_value())
        for variable in built.data_vars
    }
