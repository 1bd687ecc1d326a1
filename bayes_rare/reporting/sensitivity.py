"""How far forecasts move if the prior, or the data, count a little more or less."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare.errors import InvalidData, NotApplicable
from bayes_rare.inference import devices
from bayes_rare.posterior import Posterior, extreme_scores
from bayes_rare.reporting.sampling import EXTREME, single_numbers

if TYPE_CHECKING:
    import pandas

__all__ = ["FLAT", "SENSITIVE", "log_densities", "sensitivity"]

type Array = Float[np.ndarray, "..."]
type Chains = Float[np.ndarray, "chain draw"]

SENSITIVE = 0.05
"""Values from here on count as sensitive, as Kallioinen et al. propose."""

FLAT = "the prior is flat"
"""Diagnosis for a prior whose log density does not vary."""

# Differences of log densities, relative to their size, that are rounding.
_ROUNDING = 1e-10
# Draws whose largest weights can be smoothed.
_FEWEST = 25
# Draws of all chains together that are looked at.
_DRAWS = 4000
# Scores beyond this stand for risks of 0 and 1.
_SURE = 1e3


def sensitivity(posterior: Posterior) -> "pandas.DataFrame":
    """How far the posterior moves if the prior or the likelihood counts more or less.

    Power scaling [1]_: each is raised to powers near 1, draws are weighted anew by
    smoothed importance, and the distance between distributions is measured per doubling
    of the power. The log densities are computed from the model that the posterior
    names and the evaluation that it carries; a fit does not keep them.

    References
    ----------
    .. [1] N. Kallioinen, T. Paananen, P.-C. Bürkner, A. Vehtari (2024). Detecting and
       diagnosing prior and likelihood sensitivity with power-scaling. Statistics and
       Computing 34, 57.
    """
    import pandas as pd
    import xarray as xr

    few = posterior.thinned(_DRAWS)
    prior, likelihood = log_densities(
        few.pymc_model(), few.draws, few.data, few.model.name
    )
    if prior.size < _FEWEST:
        raise NotApplicable(
            f"importance weights need at least {_FEWEST} draws, and there are "
            f"{prior.size}. Sample longer (--draws 1000)."
        )
    if not (np.isfinite(prior).all() and np.isfinite(likelihood).all()):
        raise InvalidData(
            f"the density of {few.model.name} is not finite for some draws, although "
            "the model was rebuilt from the posterior's evaluation. Fit again with "
            "this version."
        )
    tails = extreme_scores(few.model, few.draws, few.data, few.dims, few.behaviours)
    shown = {
        (EXTREME, name): np.clip(values, -_SURE, _SURE)
        for name, values in zip(few.behaviours, tails.values(), strict=True)
    } | single_numbers(few, small=True)
    moving = {key: values for key, values in shown.items() if np.ptp(values) > 0}
    axes = ("chain", "draw")
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {str(at): (axes, own) for at, own in enumerate(moving.values())}
            ),
            "log_prior": xr.Dataset({"prior": (axes, prior)}),
            "log_likelihood": xr.Dataset({"likelihood": (axes, likelihood)}),
        }
    )
    flat = _constant(prior)
    found = {
        group: _scaled(tree, group, len(moving), constant=_constant(density))
        for group, density in (("prior", prior), ("likelihood", likelihood))
    }
    rows: list[dict[str, Any]] = []
    for at, (name, of) in enumerate(moving):
        two = {group: values[at] for group, values in found.items()}
        diagnosis = FLAT if flat else _diagnosis(two)
        rows.append({"parameter": name, "of": of, **two, "diagnosis": diagnosis})
    return pd.DataFrame(
        rows, columns=["parameter", "of", "prior", "likelihood", "diagnosis"]
    )


def _constant(density: Chains) -> bool:
    """Whether a log density is the same for all draws, but for rounding."""
    return float(np.ptp(density)) <= _ROUNDING * max(float(np.abs(density).max()), 1.0)


def _scaled(tree: Any, group: str, moving: int, *, constant: bool) -> list[float]:
    """Sensitivities of as many quantities to the prior or the likelihood."""
    if constant or not moving:
        return [0.0] * moving
    psense = import_module("arviz_stats").psense
    try:
        table = psense(tree, group=group)
    except ValueError:  # the largest weights are all one, and are not smoothed
        return [np.nan] * moving
    return [float(table[str(at)]) for at in range(moving)]


def _diagnosis(found: Mapping[str, float]) -> str:
    """What two sensitivities say together, after the authors' table."""
    if np.isnan([*found.values()]).any():
        return "not known"
    if found["prior"] < SENSITIVE:
        return "the data dominate"
    if found["likelihood"] < SENSITIVE:
        return "the prior dominates"
    return "both matter"


