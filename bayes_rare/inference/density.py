"""A PyMC model as pure JAX functions of its values and of its data.

The data stay arguments of the functions, so one compiled program serves every data set
of one shape. PyMC's own conversion would freeze them: it replaces shared variables by
their present values before it binds inputs, and every later data set would silently be
answered with the first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pymc.initial_point
import pytensor.graph
from jaxtyping import Float

from bayes_rare.errors import NoSuchModel
from bayes_rare.inference import devices

__all__ = ["Density", "density_of", "same_density", "starts_of"]

type Array = Float[np.ndarray, "..."]

# Symbolic values have no useful types.
pg: Any = pytensor.graph
initial_point: Any = pymc.initial_point


@dataclass(frozen=True, eq=False)
class Density:
    """The log density of a model and the quantities that it names, as JAX functions.

    Parameters
    ----------
    values
        Names of the unconstrained values, in the order of the functions' arguments.
    data
        Names of the data that the functions take after the values.
    dims
        Dims of each named quantity.
    initial
        Unconstrained values where sampling starts, before jitter, for the data set that
        the model was built from; it may be another for the next.
    log_density
        ``log_density(*values, *data)``, with the Jacobian of the constraints.
    constrain
        ``constrain(*values, *data)``: the free and derived quantities, by name.
    pointwise
        ``pointwise(*values, *data)``: log likelihood of each observed cell, by name.
    """

    values: tuple[str, ...]
    data: tuple[str, ...]
    dims: Mapping[str, tuple[str, ...]]
    initial: Mapping[str, Array]
    log_density: Callable[..., Any]
    constrain: Callable[..., dict[str, Any]]
    pointwise: Callable[..., dict[str, Any]]


def density_of(model: pm.Model, observed: Collection[str] | None = None) -> Density:
    """Turn a PyMC model into JAX functions that take its `pm.Data` as arguments."""
    graph: Any = model
    if graph.discrete_value_vars:
        names = ", ".join(variable.name for variable in graph.discrete_value_vars)
        raise NoSuchModel(
            f"the model has discrete unknowns ({names}), and NUTS samples continuous "
            "ones. Marginalise them, or sample the model with PyMC itself."
        )
    shown: list[Any] = [*graph.free_RVs, *graph.deterministics]
    cells: list[Any] = [
        rv for rv in graph.observed_RVs if observed is None or rv.name in observed
    ]
    log_density: list[Any] = [graph.logp()]
    constrained: list[Any] = list(graph.replace_rvs_by_values(shown))
    pointwise: list[Any] = list(graph.logp(cells, sum=False)) if cells else []
    data: tuple[str, ...] = tuple(
        variable.name
        for variable in graph.data_vars
        if any(
            variable in pg.traversal.ancestors([output])
            for output in [*log_density, *constrained, *pointwise]
        )
    )
    return Density(
        values=tuple(value.name for value in graph.value_vars),
        data=data,
        dims={
            variable.name: tuple(
                str(dim) for dim in graph.named_vars_to_dims.get(variable.name, ())
            )
            for variable in [*shown, *cells, *graph.data_vars]
        },
        initial=starts_of(model)({}),
        log_density=_single(_jaxified(graph, log_density, data)),
        constrain=_named(
            _jaxified(graph, constrained, data), [variable.name for variable in shown]
        ),
        pointwise=_named(
            _jaxified(graph, pointwise, data), [variable.name for variable in cells]
        ),
    )


def starts_of(model: pm.Model) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """From data to the unconstrained values where sampling starts, before jitter.

    Priors may be centred on data, and their starts with them. PyMC works these out from
    its `pm.Data` alone, in the same way bit for bit as for a model built anew.
    """
    graph: Any = model
    known = {variable.name: variable for variable in graph.data_vars}
    # A start that is drawn from the prior is drawn by this seed.
    start = initial_point.make_initial_point_fn(model=graph)

    def starts(data: Mapping[str, Array]) -> dict[str, Array]:
        for name in known.keys() & data.keys():
            known[name].set_value(data[name].astype(known[name].dtype))
        found = start(0)
        return {
            value.name: np.asarray(found[value.name], dtype=np.float64)
            for value in graph.value_vars
        }

    return starts


def same_density(one: pm.Model, other: pm.Model) -> bool:
    """Whether two models have one density, as a function of values and `pm.Data`.

    And whether they derive the same quantities. Numbers that stand in the graph itself,
    such as observations that are no `pm.Data`, must be equal; what the data hold may
    differ.
    """
    graphs: list[Any] = [one, other]
    inputs = [[*graph.value_vars, *graph.data_vars] for graph in graphs]
    names = [
        [variable.name for variable in (*column, *graph.deterministics)]
        for graph, column in zip(graphs, inputs, strict=True)
    ]
    if names[0] != names[1]:
        return False
    outputs = [
        _without_shared(
            [graph.logp(), *graph.replace_rvs_by_values(graph.deterministics)], own
        )
        for graph, own in zip(graphs, inputs, strict=True)
    ]
    return bool(pg.basic.equal_computations(*outputs, *inputs))


def _without_shared(outputs: list[Any], kept: Sequence[Any]) -> list[Any]:
    """The outputs with shared variables, other than those kept, as their values."""
    frozen = {
        variable: pg.basic.Constant(variable.type, variable.get_value())
        for variable in pg.traversal.graph_inputs(outputs)
        if hasattr(variable, "get_value") and variable not in kept
    }
    return pg.replace.graph_replace(outputs, frozen, strict=False)


def _jaxified(
    graph: Any, outputs: Sequence[Any], names: Sequence[str]
) -> Callable[..., Any]:
    """The outputs as one JAX function of the values and the named data."""
    free = {graph[name]: graph[name].type(name=name) for name in names}
    return devices.jaxified_graph()(
        inputs=[*graph.value_vars, *free.values()],
        outputs=pg.replace.graph_replace(list(outputs), free, strict=False)
        if outputs
        else [],
    )


def _single(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: function(*arguments)[0]


def _named(
    function: Callable[..., Any], names: Sequence[str]
) -> Callable[..., dict[str, Any]]:
    return lambda *arguments: dict(zip(names, function(*arguments), strict=True))
