"""The words of a command line: what parameters take, and what is made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from bayes_rare.arguments.near_words import shown
from bayes_rare.errors import InvalidInput

__all__ = [
    "SEVERAL",
    "AsJson",
    "BetaPrior",
    "ColumnNames",
    "Count",
    "Counts",
    "EvaluationFile",
    "ModelFile",
    "Names",
    "PosteriorFile",
    "Probability",
    "Risks",
    "Share",
    "Text",
    "WeightsFile",
    "columns_of",
    "optional",
    "priors_of",
    "whole",
]


def _number(text: str) -> int | float:
    """A number as it is written: a whole one exactly, 1e4 as a float."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is no number") from None


def _one(_: Any, tokens: Sequence[Token]) -> int | float:
    return _number(tokens[0].value)


def _many(_: Any, tokens: Sequence[Token]) -> list[int | float]:
    return [_number(token.value) for token in tokens]


SEVERAL = (1, None)
"""How many values follow a flag: at least one."""

type Count = Annotated[int | float, Parameter(converter=_one, metavar="N")]
type Counts = Annotated[
    list[int | float],
    Parameter(converter=_many, metavar="N", consume_multiple=SEVERAL),
]
type Risks = Annotated[
    tuple[float, ...] | None, Parameter(metavar="RISK", consume_multiple=SEVERAL)
]
type Names = Annotated[
    list[str] | None, Parameter(metavar="NAME", consume_multiple=SEVERAL)
]
type Probability = Annotated[float, Parameter(metavar="PROBABILITY")]
type Share = Annotated[float, Parameter(metavar="SHARE")]
type ColumnNames = Annotated[str | None, Parameter(metavar="NAME=COLUMN,...")]
type EvaluationFile = Annotated[Path, Parameter(metavar="EVALUATION")]
type PosteriorFile = Annotated[Path, Parameter(metavar="POSTERIOR.nc")]
type WeightsFile = Annotated[Path | None, Parameter(metavar="WEIGHTS.csv")]
type BetaPrior = Annotated[tuple[float, float] | None, Parameter(metavar="A B")]
type ModelFile = Annotated[
    list[Path] | None, Parameter(metavar="FILE.py", consume_multiple=SEVERAL)
]
type AsJson = Annotated[bool, Parameter("--json")]


@Parameter(name="*", help="How the text of a table is written.")
@dataclass(frozen=True)
class Text:
    """How the text of a table is written, where its file does not tell.

    Parameters
    ----------
    encoding
        Encoding of a table in text, such as latin-1, cp1252 or utf-16; by default that
        of its byte order mark, or else UTF-8.
    delimiter
        Character between its values, such as ';' or tab; by default a tab in a .tsv
        file, and a comma in a .csv file unless its header has none.
    decimal
        Character before the decimals of its numbers: '.' or ','.
    """

    encoding: Annotated[str | None, Parameter(metavar="NAME")] = None
    delimiter: Annotated[str | None, Parameter(metavar="CHARACTER")] = None
    decimal: Annotated[str, Parameter(metavar="CHARACTER")] = "."


def whole(name: str, value: int | float) -> int:
    """A count, which must be whole; its range is known to whom it is given."""
    if value < 0 or value % 1:  # NaN is not 0 either
        raise InvalidInput(f"{name} is a whole number from 0 on, got {value}.")
    return int(value)


def optional(name: str, value: int | float | None) -> int | None:
    """A count, which must be whole, where one is given."""
    return None if value is None else whole(name, value)


def columns_of(text: str | None) -> dict[str, str] | None:
    """Names of columns from ``a=b,c=d``."""
    if text is None:
        return None
    return dict(_pair("--columns", part, "log_risk=log_p") for part in text.split(","))


def priors_of(texts: Sequence[str]) -> dict[str, Any]:
    """Settings of a model from ``name=value``."""
    pairs = [_pair("--prior", text, "shape_sd=0.2") for text in texts]
    from bayes_rare import catalog

    return {name: catalog.setting(name, text) for name, text in pairs}


def _pair(flag: str, text: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name.strip() and value.strip()):
        raise InvalidInput(f"{flag} takes pairs such as {example}, got {text!r}.")
    return name.strip(), value.strip()