def log_densities(
    built: Any, draws: Mapping[str, Array], data: Mapping[str, Array], name: str
) -> tuple[Chains, Chains]:
    """Logarithms of the prior density and of the likelihood, draw by draw.

    The prior is that of the parameters that tables show, in whatever coordinates they
    were sampled: where ``NAME_offset`` was sampled in place of ``NAME``, the density
    is divided by the slope of the one in the other.
    """
    import jax

    conditioning: Any = import_module("pymc.model.transform.conditioning")
    # Where sampling starts has no part in a density, and PyMC converts no model with
    # starts of its own.
    built.rvs_to_initial_values.update(dict.fromkeys(built.rvs_to_initial_values))
    plain = conditioning.remove_value_transforms(built)
    names = [value.name for value in plain.value_vars]
    now = {variable.name: variable.get_value() for variable in built.data_vars}
    if not set(names) <= set(draws) or not all(
        key in data and np.array_equal(value, data[key], equal_nan=True)
        for key, value in now.items()
    ):
        raise InvalidData(
            f"{name}, rebuilt from the posterior's evaluation, has "
            "other data or unknowns than the draws. Fit again with this version."
        )
    prior, likelihood = _terms(plain, data)
    function = devices.jaxified_graph()(
        inputs=plain.value_vars, outputs=[prior, likelihood]
    )
    given = [draws[each].reshape(-1, *draws[each].shape[2:]) for each in names]
    # One draw after the other: of all at once a quadrature would fill the memory.
    run: Any = jax.jit(lambda *values: _in_turn(function, values))  # pyright: ignore[reportUnknownLambdaType]
    shape = next(iter(draws.values())).shape[:2]
    one, two = (np.asarray(each, np.float64).reshape(shape) for each in run(*given))
    return one, two


def _in_turn(function: Any, values: Any) -> Any:
    import jax

    def of_one(one: Any) -> Any:
        return function(*one)

    lax: Any = jax.lax
    return lax.map(of_one, values)


def _terms(plain: Any, data: Mapping[str, Array]) -> tuple[Any, Any]:
    """Symbolic log prior and log likelihood, by the values of the parameters."""
    import pytensor.tensor as tensor

    pt: Any = tensor
    seen = data.get("family_count")
    density = [*plain.free_RVs, *plain.potentials]
    parts: dict[str, Any] = dict(
        zip(
            (variable.name for variable in density),
            plain.logp(density, jacobian=False, sum=False),
            strict=True,
        )
    )
    shown = dict(
        zip(
            (variable.name for variable in plain.deterministics),
            plain.replace_rvs_by_values(plain.deterministics),
            strict=True,
        )
    )
    for variable, value in zip(plain.free_RVs, plain.value_vars, strict=True):
        own = shown.get(variable.name.removesuffix("_offset"))
        if variable.name.endswith("_offset") and own is not None:
            slope = pt.grad(pt.sum(own), value)
            parts[f"{variable.name}_slope"] = -pt.log(pt.abs(slope))
    # A place that pads a row of families stands for none.
    total = 0.0
    for part in parts.values():
        padded = seen is not None and part.ndim == 2
        total = total + pt.sum(pt.where(pt.gt(seen, 0), part, 0.0) if padded else part)
    likelihood = plain.logp(plain.observed_RVs, jacobian=False)
    return total, likelihood
