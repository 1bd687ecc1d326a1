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

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidData, InvalidInput, listed, quoted, shortened
from bayes_rare.readers.logs.imported import (
    LOWER_BOUND,
    MAX_DROPPED,
    ImportedTable,
    found_logs,
    imported,
)
from bayes_rare.readers.logs.json_stream import (
    Json,
    JsonStream,
    as_list,
    as_object,
    file_chunks,
    json_lines,
)
from bayes_rare.readers.logs.trials import HIT, MISS, Gathering, tail
from bayes_rare.readers.tables.contract import near

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
# What a line holds beside its metrics, which versions before 0.4.7 do not name.
_OWN = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps"),
    *("filter", "metrics", "doc_hash", "prompt_hash", "target_hash"),
}
_UNNAMED = "none"
# What is said of responses that may be none.
_EMPTY, _NOTHING = "is empty", "is the word None"
# A word that an expression is not likely to be: it has none of its signs.
_WORD = re.compile(r"[^\s()\[\]{}|^$*?\\]+")


@checked_call
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
        ``"metric=0"`` for one that is 0, where it scores each repeat. A word that is
        in no response is refused: ``"(?:word)"`` says that it may be in none.
    choice
        For multiple choice, the text of the choice that is the behaviour.
    filter
        Which filter's rows to read, where there are several. Versions before 0.4.7 do
        not name them: the number of one in the task's list, from 1.
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
    reading.refuse_silence()
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

    @property
    def filters(self) -> list[str]:
        """The filters of the task in their order, as far as the results tell."""
        parts = map(as_object, as_list(self.config.get("filter_list")))
        return [str(part["name"]) for part in parts if "name" in part]


