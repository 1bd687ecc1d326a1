"""The content of a saved file, read part by part and checked before it is used.

Whatever is missing or invalid raises `Damaged`, with the reason.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray

__all__ = ["Damaged", "arrays_of", "checked_provenance", "json_of", "numbers_of"]

_SAMPLE = ("chain", "draw")
# From here on float64 does not tell whole numbers apart.
_MOST = 2**53


class Damaged(Exception):
    """Content that differs from what was written; says why."""


def json_of(attributes: Mapping[Any, Any], name: str, kind: type) -> Any:
    """The value of an attribute that holds JSON."""
    if name not in attributes:
        raise Damaged(f"its attribute {name} is missing")
    try:
        found = json.loads(attributes[name])
    except (ValueError, TypeError, RecursionError) as error:
        raise Damaged(
            f"its attribute {name} cannot be read ({str(error)[:120]})"
        ) from error
    if not isinstance(found, kind):
        raise Damaged(f"its attribute {name} is {type(found).__name__}")
    return found


def _each(kind: Any) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        values: list[Any] = [*value.values()] if hasattr(value, "values") else [value]
        return isinstance(value, dict) and all(isinstance(v, kind) for v in values)

    return holds


def _count(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and 0 <= value < _MOST


def _text(value: Any) -> bool:
    return isinstance(value, str)


_PROVENANCE: dict[str, Callable[[Any], bool]] = {
    "model": _each(str),
    "priors": _each(str | int | float | None),
    "data": _text,
    "chains": _count,
    "warmup": _count,
    "draws": _count,
    "seed": lambda value: isinstance(value, int),  # of any size
    "draws_kept": _count,
    "device": _text,
    "versions": _each(str),
    "finished": _text,
}


def checked_provenance(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """The provenance of a posterior, checked to be complete."""
    found: dict[str, Any] = json_of(attributes, "provenance", dict)
    for name, holds in _PROVENANCE.items():
        if name not in found:
            raise Damaged(f"its provenance has no {name}")
        if not holds(found[name]):
            raise Damaged(f"its provenance has an invalid {name}")
    for group, name in (
        ("model", "name"),
        ("model", "digest"),
        ("model", "path"),
        ("versions", "bayes-rare"),
    ):
        if name not in found[group]:
            raise Damaged(f"its provenance has no {name} of its {group}")
    seconds = found.get("seconds", 0.0)
    if not (isinstance(seconds, float) or _count(seconds)):
        raise Damaged("its provenance has invalid seconds")
    return found


def numbers_of(found: Mapping[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
    """The numbers of these names, each checked to be of its kind."""
    for name, kind in kinds.items():
        value = found.get(name)
        number = isinstance(value, float) or _count(value)
        if not (_count(value) if kind is int else number):
            raise Damaged(f"its {name} is {str(value)[:40] if value else 'missing'}")
    return {name: kind(found[name]) for name, kind in kinds.items()}


def arrays_of(
    tree: "xarray.DataTree",
    group: str,
    behaviours: Iterable[str],
    *,
    sampled: bool,
    whole: bool = True,
    finite: bool = False,
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Arrays of numbers of a group, by name, each with its own dims."""
    if group not in tree.children:
        raise Damaged(f"its group {group} is missing")
    dataset = tree[group].dataset
    names = list(behaviours)
    if dataset.sizes.get("behaviour", len(names)) != len(names):
        raise Damaged(
            f"its group {group} is of {dataset.sizes['behaviour']} behaviours, and its "
            f"evaluation of {len(names)}"
        )
    if "behaviour" in dataset.coords:
        labels = [str(label) for label in np.ravel(dataset["behaviour"].to_numpy())]
        if labels != names:
            raise Damaged(
                f"its group {group} is of other behaviours than its evaluation"
            )
    found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, variable in dataset.data_vars.items():
        dims = tuple(map(str, variable.dims))
        values = variable.to_numpy()
        if values.dtype.kind not in "biuf":
            raise Damaged(f"{name} in its group {group} does not hold numbers")
        if sampled and (dims[:2] != _SAMPLE or not values.size):
            raise Damaged(f"{name} in its group {group} has no chains of draws")
        if finite and not np.isfinite(values).all():
            raise Damaged(f"{name} in its group {group} is not finite")
        if not whole and values.dtype.kind != "f":
            values = values.astype(np.float64)
        found[str(name)] = (dims[2:] if sampled else dims, values)
    if sampled and not found:
        raise Damaged(f"its group {group} is empty")
    return found
