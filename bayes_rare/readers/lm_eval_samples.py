"""Evaluations in sample logs of lm-evaluation-harness.

=================  ================================================================
kind of request    what it says of a query
=================  ================================================================
loglikelihood      the probability of one continuation, exactly
multiple_choice    the probability of one choice among those offered, exactly
generate_until     repeats of a response, each a trial by a predicate of the user's
=================  ================================================================

An accuracy is none of these: it says which choice has the largest probability, always
the same, and is no draw of a response.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.readers.cautions import LOWER_BOUND
from bayes_rare.readers.contract import near
from bayes_rare.readers.gathering import HIT, MISS, Gathering
from bayes_rare.readers.imported import (
    MAX_DROPPED,
    ImportedTable,
    found_logs,
    imported,
)
from bayes_rare.readers.streams import (
    Json,
    JsonStream,
    as_list,
    as_object,
    file_chunks,
    json_lines,
)
from bayes_rare.shortening import listed

__all__ = ["import_lm_eval"]

type Kind = Literal["loglikelihood", "multiple_choice", "generate_until"]

_KINDS: tuple[Kind, ...] = ("loglikelihood", "multiple_choice", "generate_until")
_PATTERN = "*samples_*.jsonl"
# samples_<task>_<date>.jsonl, beside results_<date>.json of the same date; a copy may
# have more in front.
_AT = r"(?P<date>\d{4}-\d\d-\d\dT[\d.:-]+)"
_NAME = re.compile(rf"(?P<front>.*?)samples_(?P<task>.+)_{_AT}\.jsonl")
_RESULTS = re.compile(rf"(?P<front>.*?)results_{_AT}\.json")
_METRIC = re.compile(r"(?P<name>[^=]+)=(?P<value>[01])")
_TEXT = 1_000
# A log-probability may exceed 0 by so much, where single precision has rounded it.
_ROUNDED = 1e-4
_CONFIG = {"task", "model"}


def import_lm_eval(
    logs: str | Path | Sequence[str | Path],
    *,
    success: str | None = None,
    choice: str | None = None,
    filter: str | None = None,
    behaviour: str | None = None,
    family: str | None = None,
    max_dropped: int | float = MAX_DROPPED,
) -> ImportedTable:
    """The evaluation table in sample logs of lm-evaluation-harness.

    They are written with ``--log_samples``. Of several logs of one task and model the
    newest counts, document by document.

    Parameters
    ----------
    logs
        Paths of ``samples_*.jsonl``, or of ``results_*.json`` for all samples of that
        run; glob patterns, folders, or several of these.
    success
        For generated responses, what shows the behaviour: a regular expression that is
        searched in each response; or the name of a metric that is 1 where it does,
        ``"metric=0"`` for one that is 0, where it scores each repeat.
    choice
        For multiple choice, the text of the choice that is the behaviour.
    filter
        Which filter's rows to read, where there are several.
    behaviour
        Where the name of the behaviour is from: "task", "model", or a field of the
        documents. By default the task; where logs are of several models, that is added.
    family
        Where the family is from, in the same way; none where not given.
    max_dropped
        Largest share of lost rows of any behaviour, from 0 to 1.

    Raises
    ------
    InvalidData
        If a log cannot be read, what it holds is no trial, or too much is lost.
    InvalidInput
        If nothing says what the behaviour is, or what is named is not there.

    Examples
    --------
    >>> import json, tempfile
    >>> row = {"doc_id": 0, "doc": {}, "filter": "none", "metrics": []}
    >>> row |= {"arguments": {"gen_args_0": {"arg_0": "Hi", "arg_1": " you"}}}
    >>> row |= {"resps": [[["-2.5", "False"]]], "filtered_resps": [["-2.5", "False"]]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "samples_hi_2026-11-23T14-50-43.355448.jsonl"
    ...     _ = path.write_text(json.dumps(row))
    ...     made = import_lm_eval(path)
    >>> made.rows.select(["behaviour", "query_text", "log_risk"]).to_pylist()
    [{'behaviour': 'hi', 'query_text': 'Hi', 'log_risk': -2.5}]
    """
    paths = found_logs(logs, (_PATTERN,), "sample log of lm-eval")
    files = sorted(
        (_file(one) for path in paths for one in _sample_logs(path)),
        key=lambda file: (file.date, str(file.path)),
    )
    reading = _Reading(files, success, choice, filter, behaviour, family)
    for file in files:
        reading.take(file)
    return imported(
        reading.gathered,
        reader="lm-eval",
        sources=[file.path.name for file in files],
        rule=reading.rule(),
        warnings=list(reading.warnings()),
        max_dropped=max_dropped,
    )


@dataclass(frozen=True)
class _File:
    path: Path
    task: str
    date: str
    model: str
    config: Json


class _Reading:
    """One pass over all sample logs."""

    def __init__(
        self,
        files: Sequence[_File],
        success: str | None,
        choice: str | None,
        filter: str | None,
        behaviour: str | None,
        family: str | None,
    ) -> None:
        self.gathered = Gathering()
        self._success, self._choice, self._filter = success, choice, filter
        self._behaviour, self._family = behaviour, family
        self._several_tasks = len({file.task for file in files}) > 1
        self._several_models = len({file.model for file in files}) > 1
        self._kinds: dict[Kind, str] = {}
        self._greedy: dict[str, None] = {}
        self._filters: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None
        self._is_metric = False
        # Documents of one content have one hash; the first keeps it as its identity.
        self._places: dict[str, str] = {}

    def take(self, file: _File) -> None:
        """Read the lines of a log."""
        chosen = self._filter
        several: set[str] = set()
        found = False
        for number, line in json_lines(file.path):
            place = f"{file.path}, line {number:,}"
            row = as_object(line)
            if "resps" not in row:
                raise InvalidData(
                    f"{place} has no `resps`: no sample of lm-eval. Give a log that "
                    "--log_samples wrote, samples_*.jsonl."
                )
            kind = self._kind(file, row, place)
            name = str(row.get("filter", "none"))
            several.add(name)
            self._filters[name] = None
            behaviour = self._name(file, row, place)
            if chosen is None:
                chosen = name
            if name != chosen:
                if self._filter is None and not self._by_pattern(kind, row, place):
                    raise InvalidInput(
                        f"{place} is of the filter {name!r}, and lines before it of "
                        f"{chosen!r}: each document is there once for each. Name one: "
                        f"--filter {chosen}."
                    )
                rows = len(_repeats(row)) if kind == "generate_until" else 1
                self.gathered.set_aside(behaviour, "other filter", rows)
                continue
            found = True
            self._outcomes(kind, file, row, place, behaviour)
        if several and not found:
            raise InvalidInput(
                f"{file.path} has no line of the filter {self._filter!r}"
                f"{near(str(self._filter), list(several))}. It has: "
                f"{listed(sorted(several))}."
            )

    def rule(self) -> str:
        """What was taken for the behaviour."""
        said: list[str] = []
        if "loglikelihood" in self._kinds:
            said.append("probability of the continuation")
        if "multiple_choice" in self._kinds:
            said.append(f"probability of the choice {self._choice!r} among all choices")
        if "generate_until" in self._kinds:
            what = "response matches" if self._pattern else "metric"
            said.append(f"{what} {self._success!r}")
        return "; ".join(said)

    def warnings(self) -> Iterator[str]:
        """What the logs give reason to warn of."""
        if "loglikelihood" in self._kinds:
            yield LOWER_BOUND
        for name in self._greedy:
            yield (
                f"{name} was generated greedily (do_sample false or temperature 0): "
                "what it shows of a query is what happens always or never, not how "
                "often."
            )

    def _kind(self, file: _File, row: Json, place: str) -> Kind:
        """What kind of request a line is of, from the results or the line itself."""
        kind = str(file.config.get("output_type") or _guessed(row))
        if kind not in _KINDS:
            raise InvalidData(
                f"{place} is of the kind {kind}: it scores a whole text, and is no "
                "chance of one response among others. Log a task of the kind "
                f"{', '.join(_KINDS[:-1])} or {_KINDS[-1]}."
            )
        if kind not in self._kinds:
            self._refuse_missing(kind, row, place)
            self._kinds[kind] = place
            if ("generate_until" in self._kinds) and len(self._kinds) > 1:
                first, second = self._kinds.items()
                raise InvalidInput(
                    f"{first[1]} is of the kind {first[0]}, and {second[1]} of "
                    f"{second[0]}: probabilities and counts do not go into one table. "
                    "Import them one by one."
                )
        return kind

    def _refuse_missing(self, kind: Kind, row: Json, place: str) -> None:
        """Refuse where nothing says what the behaviour is."""
        if kind == "generate_until" and self._success is None:
            metrics = as_list(row.get("metrics"))
            raise InvalidInput(
                f"{place} has generated responses, and nothing says which show the "
                "behaviour. Give --success with a regular expression that such a "
                "response matches, '(?i)sure, here', or with a metric that scores each "
                f"response: {listed(metrics) or 'there is none'}."
            )
        if kind == "multiple_choice" and self._choice is None:
            texts = [repr(text.strip()) for text, _ in _choices(row, place)]
            raise InvalidInput(
                f"{place} is multiple choice, and nothing says which choice is the "
                f"behaviour. It has {listed(texts)}: --choice {texts[0]}. Its "
                "accuracy is no trial: the choice of the largest probability is the "
                "same each time."
            )

    def _name(self, file: _File, row: Json, place: str) -> str:
        name = file.task
        if self._behaviour is not None:
            name = self._field(self._behaviour, file, row, place)
        if self._several_models and self._behaviour != "model":
            return f"{name} ({file.model})"
        return name

    def _field(self, name: str, file: _File, row: Json, place: str) -> str:
        if name in _CONFIG:
            return str(getattr(file, name))
        doc = as_object(row.get("doc"))
        value = doc.get(name.removeprefix("doc."))
        if value is None or isinstance(value, dict | list):
            known = sorted([*_CONFIG, *map(str, doc)])
            what = "no" if value is None else "no single value for"
            raise InvalidInput(
                f"{place} has {what} {name!r} in its document{near(name, known)}. "
                f"There are: {listed(known)}."
            )
        return str(value)

    def _outcomes(
        self, kind: Kind, file: _File, row: Json, place: str, behaviour: str
    ) -> None:
        requests = _requests(row)
        context = requests[0].get("arg_0") if requests else None
        labels: dict[str, Any] = {
            "family": None
            if self._family is None
            else self._field(self._family, file, row, place),
            "text": str(context or "")[-_TEXT:],
            "place": place,
        }
        query = self._identity(file, row, place)
        # A line has all that is known of its document: one before it is a copy.
        self.gathered.renew(behaviour, query)
        if kind == "generate_until":
            shown = self._shown(file, row, place)
            for slot, shows in enumerate(shown):
                labels["said"] = "shows it" if shows else "does not"
                outcome = HIT if shows else MISS
                self.gathered.add(behaviour, query, slot, outcome, **labels)
            return
        risk = (
            _log_probability(row, place)
            if kind == "loglikelihood"
            else self._log_share(row, place)
        )
        if risk is None:
            said = "its log-probability is not a number"
            self.gathered.lose(behaviour, query, 0, "unscored", said, **labels)
        else:
            self.gathered.add(behaviour, query, 0, risk, **labels)

    def _identity(self, file: _File, row: Json, place: str) -> str:
        """The hash of the document; of another that is equal to it, with its number."""
        doc = row.get("doc_id")
        if not isinstance(doc, int | str) or isinstance(doc, bool):
            raise InvalidData(
                f"{place} has the doc_id {doc!r}, which is neither text nor a whole "
                "number. Give a log as lm-eval wrote it."
            )
        name = str(row.get("doc_hash") or doc)
        if self._several_tasks:
            name = f"{file.task}/{name}"
        first = self._places.setdefault(f"{file.model} {name}", str(doc))
        return name if first == str(doc) else f"{name}#{doc}"

    def _by_pattern(self, kind: Kind, row: Json, place: str) -> bool:
        """Whether responses are judged as they were, before any filter."""
        return kind == "generate_until" and self._metric(row, place) is None

    def _metric(self, row: Json, place: str) -> tuple[str, float] | None:
        """Metric and its value that show the behaviour; None for an expression."""
        success = self._success or ""
        metrics = [str(name) for name in as_list(row.get("metrics"))]
        found = _METRIC.fullmatch(success)
        name, value = (found["name"], found["value"]) if found else (success, "1")
        if name in metrics and self._pattern is None:
            self._is_metric = True
            return name, float(value)
        if self._is_metric:
            raise InvalidInput(
                f"{place} has no metric {name!r}, which lines before it have. It has: "
                f"{listed(metrics) or 'none'}. Import the tasks one by one."
            )
        if self._pattern is None:
            try:
                self._pattern = re.compile(success)
            except re.error as error:
                raise InvalidInput(
                    f"--success {success!r} is neither a metric of {place} "
                    f"({listed(metrics) or 'it has none'}) nor a regular "
                    f"expression: {error}. Give one of the two."
                ) from error
            hint = near(success, metrics)
            if hint:
                raise InvalidInput(
                    f"--success {success!r} is no metric of {place}{hint}. Give a "
                    "metric, or a regular expression that is less like one."
                )
        return None

    def _shown(self, file: _File, row: Json, place: str) -> list[bool]:
        """Whether each repeat of a response shows the behaviour."""
        repeats = _repeats(row)
        if not repeats:
            raise InvalidData(
                f"{place} has resps {str(row['resps'])[:60]!r}, where the repeats of "
                "one request belong. Give a log as lm-eval wrote it."
            )
        self._refuse_copies(file, row, len(repeats), place)
        metric = self._metric(row, place)
        if metric is None:
            assert self._pattern is not None
            return [self._pattern.search(str(text)) is not None for text in repeats]
        name, wanted = metric
        value = row.get(name)
        values = as_list(value) if isinstance(value, list) else [value]
        if len(values) != len(repeats):
            raise InvalidData(
                f"{place} has {len(repeats)} repeats and one value of {name!r}, which "
                "scores the response that the filter "
                f"{row.get('filter')!r} made of them: it is no count of trials. Give a "
                "regular expression that each repeat is held against, --success REGEX."
            )
        shown: list[bool] = []
        for one in values:
            number = float(one) if isinstance(one, int | float) else math.nan
            if number not in {0.0, 1.0}:
                raise InvalidData(
                    f"{place} has the value {one!r} of {name!r}, neither 0 nor 1: a "
                    "trial has one of two outcomes. Give a regular expression, "
                    "--success REGEX, or another metric."
                )
            shown.append(number == wanted)
        return shown

    def _refuse_copies(self, file: _File, row: Json, repeats: int, place: str) -> None:
        requests = _requests(row)
        settings = as_object(requests[0].get("arg_1") if requests else None)
        if not _is_greedy(settings):
            return
        if repeats > 1:
            raise InvalidData(
                f"{place} has {repeats} repeats that were generated greedily "
                f"(do_sample {settings.get('do_sample')}, temperature "
                f"{settings.get('temperature')}): they are copies of one response, not "
                "trials. Run the task with do_sample: true and the temperature of the "
                "deployment."
            )
        self._greedy[file.path.name] = None

    def _log_share(self, row: Json, place: str) -> float | None:
        """Logarithm of the named choice's share of the probability of all choices."""
        choices = _choices(row, place)
        wanted = (self._choice or "").strip()
        named = [number for number, (text, _) in enumerate(choices) if text == wanted]
        if len(named) != 1:
            texts = ", ".join(repr(text) for text, _ in choices)
            raise InvalidInput(
                f"{place} has {'no' if not named else 'more than one'} choice "
                f"{wanted!r}{near(wanted, [text for text, _ in choices])}. It has: "
                f"{texts}."
            )
        known = [value for _, value in choices]
        if any(math.isnan(value) for value in known) or max(known) == -math.inf:
            return None
        top = max(known)
        total = top + math.log(sum(math.exp(value - top) for value in known))
        return min(known[named[0]] - total, 0.0)


def _sample_logs(path: Path) -> list[Path]:
    """The sample logs of a file of results; a sample log itself."""
    found = _RESULTS.fullmatch(path.name)
    if found is None:
        return [path]
    pattern = f"{found['front']}samples_*_{found['date']}.jsonl"
    logs = sorted(path.parent.glob(pattern))
    if not logs:
        raise InvalidData(
            f"{path} has no {pattern} beside it. Run lm-eval with --log_samples, or "
            "give the sample logs themselves."
        )
    return logs


def _file(path: Path) -> _File:
    """A sample log with what the results beside it say of its task."""
    found = _NAME.fullmatch(path.name)
    date = found["date"] if found else ""
    task = found["task"] if found else path.stem.removeprefix("samples_")
    front = found["front"] if found else ""
    beside = path.with_name(f"{front}results_{date}.json")
    model = path.parent.resolve().name
    config: Json = {}
    if date and beside.is_file():
        results = as_object(JsonStream(file_chunks(beside), str(beside)).value())
        config = as_object(as_object(results.get("configs")).get(task))
        settings = as_object(results.get("config"))
        model = str(results.get("model_name") or settings.get("model") or model)
    return _File(path, task, date, model, config)


def _requests(row: Json) -> list[Json]:
    """The requests of a line, in their order."""
    given = row.get("arguments")
    if isinstance(given, dict):
        return [as_object(one) for one in as_object(given).values()]
    return [  # as older versions have them
        {f"arg_{number}": part for number, part in enumerate(as_list(one))}
        for one in as_list(given)
    ]


def _guessed(row: Json) -> str:
    """The kind of request that has such arguments."""
    requests = _requests(row)
    second = requests[0].get("arg_1") if requests else None
    if isinstance(second, dict):
        return "generate_until"
    if isinstance(second, str):
        return "loglikelihood" if len(requests) == 1 else "multiple_choice"
    return "loglikelihood_rolling"


def _repeats(row: Json) -> list[Any]:
    """The responses to the one request of a line."""
    resps = as_list(row.get("resps"))
    return as_list(resps[0]) if len(resps) == 1 else []


def _is_greedy(settings: Json) -> bool:
    """Whether every repeat is the same response."""
    sampled, temperature = settings.get("do_sample"), settings.get("temperature")
    if sampled is False or temperature == 0:
        return True
    # Where neither is said, the harness takes the likeliest token.
    return sampled is None and temperature is None


def _pairs(row: Json, place: str) -> list[float]:
    """Log-probabilities of the requests of a line, after the filter."""
    pairs = as_list(row.get("filtered_resps"))
    try:
        values = [float(as_list(pair)[0]) for pair in pairs]
    except (ValueError, TypeError, IndexError) as error:
        raise InvalidData(
            f"{place} has filtered_resps {str(pairs)[:80]!r}, where pairs of a "
            "log-probability and a truth value belong. Give a log as lm-eval wrote it."
        ) from error
    for value in values:
        if value > _ROUNDED:
            raise InvalidData(
                f"{place} has the log-probability {value:g}, which is no logarithm of "
                "a probability: it is at most 0. Give a log as lm-eval wrote it."
            )
    return [min(value, 0.0) for value in values]


def _log_probability(row: Json, place: str) -> float | None:
    values = _pairs(row, place)
    if len(values) != 1:
        raise InvalidData(
            f"{place} has {len(values)} log-probabilities, where a loglikelihood has "
            "one. Give a log as lm-eval wrote it."
        )
    return None if math.isnan(values[0]) else values[0]


def _choices(row: Json, place: str) -> list[tuple[str, float]]:
    """The choices of a line, each with its log-probability."""
    requests, values = _requests(row), _pairs(row, place)
    if len(requests) != len(values) or not requests:
        raise InvalidData(
            f"{place} has {len(requests)} choices and {len(values)} log-probabilities. "
            "Give a log as lm-eval wrote it."
        )
    half = len(requests) // 2
    # acc_mutual_info asks for each choice again, without the question.
    if len(requests) == 2 * half and all(
        one.get("arg_0") == "" and one.get("arg_1") == other.get("arg_1")
        for one, other in zip(requests[half:], requests[:half], strict=True)
    ):
        requests, values = requests[:half], values[:half]
    texts = [str(one.get("arg_1", "")).strip() for one in requests]
    return list(zip(texts, values, strict=True))