@dataclass
class _Seen:
    """The documents of one log so far."""

    # How many lines each has.
    lines: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    # Those of each content, numbered.
    equal: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    # What was said of each: responses, and what became of them.
    said: dict[tuple[str, str], tuple[str, str]] = field(
        default_factory=dict[tuple[str, str], tuple[str, str]]
    )


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
        self._metrics: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None
        # The first line that has the metric which --success names, or has it not.
        self._decided: tuple[bool, str] | None = None
        self._matched = False
        self._prompts: dict[tuple[str, str], str] = {}

    def take(self, file: _File) -> None:
        """Read the lines of a log."""
        chosen = self._filter
        several: dict[str, None] = {}
        seen = _Seen()
        found = named = False
        for number, line in json_lines(file.path):
            place = f"{tail(file.path)}, line {number:,}"
            row = as_object(line)
            if "resps" not in row:
                raise InvalidData(
                    f"{place} has no `resps`: no sample of lm-eval. Give a log that "
                    "--log_samples wrote, samples_*.jsonl."
                )
            kind = self._kind(file, row, place)
            document = _document(row, place)
            query = self._identity(file, document, seen)
            name = self._line_filter(file, row, seen.lines[document])
            seen.lines[document] += 1
            named = named or row.get("filter") is not None
            several[name] = None
            behaviour = self._name(file, row, place)
            if chosen is None:
                chosen = name
            if name != chosen:
                if self._filter is None and not self._by_pattern(kind, row, place):
                    raise InvalidInput(
                        f"{place} is of the filter {quoted(name, 60)}, and lines "
                        f"before it of {quoted(chosen, 60)}: each document is "
                        "there once for each. Name one: --filter "
                        f"{shortened(chosen, 60)}."
                    )
                rows = max(len(_repeats(row)), 1) if kind == "generate_until" else 1
                self.gathered.set_aside(behaviour, "other filter", rows)
                continue
            found = True
            if row.get("filter") is None and not self._by_pattern(kind, row, place):
                self._refuse_unnamed(row, document, seen, place)
            self._outcomes(kind, file, row, place, behaviour, query)
        if several and not found:
            how = "" if named else ", numbered as the task's filter_list has them"
            raise InvalidInput(
                f"{tail(file.path)} has no line of the filter "
                f"{quoted(self._filter, 60)}"
                f"{near(str(self._filter), list(several))}. It has: "
                f"{listed(sorted(several))}{how}."
            )

    def refuse_silence(self) -> None:
        """Refuse a word that is in no response: it may be the name of a metric."""
        trials = self._trials()
        if self._pattern is None or self._matched or not trials:
            return
        word = shortened(self._success, 60)
        if _WORD.fullmatch(str(self._success)):
            raise InvalidInput(
                f"none of {trials:,} responses has the word {word!r} in it, and it is "
                f"no metric of these logs: {listed(list(self._metrics)) or 'none'}. If "
                "it is an expression that is right to match nothing, write it as one: "
                f"--success '(?:{word})'."
            )

    def _trials(self) -> int:
        return sum(tally.kept for tally in self.gathered.tallies())

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
        trials = self._trials()
        if self._pattern is not None and trials and not self._matched:
            yield (
                f"None of {trials:,} responses matches {quoted(self._success, 100)}. "
                "Hold it against a response that should match: an expression with a "
                "slip in it matches nothing too."
            )
        said: Counter[str] = Counter()
        for one in self.gathered.judgements():
            said[one.value] += one.rows
        if said[_EMPTY]:
            yield (
                f"{said[_EMPTY]:,} of {trials:,} responses are empty. They are trials; "
                "is a limit of tokens or an error behind them?"
            )
        if said[_NOTHING]:
            yield (
                f"{said[_NOTHING]:,} of {trials:,} responses are the word 'None', "
                "which lm-eval writes for a response that it did not get too. They are "
                "trials, as if the model had said it."
            )
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
            raise InvalidInput(
                f"{place} has generated responses, and nothing says which show the "
                "behaviour. Give --success with a regular expression that such a "
                "response matches, '(?i)sure, here', or with a metric that scores each "
                f"response: {listed(_metrics(row)) or 'there is none'}."
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

    def _line_filter(self, file: _File, row: Json, turn: int) -> str:
        """The filter of a line; by its turn among those of its document if unnamed."""
        if row.get("filter") is not None:
            return str(row["filter"])
        names = file.filters
        if len(names) > 1:
            return names[turn % len(names)]
        if self._filter is None or self._filter in {_UNNAMED, *names}:
            return self._filter or _UNNAMED
        return str(turn + 1)

    def _refuse_unnamed(
        self, row: Json, document: tuple[str, str], seen: _Seen, place: str
    ) -> None:
        """Refuse a line that differs from another of its document by its filter."""
        metrics = [(name, row.get(name)) for name in _metrics(row)]
        said = (
            _digest(row.get("resps")),
            _digest([row.get("filtered_resps"), metrics]),
        )
        before = seen.said.setdefault(document, said)
        if before[0] == said[0] and before[1] != said[1]:
            raise InvalidInput(
                f"{place} has document {shortened(document[0], 40)} again, with the "
                "same responses and another outcome: the log is of a version before "
                "0.4.7, which writes a line for each filter and does not name it. Say "
                "which of them, in the order of the task's filter_list: --filter 1, or "
                f"--filter {seen.lines[document]}."
            )
        seen.said[document] = said

    def _outcomes(
        self,
        kind: Kind,
        file: _File,
        row: Json,
        place: str,
        behaviour: str,
        query: str,
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
        # A line has all that is known of its document: one before it is a copy.
        self.gathered.renew(behaviour, query)
        prompt = _digest(context)
        if self._prompts.setdefault((behaviour, query), prompt) != prompt:
            self.gathered.superseded[query] = None
        if kind == "generate_until":
            for slot, (text, shows) in enumerate(self._shown(file, row, place)):
                if text is None:
                    said = "there is no response"
                    self.gathered.lose(
                        behaviour, query, slot, "errored", said, **labels
                    )
                elif shows is None:
                    said = f"{self._success} is not a number"
                    self.gathered.lose(
                        behaviour, query, slot, "unscored", said, **labels
                    )
                else:
                    self._matched = self._matched or shows
                    said = _NOTHING if text == "None" else _EMPTY
                    if text.strip() and text != "None":
                        said = "shows it" if shows else "does not"
                    outcome = HIT if shows else MISS
                    self.gathered.add(
                        behaviour, query, slot, outcome, said=said, **labels
                    )
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

    def _identity(self, file: _File, document: tuple[str, str], seen: _Seen) -> str:
        """The hash of a document; of others that are equal to it, with a number.

        Where a document stands moves with the list of samples: its hash does not.
        """
        number, name = document
        equal = seen.equal.setdefault(name, {})
        turn = equal.setdefault(number, len(equal))
        if turn:
            name = f"{name}#{turn}"
        return f"{file.task}/{name}" if self._several_tasks else name

    def _by_pattern(self, kind: Kind, row: Json, place: str) -> bool:
        """Whether responses are judged as they were, before any filter."""
        return kind == "generate_until" and self._metric(row, place) is None

    def _metric(self, row: Json, place: str) -> tuple[str, float] | None:
        """Metric and its value that show the behaviour; None for an expression."""
        success = self._success or ""
        metrics = _metrics(row)
        self._metrics.update(dict.fromkeys(metrics))
        found = _METRIC.fullmatch(success)
        name, value = (found["name"], found["value"]) if found else (success, "1")
        there = name in metrics
        if self._decided is None:
            self._decided = there, place
            if not there:
                self._pattern = self._compiled(success, metrics, place)
        elif self._decided[0] != there:
            one, other = place, self._decided[1]
            one, other = (one, other) if there else (other, one)
            raise InvalidInput(
                f"{one} has the metric {quoted(name, 60)}, and {other} has it "
                f"not. It has: {listed(metrics) or 'none'}. Import the tasks one by "
                "one."
            )
        return (name, float(value)) if there else None

    def _compiled(
        self, success: str, metrics: Sequence[str], place: str
    ) -> re.Pattern[str]:
        """What says which responses show the behaviour, where no metric does."""
        try:
            pattern = re.compile(success)
        except (re.error, OverflowError, RecursionError) as error:
            raise InvalidInput(
                f"--success {quoted(success, 60)} is neither a metric of {place} "
                f"({listed(metrics) or 'it has none'}) nor a regular expression: "
                f"{shortened(error, 80)}. Give one of the two."
            ) from error
        hint = near(success, metrics)
        if hint:
            raise InvalidInput(
                f"--success {quoted(success, 60)} is no metric of {place}{hint}. "
                "Give a metric, or a regular expression that is less like one."
            )
        return pattern

    def _shown(
        self, file: _File, row: Json, place: str
    ) -> list[tuple[str | None, bool | None]]:
        """Each repeat of a response, and whether it shows the behaviour.

        None is a response that is not there, or of which the metric says nothing.
        """
        repeats = _repeats(row)
        wrong = [one for one in repeats if not isinstance(one, str | None)]
        if not repeats or wrong:
            raise InvalidData(
                f"{place} has resps {quoted(row['resps'], 60)}, where the repeats "
                "of one request belong, each a text. Give a log as lm-eval wrote it."
            )
        self._refuse_copies(file, row, len(repeats), place)
        metric = self._metric(row, place)
        if metric is None:
            assert self._pattern is not None
            return [
                (text, text is not None and self._pattern.search(text) is not None)
                for text in repeats
            ]
        name, wanted = metric
        if name not in row:
            raise InvalidData(
                f"{place} names the metric {quoted(name, 60)} and has no value of "
                "it. Give a log as lm-eval wrote it."
            )
        value = row[name]
        values = as_list(value) if isinstance(value, list) else [value]
        if len(values) != len(repeats):
            raise InvalidData(
                f"{place} has {len(repeats)} repeats and {_several(len(values))} of "
                f"{quoted(name, 60)}, which scores the response that the filter "
                f"{quoted(row.get('filter'), 40)} made of them: it is no count of "
                "trials. Give a regular expression that each repeat is held against, "
                "--success REGEX."
            )
        shown: list[tuple[str | None, bool | None]] = []
        for text, one in zip(repeats, values, strict=True):
            number = _verdict(one)
            if number is None:
                raise InvalidData(
                    f"{place} has the value {quoted(one, 40)} of "
                    f"{quoted(name, 60)}, neither 0 nor 1: a trial has one of two "
                    "outcomes. Give a regular expression, --success REGEX, or another "
                    "metric."
                )
            shown.append((text, None if math.isnan(number) else number == wanted))
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


def _document(row: Json, place: str) -> tuple[str, str]:
    """The number of a document, and what it is known by wherever it stands."""
    number = row.get("doc_id")
    if not isinstance(number, int | str) or isinstance(number, bool):
        raise InvalidData(
            f"{place} has the doc_id {quoted(number, 40)}, which is neither text "
            "nor a whole number. Give a log as lm-eval wrote it."
        )
    given, content = row.get("doc_hash"), row.get("doc")
    if isinstance(given, str) and given:
        return str(number), given
    if not content:
        return str(number), str(number)
    try:
        # As versions from 0.4.3 on make the hash of a document.
        text = json.dumps(content, indent=2, ensure_ascii=False)
    except RecursionError as error:
        raise InvalidData(
            f"{place} has a document that is nested too deeply. Give a log as lm-eval "
            "wrote it."
        ) from error
    content = text.encode("utf-8", "surrogatepass")
    return str(number), hashlib.sha256(content).hexdigest()


def _metrics(row: Json) -> list[str]:
    """The metrics that a line has, named or not."""
    named = [name for name in as_list(row.get("metrics")) if isinstance(name, str)]
    return named or [name for name in row if name not in _OWN]


def _verdict(value: Any) -> float | None:
    """A value of a metric, if it is 0 or 1, or says nothing: then it is NaN."""
    if value is None:
        return math.nan
    if isinstance(value, str):
        # Truth values of NumPy are written as text.
        value = {"True": 1, "False": 0}.get(value, value)
    try:
        number = float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
    known = number is not None and (math.isnan(number) or number in {0.0, 1.0})
    return number if known else None


def _digest(content: Any) -> str:
    try:
        text = json.dumps(content)
    except RecursionError:
        text = "nested too deeply"
    return hashlib.sha256(text.encode()).hexdigest()


def _several(values: int) -> str:
    return "one value" if values == 1 else f"{values} values"


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
        # One that is not there is written as null, or as the word for it.
        firsts = [as_list(pair)[0] for pair in pairs]
        values = [math.nan if v in (None, "None") else float(v) for v in firsts]
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
