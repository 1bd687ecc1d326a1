"""Weights of models that a backtest has taught, ready for a fit."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bayes_rare import catalog
from bayes_rare.errors import InvalidData, NoSuchModel
from bayes_rare.files import replacing
from bayes_rare.shortening import listed

__all__ = ["Stack", "StackMember", "load_stack"]

_KIND = "bayes_rare stack"
_FORMAT = 1
_WAY_OUT = "Make one with `bayes-rare stack`."
# Weights are a sum of rounded shares.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class StackMember:
    """A model with settings, as a backtest fitted it.

    Parameters
    ----------
    label
        What the backtest called it.
    model
        Name of a shipped model, or path of a model file.
    digest
        SHA-256 of the file.
    settings
        Priors and thresholds that differ from the file's defaults, as JSON has them.
    """

    label: str
    model: str
    digest: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def load(self) -> catalog.Model:
        """The model.

        Raises
        ------
        NoSuchModel
            If its file is gone, or is no longer the one whose weight was learnt.
        """
        found = catalog.load(self.model)
        if found.digest != self.digest:
            raise NoSuchModel(
                f"{found.path} is no longer the model {self.label} that the stack gave "
                "a weight. Run the backtest again, and stack that."
            )
        return found


@dataclass(frozen=True, repr=False)
class Stack:
    """Weights of models by the size of the evaluation, and how good they proved.

    Parameters
    ----------
    members
        The models that were weighed.
    weights
        By evaluation size and label; those of a size sum to 1.
    held_out
        By evaluation size: mean CRPS on behaviours that had no say, of ``stack``,
        ``equal weights``, ``best elsewhere`` (the member that was best on the other
        behaviours) and each member.
    in_sample
        By evaluation size: mean CRPS of the stack where it was learnt.
    notes
        What a reader should know, in sentences.
    learnt_on
        Digest of the queries whose backtest taught it.

    Raises
    ------
    InvalidData
        If there are no weights, or those of a size are none of its members', not
        finite, negative, or of another sum than 1.
    """

    members: tuple[StackMember, ...]
    weights: Mapping[int, Mapping[str, float]]
    held_out: Mapping[int, Mapping[str, float]]
    in_sample: Mapping[int, float]
    notes: tuple[str, ...] = ()
    learnt_on: str = ""

    def __post_init__(self) -> None:
        labels = [member.label for member in self.members]
        if not self.weights or len({*labels}) < len(labels):
            raise InvalidData(
                "a stack has weights of one evaluation size or more, of members of "
                f"different labels; here are {len(self.weights)} sizes and the members "
                f"{listed(labels) or 'none'}. {_WAY_OUT}"
            )
        for size, row in self.weights.items():
            if size < 1 or {*row} != {*labels}:
                raise InvalidData(
                    f"the weights for {size} queries are of {listed(row) or 'none'},"
                    f" and the members are {listed(labels)}. Sizes are from 1, and "
                    f"each member has a weight for each. {_WAY_OUT}"
                )
            shares = np.array([*row.values()], dtype=np.float64)
            # A comparison with NaN is false: only sound weights pass.
            if not ((shares >= 0).all() and abs(shares.sum() - 1) < _ROUNDING):
                raise InvalidData(
                    f"the weights for {size} queries are {dict(row)}. Weights are 0 or "
                    f"more, and sum to 1. {_WAY_OUT}"
                )

    def nearest(self, queries: int | float) -> int:
        """The evaluation size with weights that is nearest, by ratio.

        Parameters
        ----------
        queries
            Size of an evaluation.

        Examples
        --------
        >>> member, one = StackMember("a", "gpd_tail", ""), {"a": 1.0}
        >>> Stack((member,), {100: one, 1000: one}, {}, {}).nearest(400)
        1000
        """
        return min(self.weights, key=lambda size: abs(math.log(size / queries)))

    def json(self) -> dict[str, Any]:
        """What a file of it holds, as plain Python values."""
        return {"kind": _KIND, "format": _FORMAT, **asdict(self)}

    def save(self, path: str | Path) -> Path:
        """Write it as JSON; the file appears whole or not at all.

        Parameters
        ----------
        path
            Where.
        """
        path = Path(path)
        with replacing(path) as written:
            text = json.dumps(self.json(), indent=1, ensure_ascii=False)
            written.write_text(text + "\n", encoding="utf-8")
        return path

    @classmethod
    def of_content(cls, content: Mapping[str, Any]) -> "Stack":
        """The stack that `save` wrote.

        Parameters
        ----------
        content
            What the file holds.
        """
        weights, held_out = (
            {
                int(size): {str(k): float(v) for k, v in row.items()}
                for size, row in content[name].items()
            }
            for name in ("weights", "held_out")
        )
        return cls(
            tuple(
                StackMember(
                    str(each["label"]),
                    str(each["model"]),
                    str(each["digest"]),
                    dict(each["settings"]),
                )
                for each in content["members"]
            ),
            weights,
            held_out,
            {int(size): float(v) for size, v in content["in_sample"].items()},
            tuple(map(str, content["notes"])),
            str(content.get("learnt_on", "")),
        )

    def __repr__(self) -> str:
        shares = "; ".join(
            f"{size:,} queries: "
            + ", ".join(f"{w:.2f} {label}" for label, w in row.items() if w >= 0.005)
            for size, row in self.weights.items()
        )
        return f"Stack ({shares}). See weights, held_out and notes."


def load_stack(path: str | Path) -> Stack:
    """Read what `Stack.save` wrote.

    Parameters
    ----------
    path
        The JSON file.

    Raises
    ------
    InvalidData
        If the file is not there, holds no stack or one of another format, or its
        weights are none.
    """
    path = Path(path)
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidData(f"there is no file {path}. {_WAY_OUT}") from error
    except (OSError, ValueError) as error:
        raise InvalidData(f"{path} cannot be read ({error}). {_WAY_OUT}") from error
    kind, number = (
        content.get(name) if hasattr(content, "get") else None
        for name in ("kind", "format")
    )
    if kind != _KIND:
        raise InvalidData(f"{path} holds no stack of this package. {_WAY_OUT}")
    if number != _FORMAT:
        raise InvalidData(
            f"{path} has format {number!r}, and this version reads {_FORMAT}. Read it "
            f"with the version that wrote it. {_WAY_OUT}"
        )
    try:
        return Stack.of_content(content)
    except InvalidData as error:
        raise InvalidData(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidData(f"{path} is damaged ({error!r}). {_WAY_OUT}") from error
