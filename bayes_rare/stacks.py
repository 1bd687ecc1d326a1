"""Weights of models that a backtest has taught, ready for a fit."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bayes_rare import catalog
from bayes_rare.errors import InvalidData, NoSuchModel
from bayes_rare.files import replacing

__all__ = ["Stack", "StackMember", "load_stack"]

_KIND = "bayes_rare stack"
_FORMAT = 1


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
    """

    members: tuple[StackMember, ...]
    weights: Mapping[int, Mapping[str, float]]
    held_out: Mapping[int, Mapping[str, float]]
    in_sample: Mapping[int, float]
    notes: tuple[str, ...] = ()

    def nearest(self, queries: int | float) -> int:
        """The evaluation size with weights that is nearest, by ratio.

        Parameters
        ----------
        queries
            Size of an evaluation.

        Examples
        --------
        >>> one = {"a": 1.0}
        >>> Stack((), {100: one, 1000: one}, {}, {}).nearest(400)
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
            tuple(StackMember(**each) for each in content["members"]),
            weights,
            held_out,
            {int(size): float(v) for size, v in content["in_sample"].items()},
            tuple(map(str, content["notes"])),
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
        If the file is not there, or holds no stack.
    """
    path = Path(path)
    way_out = "Make one with `bayes-rare stack`."
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidData(f"there is no file {path}. {way_out}") from error
    except (OSError, ValueError) as error:
        raise InvalidData(f"{path} cannot be read ({error}). {way_out}") from error
    try:
        if content["kind"] != _KIND or content["format"] != _FORMAT:
            raise KeyError("kind")
        return Stack.of_content(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidData(
            f"{path} holds no stack of this package ({error!r}). {way_out}"
        ) from error
