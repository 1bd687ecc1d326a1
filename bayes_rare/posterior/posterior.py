"""The posterior of a fit: its draws, their origin, and whether to trust them."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare import catalog
from bayes_rare.arguments.checking import checked_call
from bayes_rare.diagnostics.convergence import Verdict
from bayes_rare.evaluation import Evaluation
from bayes_rare.populations import Population
from bayes_rare.posterior.fitted import Fitted, refuse_other_draws

if TYPE_CHECKING:
    import pymc
    import xarray

__all__ = [
    "Posterior",
    "extreme_scores",
    "population_of",
]

type Array = Float[np.ndarray, "..."]

type Arrays = Mapping[str, Array]

type Numbers = Mapping[str, np.ndarray]  # whole ones among them

# Fraction of queries beyond the score whose draws are judged beside the parameters.
RARE = 1e-6


@checked_call
@dataclass(frozen=True, eq=False)
class Posterior(Fitted):
    """Draws from the posterior of one model of one evaluation.

    Parameters
    ----------
    model
        The model file.
    evaluation
        What it was fitted to.
    draws
        Free and derived quantities, with leading axes (chain, draw).
    statistics
        Sampler statistics under ArviZ's names, by (chain, draw).
    data
        The arrays that entered the density, by name: PyMC's constant data.
    dims
        Dims of each quantity and array, after (chain, draw).
    verdict
        Whether the draws represent the posterior.
    provenance
        Model, data, priors, seed, versions and times.
    pointwise
        Log likelihood of each observed cell, where it was asked for.
    """

    model: catalog.Model
    evaluation: Evaluation
    draws: Arrays
    statistics: Numbers
    data: Numbers
    dims: Mapping[str, tuple[str, ...]]
    verdict: Verdict
    provenance: Mapping[str, Any]
    pointwise: Arrays = field(default_factory=dict[str, Array])

    @property
    def name(self) -> str:
        """Its name in tables: that of its model."""
        return self.model.name

    @property
    def settings(self) -> dict[str, Any]:
        """Priors and thresholds that the model was built with."""
        return catalog.from_plain(self.provenance["priors"])

    @cached_property
    def tree(self) -> "xarray.DataTree":
        """The posterior as an ArviZ `DataTree`.

        Groups ``posterior``, ``sample_stats``, ``constant_data``, ``log_likelihood``
        where it was asked for, and ``evaluation``; provenance and verdict are
        attributes of the root, as JSON.
        """
        import xarray as xr

        groups = {
            "posterior": self._labelled(self.draws, ("chain", "draw")),
            "sample_stats": self._labelled(self.statistics, ("chain", "draw")),
            "constant_data": self._labelled(self.data, ()),
            "evaluation": self.evaluation.to_dataset(),
        }
        if self.pointwise:
            groups["log_likelihood"] = self._labelled(self.pointwise, ("chain", "draw"))
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = {
            "provenance": json.dumps(self.provenance),
            "verdict": json.dumps(asdict(self.verdict)),
        }
        return tree

    def _labelled(self, arrays: Numbers, leading: tuple[str, ...]) -> "xarray.Dataset":
        import xarray as xr

        variables: dict[str, tuple[tuple[str, ...], Array]] = {}
        lengths: dict[str, int] = {}
        for name, values in arrays.items():
            own = self.dims.get(name, ())
            unnamed = range(values.ndim - len(leading) - len(own))
            dims = (*leading, *own, *(f"{name}_dim_{axis}" for axis in unnamed))
            variables[name] = (dims, values)
            lengths |= dict(zip(dims, values.shape, strict=True))
        labels: dict[str, Any] = {
            dim: np.arange(length) for dim, length in lengths.items()
        }
        if "behaviour" in labels:
            labels["behaviour"] = np.array(self.behaviours, dtype=object)
        return xr.Dataset(variables, labels)

    def population(self, behaviour: str | None = None) -> Population:
        """Distribution of a new query's score, draw by draw.

        Parameters
        ----------
        behaviour
            Which behaviour; may be left out if there is one.

        Raises
        ------
        InvalidInput
            If the posterior has no such behaviour, or several and none is named.
        """
        index = self._index(behaviour)
        return population_of(self.model, self.draws, self.data, self.dims, index)

    def of_behaviour(self, behaviour: str | None = None) -> tuple[Arrays, Numbers]:
        """Draws and data of one behaviour, as functions of a model file take them.

        Parameters
        ----------
        behaviour
            Which behaviour; may be left out if there is one.

        Returns
        -------
        Draws whose last axis is the draw, those of all chains in a row, and data.

        Raises
        ------
        InvalidInput
            If the posterior has no such behaviour, or several and none is named.
        """
        index = self._index(behaviour)
        return one_behaviour(self.draws, self.data, self.dims, index)

    def thinned(self, most: int) -> "Posterior":
        """The posterior with every k-th draw of each chain, at most so many in all.

        Neighbouring draws of a chain carry nearly the same information.

        Parameters
        ----------
        most
            How many draws may be left, of all chains together.
        """
        chains, draws = self._chains_and_draws
        step = math.ceil(draws / max(most // chains, 1))
        if step == 1:
            return self
        kept = {name: values[:, ::step] for name, values in self.draws.items()}
        return replace(self, draws=kept)

    def parts(self, behaviour: str) -> "list[Posterior]":  # noqa: ARG002
        """The posterior itself, which is all that there is to draw from.

        Parameters
        ----------
        behaviour
            Any behaviour.
        """
        return [self]

    def by_chain(self, behaviour: str, values: Array) -> Array:  # noqa: ARG002
        """Values by draw, those of all chains in a row, as values by (chain, draw).

        Parameters
        ----------
        behaviour
            Any behaviour.
        values
            An array whose first axis is the draw.

        Raises
        ------
        InvalidInput
            If there are not as many values as draws.
        """
        refuse_other_draws(values, math.prod(self._chains_and_draws))
        return values.reshape(*self._chains_and_draws, *values.shape[1:])

    @property
    def _chains_and_draws(self) -> tuple[int, int]:
        chains, draws = next(iter(self.draws.values())).shape[:2]
        return chains, draws

    def _index(self, behaviour: str | None) -> int:
        return self.behaviours.index(self._only_or_named(behaviour))

    def pymc_model(self) -> "pymc.Model":
        """The PyMC model that was sampled, for other samplers and predictive draws.

        Where the data set a bound through a `pm.Potential`, as in gpd_tail, prior draws
        by PyMC ignore it, with a warning: ``posterior.model.simulate`` draws from the
        prior correctly.

        Its observed variables are cells, which stand for several queries each, in rows
        that are padded with zeros. To compare predictive draws with what was observed,
        use `bayes_rare.posterior_predictive`.
        """
        return self.model.build(self.evaluation, **self.settings)

    def _in_a_refusal(self) -> tuple[str, str]:
        return (
            f"the fit of {self.name}",
            "Sample longer (--warmup 2000 --draws 2000), fit the behaviours one by one "
            "(--behaviours), or choose another model.",
        )

    def __repr__(self) -> str:
        chains, draws = self._chains_and_draws
        state = "converged" if self.verdict.converged else "NOT CONVERGED"
        return (
            f"Posterior of {self.model.name} for {len(self.behaviours)} behaviour"
            f"{'s'[: len(self.behaviours) != 1]}: {chains} chains of {draws} draws, "
            f"{state} (R-hat {self.verdict.max_rhat:.3f}, effective sample size "
            f"{self.verdict.min_ess:.0f}, {self.verdict.divergences} divergences)."
        )


def population_of(
    model: catalog.Model,
    draws: Arrays,
    data: Numbers,
    dims: Mapping[str, tuple[str, ...]],
    index: int,
) -> Population:
    """Distribution of a new query's score for one behaviour, draw by draw.

    Parameters
    ----------
    model
        The model file.
    draws
        Quantities with leading axes (chain, draw), which become one, the last.
    data
        The arrays that entered the density.
    dims
        Dims of each, after (chain, draw).
    index
        Which behaviour.
    """
    return model.population(*one_behaviour(draws, data, dims, index))


def one_behaviour(
    draws: Arrays, data: Numbers, dims: Mapping[str, tuple[str, ...]], index: int
) -> tuple[Arrays, Numbers]:
    """One behaviour's draws, with (chain, draw) as the last axis, and its data."""
    return (
        {
            name: _of_behaviour(values, dims.get(name, ()), index, leading=2)
            for name, values in draws.items()
        },
        {
            name: _of_behaviour(values, dims.get(name, ()), index, leading=0)
            for name, values in data.items()
        },
    )


def _of_behaviour(
    values: np.ndarray, dims: tuple[str, ...], index: int, *, leading: int
) -> Array:
    """One behaviour's part of an array; its leading axes as one, the last."""
    if "behaviour" in dims:
        axis = dims.index("behaviour") + leading
        values = np.asarray(values.take(index, axis=axis))
    if not leading:
        return values
    return np.moveaxis(values.reshape(-1, *values.shape[leading:]), 0, -1)


def extreme_scores(
    model: catalog.Model,
    draws: Arrays,
    data: Numbers,
    dims: Mapping[str, tuple[str, ...]],
    behaviours: tuple[str, ...],
) -> dict[str, Array]:
    """Score that one query in a million exceeds, as draws by (chain, draw) to judge.

    Forecasts depend on it, and it may mix worse than any parameter of the tail.
    """
    shape = next(iter(draws.values())).shape[:2]
    return {
        f"extreme score of {name}": np.minimum(
            population_of(model, draws, data, dims, index).quantile(math.log(RARE)),
            np.finfo(np.float64).max,  # a score may be infinite, where the risk is 1
        ).reshape(shape)
        for index, name in enumerate(behaviours)
    }
