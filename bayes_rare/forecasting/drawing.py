"""Draws of all targets, by behaviour, size and risk threshold."""

import zlib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare.errors import InvalidInput
from bayes_rare.forecasting.deployment import Deployment
from bayes_rare.forecasting.targets import (
    BY_THRESHOLD,
    TARGETS,
    WHATEVER_THE_SIZE,
    checked_risks,
    outcome,
)
from bayes_rare.populations import Population
from bayes_rare.scores import risk_from_score

if TYPE_CHECKING:
    import xarray

__all__ = [
    "drawn",
    "generator",
    "refuse_negative",
]


def drawn(
    populations: Mapping[str, Population],
    deployment: Deployment,
    risk_thresholds: Sequence[int | float],
    level: int | float,
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
    risks = checked_risks(risk_thresholds) if BY_THRESHOLD & set(targets) else []
    labels: dict[str, Any] = {
        "behaviour": np.array(list(populations), dtype=object),
        "queries": np.array(deployment.queries),
        "risk_threshold": np.array(risks, dtype=np.float64),
    }
    arrays: dict[str, Any] = {}
    for target in targets:
        sized = target not in WHATEVER_THE_SIZE
        counted = target in BY_THRESHOLD
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
                    None if seed is None else generator(seed, name, target, size),
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


def generator(
    seed: int, behaviour: str, target: str, size: int | None
) -> np.random.Generator:
    """Source of the luck of one behaviour, target and size."""
    if target == "worst_query_risk":  # of more queries, with the same luck
        size = None
    name = zlib.crc32(f"{behaviour} {target}".encode())
    return np.random.default_rng([seed, name, size or 0])


def refuse_negative(seed: int) -> None:
    """Refuse what is no seed."""
    if seed < 0:
        raise InvalidInput(f"a seed is a whole number from 0, got {seed}. Give seed=0.")
