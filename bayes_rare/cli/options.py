"""Options that several commands have, each written once with its help."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from bayes_rare.arguments.near_words import shown
from bayes_rare.errors import InvalidInput

if TYPE_CHECKING:
    from bayes_rare.forecasting import Deployment
    from bayes_rare.readers.tables.texts import TextFormat

__all__ = [
    "AnswerOptions",
    "AsJson",
    "BacktestSampling",
    "BetaPrior",
    "Count",
    "Counts",
    "DeploymentOptions",
    "EvaluationFile",
    "ImportOptions",
    "ModelFile",
    "Names",
    "PosteriorFile",
    "Probability",
    "Risks",
    "SamplingOptions",
    "TableOptions",
    "TextOptions",
    "optional",
    "priors_of",
    "several",
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
        raise ValueError(f"{shown(text)} is not a number") from None


def _one(_: Any, tokens: Sequence[Token]) -> int | float:
    return _number(tokens[0].value)


def _many(_: Any, tokens: Sequence[Token]) -> list[int | float]:
    return [_number(token.value) for token in tokens]


def several(metavar: str, **more: Any) -> Parameter:
    """An option that takes one or more values: ``--flag A B C``."""
    return Parameter(metavar=metavar, consume_multiple=(1, None), **more)


type Count = Annotated[int | float, Parameter(converter=_one, metavar="N")]
type Counts = Annotated[list[int | float], several("N", converter=_many)]
type Risks = Annotated[tuple[float, ...] | None, several("RISK")]
type Names = Annotated[list[str] | None, several("NAME")]
type Probability = Annotated[float, Parameter(metavar="PROBABILITY")]
type Share = Annotated[float, Parameter(metavar="SHARE")]
type EvaluationFile = Annotated[Path, Parameter(metavar="EVALUATION")]
type PosteriorFile = Annotated[Path, Parameter(metavar="POSTERIOR.nc")]
type BetaPrior = Annotated[tuple[float, float] | None, Parameter(metavar="A B")]
type ModelFile = Annotated[list[Path] | None, several("FILE.py")]
type AsJson = Annotated[bool, Parameter("--json")]


@Parameter(name="*")
@dataclass(frozen=True)
class TextOptions:
    """How a table in a text file is written, where the file itself does not tell.

    Parameters
    ----------
    encoding
        Encoding of a .csv, .tsv or JSON file, such as latin-1, cp1252 or utf-16. By
        default taken from the byte order mark, or else UTF-8.
    delimiter
        Character that separates the values of a .csv or .tsv file, such as ';' or tab.
        By default a tab in a .tsv file; a comma in a .csv file unless its header has
        none.
    decimal
        Decimal mark of numbers in text: '.' or ','.
    """

    encoding: Annotated[str | None, Parameter(metavar="NAME")] = None
    delimiter: Annotated[str | None, Parameter(metavar="CHARACTER")] = None
    decimal: Annotated[str, Parameter(metavar="CHARACTER")] = "."

    def text_format(self) -> "TextFormat":
        """The same, checked."""
        from bayes_rare.readers.tables.texts import TextFormat

        return TextFormat(self.encoding, self.delimiter, self.decimal)


@Parameter(name="*")
@dataclass(frozen=True)
class TableOptions(TextOptions):
    """Which part of a table is read, and how its text is written.

    Parameters
    ----------
    behaviours
        Behaviours to read, one or more. By default all.
    columns
        Names of columns that the table calls differently, such as
        log_risk=log_p,family=template_id.
    """

    behaviours: Names = None
    columns: Annotated[str | None, Parameter(metavar="NAME=COLUMN,...")] = None

    def arguments(self) -> dict[str, Any]:
        """The same as arguments of `bayes_rare.read_table`."""
        columns = self.columns
        if columns is not None:
            pairs = columns.split(",")
            columns = dict(_pair("--columns", pair, "log_risk=log_p") for pair in pairs)
        return vars(self) | {"columns": columns}


@Parameter(name="*")
@dataclass(frozen=True)
class SamplingOptions:
    """How a posterior is sampled.

    Parameters
    ----------
    chains
        Number of Markov chains, at least 1.
    warmup
        Warm-up steps of each chain, at least 20; they are discarded.
    draws
        Draws kept of each chain, at least 4; up to four times as many are taken while
        the effective sample size is too small.
    seed
        Random seed, a whole number from 0.
    """

    chains: Count = 4
    warmup: Count = 1000
    draws: Count = 1000
    seed: Count = 0

    def arguments(self) -> dict[str, Any]:
        """The same as arguments of `bayes_rare.fit`, if they are whole numbers."""
        return {name: whole(f"--{name}", value) for name, value in vars(self).items()}


@Parameter(name="*")
@dataclass(frozen=True)
class BacktestSampling(SamplingOptions):
    """How each of the many fits of a backtest is sampled."""

    warmup: Count = 500
    draws: Count = 500


@Parameter(name="*")
@dataclass(frozen=True)
class DeploymentOptions:
    """The queries that a forecast is for.

    Parameters
    ----------
    queries
        Number of queries served, one or more: 1e4 1e6 1e9. Whole numbers from 1 to
        1e12.
    families
        Table with columns family and weight: the mix of families that will be served.
        By default the mix of the evaluation.
    text
        How the table of weights is written.
    unseen_share
        Share of the queries that come from families not in the evaluation, from 0 to 1.
    unseen_families
        Number of such families; give it together with --unseen-share.
    """

    queries: Counts
    families: Annotated[Path | None, Parameter(metavar="WEIGHTS.csv")] = None
    text: TextOptions | None = None
    unseen_share: Share = 0.0
    unseen_families: Count | None = None

    def deployment(
        self, samples_per_query: int | float = 1, missed_mode: Any = None
    ) -> "Deployment":
        """The deployment that the options describe."""
        from bayes_rare.forecasting import Deployment
        from bayes_rare.forecasting.family_mix import read_mix

        text = (self.text or TextOptions()).text_format()
        return Deployment(
            self.queries,
            whole("--samples-per-query", samples_per_query),
            None if self.families is None else read_mix(self.families, text),
            self.unseen_share,
            optional("--unseen-families", self.unseen_families),
            missed_mode,
        )


@Parameter(name="*")
@dataclass(frozen=True)
class AnswerOptions:
    """How a posterior is read, and where the answer goes.

    Parameters
    ----------
    seed
        Random seed, a whole number from 0.
    model_file
        Your own model file or files that the posterior was fitted with; a posterior
        never runs a file that it names itself.
    output
        CSV file for the whole table, written atomically; an existing file is replaced.
    as_json
        Print one JSON object on standard output, and nothing else.
    """

    seed: Count = 0
    model_file: ModelFile = None
    output: Annotated[Path | None, Parameter(metavar="TABLE.csv")] = None
    as_json: AsJson = False


@Parameter(name="*")
@dataclass(frozen=True)
class ImportOptions:
    """Where an imported table goes, and how much of the log may be lost.

    Parameters
    ----------
    output
        Parquet file to write, one row per query, with EVALUATION.dropped.json beside
        it. Both are written atomically; existing files are replaced.
    max_dropped
        Largest share of measurements of any behaviour that may be lost (errored or not
        scored), from 0 to 1.
    """

    output: Annotated[Path, Parameter(metavar="EVALUATION.parquet")]
    max_dropped: Share = 0.05


def whole(name: str, value: int | float) -> int:
    """A count as an int, if it is a whole number from 0."""
    if value < 0 or value % 1:  # NaN is not 0 either
        raise InvalidInput(f"{name} must be a whole number from 0, got {value}.")
    return int(value)


def optional(name: str, value: int | float | None) -> int | None:
    """A count as an int, where one is given."""
    return None if value is None else whole(name, value)


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
