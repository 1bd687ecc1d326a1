"""Stacks: weights of models, learnt in a backtest, for use in a fit."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bayes_rare import catalog
from bayes_rare.arguments.checking import checked_call
from bayes_rare.arguments.near_words import no_file
from bayes_rare.catalog import ModelFiles, Source, named_files, refuse_unused
from bayes_rare.errors import InvalidData, InvalidInput, listed
from bayes_rare.files import replacing

__all__ = ["Stack", "StackMember", "load_stack"]

_KIND = "bayes_rare stack"
_FORMAT = 1
_WAY_OUT = "Make one with `bayes-rare stack`."
# Weights are a sum of rounded shares.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class StackMember:
    """A model with its settings in a backtest.

    Parameters
    ----------
    label
        Its name in the backtest.
    model
        Name of a shipped model, or path of a model file.
    digest
        SHA-256 of the file.
    settings
        Priors and thresholds that differ from the file's defaults, as JSON has them.
    source
        The model file, if it is a custom one that the user has named; it is not saved.
    """

    label: str
    model: str
    digest: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    source: Source | None = field(default=None, compare=False, repr=False)

    def load(self) -> catalog.Model:
        """The model.

        Raises
        ------
        NoSuchModel
            If its file is missing or has changed since its weight was learnt, or if it
            is a custom model file that the user has not named.
        """
        label = self.label[:60]
        return catalog.recalled(
            self.model,
            self.digest,
            {} if self.source is None else {self.source.digest: self.source},
            what=f"member {label} of the stack",
            changed=f"{{model}} is no longer the model {label} that the stack gave a "
            "weight",
            again="Run the backtest again and make a stack of it",
            call='load_stack("STACK.json", model_file={model}) or '
            "stack.with_model_files({model})",
        )

    def json(self) -> dict[str, Any]:
        """Its entry in a stack's file."""
        return {
            "label": self.label,
            "model": self.model,
            "digest": self.digest,
            "settings": dict(self.settings),
        }


@checked_call
@dataclass(frozen=True, repr=False)
class Stack:
    """Weights of models by the size of the evaluation, and their scores.

    Parameters
    ----------
    members
        The models that have weights.
    weights
        By evaluation size and label; those of a size sum to 1.
    held_out
        By evaluation size: mean CRPS on held-out behaviours, of ``stack``,
        ``equal weights``, ``best elsewhere`` (the member that was best on the other
        behaviours) and each member.
    in_sample
        By evaluation size: mean CRPS of the stack on the data that it was learnt from.
    notes
        Notes for the reader, in sentences.
    learnt_on
        Digest of the queries of the backtest.

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
                    f"the weights for {size} queries are of "
                    f"{listed(row) or 'none'}, and the members are "
                    f"{listed(labels)}. Sizes are from 1, and each member has "
                    f"a weight for each. {_WAY_OUT}"
                )
            shares = np.array([*row.values()], dtype=np.float64)
            # A comparison with NaN is false: only sound weights pass.
            if not ((shares >= 0).all() and abs(shares.sum() - 1) < _ROUNDING):
                raise InvalidData(
                    f"the weights for {size} queries are {str(dict(row))[:200]}. "
                    f"Weights are 0 or more, and sum to 1. {_WAY_OUT}"
                )

    def nearest(self, queries: int | float) -> int:
        """The evaluation size with weights that is nearest, by ratio.

        Parameters
        ----------
        queries
            Size of an evaluation.

        Raises
        ------
        InvalidInput
            If it has no queries.

        Examples
        --------
        >>> member, one = StackMember("a", "gpd_tail", ""), {"a": 1.0}
        >>> Stack((member,), {100: one, 1000: one}, {}, {}).nearest(400)
        1000
        """
        if not 1 <= queries < math.inf:
            raise InvalidInput(
                f"an evaluation has 1 query or more, got {queries!r}. Give its size."
            )
        return min(self.weights, key=lambda size: abs(math.log(size / queries)))

    def with_model_files(self, model_file: ModelFiles) -> "Stack":
        """The stack with custom model files that may be run.

        A stack never runs a model file because it names it: shipped models are found by
        name and digest, and custom ones have to be named by the user.

        Parameters
        ----------
        model_file
            Path of the file of a model of yours, or several.

        Raises
        ------
        NoSuchModel
            If there is no such file.
        InvalidInput
            If a file is not that of any member, or has changed since.
        """
        files = named_files(model_file)
        refuse_unused(files, self.digests, "this stack")
        return self.with_sources(files)

    def with_sources(self, files: Mapping[str, Source]) -> "Stack":
        """The stack with custom model files that may be run, by digest.

        Parameters
        ----------
        files
            Files that the user has named, by digest; those of no member are ignored.
        """
        members = tuple(
            replace(member, source=files.get(member.digest, member.source))
            for member in self.members
        )
        return replace(self, members=members)

    @property
    def digests(self) -> frozenset[str]:
        """SHA-256 of the files of its members."""
        return frozenset(member.digest for member in self.members)

    def json(self) -> dict[str, Any]:
        """The content of its file, as plain Python values."""
        members = [member.json() for member in self.members]
        return {"kind": _KIND, "format": _FORMAT, **vars(self), "members": members}

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, atomically; an existing file is replaced.

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

        Raises
        ------
        InvalidData
            If a part is missing, or is none.
        """
        try:
            return cls._of(content)
        except (
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
            OverflowError,
        ) as error:
            if isinstance(error, InvalidData):
                raise
            raise InvalidData(
                f"a stack is damaged ({repr(error)[:200]}). {_WAY_OUT}"
            ) from error

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> "Stack":
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
                    _plain(each["settings"]),
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


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, if their values are plain JSON values."""
    for name, value in settings.items():
        if not isinstance(value, str | int | float | None):
            raise ValueError(f"setting {name[:40]} is {type(value).__name__}")
    return dict(settings)


@checked_call
def load_stack(path: str | Path, model_file: ModelFiles = None) -> Stack:
    """Read what `Stack.save` wrote; no file that it names is run.

    Parameters
    ----------
    path
        The JSON file.
    model_file
        Path of a custom model file that the stack uses, or several: a member whose file
        is not named here cannot be fitted. Shipped models need none.

    Raises
    ------
    InvalidData
        If the file is not there, holds no stack or one of another format, or its
        weights are none.
    NoSuchModel
        If there is no file of a model that is named here.
    InvalidInput
        If a file is not that of any member, or has changed since.
    """
    path = Path(path)
    loaded = _read(path)
    return loaded if model_file is None else loaded.with_model_files(model_file)


def _read(path: Path) -> Stack:
    """The stack in a file."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidData(f"{no_file(path)} {_WAY_OUT}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidData(
            f"{path} cannot be read ({str(error)[:200]}). {_WAY_OUT}"
        ) from error
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
