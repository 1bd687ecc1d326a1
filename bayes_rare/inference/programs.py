"""A cache of densities and samplers with their compiled programs."""

import inspect
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pymc
from jaxtyping import Float

from bayes_rare import catalog
from bayes_rare.errors import NoSuchModel
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.density import Density, density_of, same_density, starts_of
from bayes_rare.inference.nuts import Sampler
from bayes_rare.inference.trial import check_data

__all__ = ["density_and_data", "sampler"]

type Array = Float[np.ndarray, "..."]


@dataclass(eq=False)
class _Compiled:
    """A PyMC model, its density, and the digest of the data that it was built for."""

    built: Any
    density: Density
    digest: str
    checked: bool = False

    @cached_property
    def starts(self) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
        """From data to the starting point of sampling."""
        return starts_of(self.built)

    @cached_property
    def initial(self) -> Mapping[str, Array]:
        """Starting point for the data set that the model was built for."""
        return starts_of(self.built)({})


type _Key = tuple[str, tuple[Any, ...]]

_DENSITIES: OrderedDict[_Key, list[_Compiled]] = OrderedDict()
_DENSITIES_KEPT = 32


def _kept(
    model: catalog.Model,
    settings: Mapping[str, Any],
    evaluation: Evaluation,
    names: Iterable[str] = (),
) -> list[_Compiled]:
    """Densities of a model with these settings, number of behaviours and kind of data.

    The names of the data tell counts from estimates. Where shapes of the data set the
    number of unknowns, they are among the names.
    """
    key = _key(model, settings, evaluation, names)
    kept = _DENSITIES.setdefault(key, [])
    _DENSITIES.move_to_end(key)
    while len(_DENSITIES) > _DENSITIES_KEPT:
        _DENSITIES.popitem(last=False)
    return kept


def _key(
    model: catalog.Model,
    settings: Mapping[str, Any],
    evaluation: Evaluation,
    names: Iterable[str],
) -> _Key:
    """The settings, and what else distinguishes densities."""
    others = (model.digest, len(evaluation.behaviours), *sorted(names))
    return json.dumps(catalog.plain(settings), sort_keys=True), others


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
) -> tuple[Density, dict[str, Array], Mapping[str, Array]]:
    """The JAX functions of a model, and the data that they take for an evaluation.

    The third value is the starting point for this evaluation: the density's own
    ``initial`` may be that of another one.
    """
    if model.observe is None:
        return _built_each_time(model, settings, evaluation)
    data = _observed(model, model.observe, settings, evaluation)
    # The number of unknowns may depend on the shapes of these data.
    sizes = [f"{name}{data[name].shape}" for name in model.sized_by if name in data]
    compiled = _compiled(model, settings, evaluation, [*data, *sizes])
    check_data(model, data, compiled.density)
    if compiled.digest == evaluation.digest:
        return compiled.density, data, compiled.initial
    initial = compiled.starts(data)
    if not compiled.checked:
        _check_promise(compiled, model, _built(model, settings, evaluation), initial)
    return compiled.density, data, initial


def _compiled(
    model: catalog.Model,
    settings: Mapping[str, Any],
    evaluation: Evaluation,
    names: Sequence[str],
) -> _Compiled:
    """The JAX functions of a model that observes, made from the first data set.

    Settings of the threshold enter the data alone, so they share compiled programs.
    """
    kept = _kept(model, settings, evaluation, names)
    if not kept:
        built = _built(model, settings, evaluation)
        _, others = _key(model, settings, evaluation, names)
        same = (
            compiled.density
            for (_, its), found in _DENSITIES.items()
            if its == others
            for compiled in found
            if same_density(compiled.built, built)
        )
        density = next(same, None) or density_of(built, model.pointwise)
        kept.append(_Compiled(built, density, evaluation.digest))
    return kept[0]


def _check_promise(
    first: _Compiled, model: catalog.Model, built: Any, initial: Mapping[str, Array]
) -> None:
    """Refuse a model with ``observe`` that has numbers of its data set elsewhere.

    It is built for the second one too, and compared.
    """
    if not same_density(first.built, built):
        raise NoSuchModel(
            f"{model.path} defines observe(), but its density has numbers of the data "
            "set that are not pm.Data. Wrap what differs between data sets in pm.Data "
            "and return it from observe(), or remove observe()."
        )
    anew = starts_of(built)({})
    if not all(np.array_equal(anew[name], initial[name]) for name in anew):
        raise NoSuchModel(
            f"{model.path} has an initval that depends on its data set, and defines "
            "observe(), which promises that a model built once serves all. Leave out "
            "the initval, or remove observe()."
        )
    first.checked = True


def _built_each_time(
    model: catalog.Model, settings: Mapping[str, Any], evaluation: Evaluation
) -> tuple[Density, dict[str, Array], Mapping[str, Array]]:
    """The JAX functions, data and start of a model that is built for each data set.

    Data sets share a program where their models differ in `pm.Data` alone.
    """
    built = _built(model, settings, evaluation)
    kept = _kept(model, settings, evaluation)
    for place, compiled in enumerate(kept):
        if same_density(compiled.built, built):
            kept.append(kept.pop(place))  # the last to be thrown away
            return compiled.density, _data_of(built), starts_of(built)({})
    density = density_of(built, model.pointwise)
    kept.append(_Compiled(built, density, evaluation.digest))
    # Data that stand in the density itself make a program for each data set.
    del kept[:-_DENSITIES_KEPT]
    return density, _data_of(built), kept[-1].initial


@lru_cache(maxsize=_DENSITIES_KEPT)
def sampler(
    density: Density, warmup: int, draws: int, pointwise: bool, way: str, dense: bool
) -> Sampler:
    """A sampler, kept with the programs that it has compiled."""
    return Sampler(density, warmup, draws, pointwise, way, dense)


def _observed(
    model: catalog.Model,
    observe: Callable[..., Any],
    settings: Mapping[str, Any],
    evaluation: Evaluation,
) -> dict[str, Array]:
    """The data of the density, by the model's ``observe``."""
    wanted = inspect.signature(observe).parameters
    data = observe(
        evaluation, **{name: settings[name] for name in settings if name in wanted}
    )
    check_data(model, data)
    return data


def _data_of(built: Any) -> dict[str, Array]:
    """The data of a PyMC model: float64, but for indices."""
    return {
        variable.name: np.asarray(variable.get_value(), dtype=np.float64)
        if variable.dtype.startswith("float")
        else np.asarray(variable.get_value())
        for variable in built.data_vars
    }
