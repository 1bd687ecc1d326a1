"""Evaluations from Inspect logs: epochs are the trials of a query."""

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidData, InvalidInput, listed, shortened
from bayes_rare.readers.logs.behaviour_rule import Verdicts, label
from bayes_rare.readers.logs.imported import (
    LOWER_BOUND,
    MAX_DROPPED,
    ImportedTable,
    found_logs,
    imported,
)
from bayes_rare.readers.logs.inspect_ai_frame import frame_runs
from bayes_rare.readers.logs.inspect_ai_log import Run, read_run, responded, samples_of
from bayes_rare.readers.logs.inspect_ai_queries import QueryNames, pieces
from bayes_rare.readers.logs.inspect_ai_scores import Scores
from bayes_rare.readers.logs.json_stream import Json, as_list, as_object
from bayes_rare.readers.logs.trials import HIT, MISS, Gathering
from bayes_rare.readers.tables.contract import near

__all__ = ["import_inspect"]

# Names of logs in a folder; other JSON files of Inspect have other names.
_PATTERNS = ("*.eval", "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*.json")
_TEXT = 1_000
# Characters shown of a value, of a score in the record, and of a file name.
_SHOWN, _SAID, _NAME = 60, 200, 80
# Names of parts of scores that are kept for messages.
_PARTS = 1_000
# Rounding in single precision may make a log-probability positive by this much.
_ROUNDED = 1e-4
# Rows after which a missing --behaviour-value is refused.
_ENOUGH = 10_000
_EPOCH_BITS = 40
_REMOVED = "Key removed from summary"
_CONFIG = {"task", "model", "dataset"}


@checked_call
def import_inspect(
    logs: Any,
    *,
    scorer: str | Sequence[str] | Mapping[str, str] | None = None,
    behaviour_values: Sequence[str] = (),
    unscored_values: Sequence[str] = (),
    score_key: str | None = None,
    missing_value: str | None = None,
    behaviour: str | None = None,
    family: str | None = None,
    max_dropped: int | float = MAX_DROPPED,
) -> ImportedTable:
    """The evaluation table in Inspect logs.

    A sample is a query, and its epochs are its trials. If there are several logs of a
    task, as after retries of an eval set, the newest attempt at a sample and epoch
    counts. Samples that failed, have no score, or were stopped by a limit before any
    response are not trials; they are counted.

    If several inputs share an id, each of them is a query.

    If the scorer records ``sum_log_probs``, as Inspect's ``target_perplexity`` does,
    and ``behaviour_values`` is not given, the risk is that probability, known exactly.

    Parameters
    ----------
    logs
        Paths of ``.eval`` and ``.json`` logs, glob patterns, folders, or several of
        these; or a frame from Inspect's ``samples_df``.
    scorer
        Name of the score; needed if there are several. If tasks have different scores:
        several names, of which the first that a task has is used, or a name for each
        task, ``{"task": "score"}`` or ``["task=score", ...]``.
    behaviour_values
        Values of the score that mean the behaviour was shown, such as ``["C"]``, or
        bounds, ``[">=0.5"]``, for which the letters C, P, I and N are 1, 0.5, 0 and 0.
        There is no default: only the author of the scorer knows whether "C" is good or
        bad.
    unscored_values
        Values that mean the response was not scored, such as ``["N"]``.
    score_key
        Which part of the score to use, if it has several. A score without that part
        counts as not scored, unless ``missing_value`` is given.
    missing_value
        Value of a score that lacks the part ``score_key``, such as "0" if the scorer
        writes only what it found.
    behaviour
        Where the name of the behaviour comes from: "task", "model", "dataset", or a key
        of the samples' metadata. By default the task, with the model and the task
        arguments if there are several.
    family
        Where the family comes from, in the same way. By default there are no families.
    max_dropped
        Largest share of samples of any behaviour that may be lost, from 0 to 1.

    Raises
    ------
    InvalidData
        If a log cannot be read, it is not stated which scores mean the behaviour, a
        score is neither, or too many samples are lost.
    InvalidInput
        If there is no such scorer or field, or no log is named.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame(
    ...     {"id": [*"aabb"], "epoch": [1, 2, 1, 2], "score_leaks": [*"CIII"]}
    ... )
    >>> made = import_inspect(frame, behaviour_values=["C"])
    >>> made.rows.select(["query_id", "successes", "trials"]).to_pylist()[0]
    {'query_id': 'a', 'successes': 1, 'trials': 2}
    """
    if missing_value is not None and score_key is None:
        raise InvalidInput(
            "--missing-value is for a part of a score that some samples lack. Name the "
            "part: --score-key KEY."
        )
    Verdicts(behaviour_values, unscored_values)  # refused before anything is read
    if isinstance(logs, str | Path | list | tuple):
        paths = found_logs(
            cast("str | Path | Sequence[str | Path]", logs), _PATTERNS, "log of Inspect"
        )
        runs = [(run, path) for path in paths for run in (read_run(path),)]
        # The newest comes last, and so replaces the others.
        runs.sort(key=lambda one: (one[0].created, str(one[1])))
        parts = [(run, samples_of(path, run)) for run, path in runs]
    else:
        parts = frame_runs(logs)
    runs = [run for run, _ in parts]
    wanted = _Wanted(
        Scores(scorer, [run.task for run in runs]),
        tuple(behaviour_values),
        tuple(unscored_values),
        score_key,
        missing_value,
        behaviour,
        family,
    )
    reading = _Reading(wanted, runs)
    for run, samples in parts:
        reading.take(run, samples)
    reading.finish()
    return imported(
        reading.gathered,
        reader="inspect",
        sources=[run.name for run, _ in parts],
        rule=reading.rule,
        warnings=list(reading.warnings()),
        max_dropped=max_dropped,
    )


@dataclass(frozen=True)
class _Wanted:
    scores: Scores
    values: tuple[str, ...]
    silent: tuple[str, ...]
    key: str | None
    missing: str | None
    behaviour: str | None
    family: str | None


class _Reading:
    """One pass over all samples."""

    def __init__(self, wanted: _Wanted, runs: Sequence[Run]) -> None:
        self.gathered = Gathering()
        self._wanted = wanted
        self._runs = list(runs)
        # Each task has its own scorer, with its own values.
        self._verdicts = {
            run.task: Verdicts(wanted.values, wanted.silent) for run in runs
        }
        self._exact = False
        self._rows = 0
        # Names of parts of scores that have several.
        self._parts: dict[str, None] = {}
        self._key_found = False
        # Samples ended by a limit, without information on a response.
        self._unclear = 0
        self._repeated = 0
        self._queries = QueryNames()
        # Samples and epochs of a task, over all attempts at it.
        self._filled: Counter[str] = Counter()
        self._several_tasks = len({run.task for run in runs}) > 1
        self._several_models = len({run.model for run in runs}) > 1
        self._varied = _varied(runs)
        # Retries of a task share a number, and so the slots of their samples.
        self._numbers: dict[str, int] = {}
        for run in runs:
            self._numbers.setdefault(run.task_id, len(self._numbers))

    def _files(self, task: str | None = None) -> str:
        runs = [run for run in self._runs if task in {None, run.task}]
        names = [shortened(name, _NAME) for name in dict.fromkeys(r.name for r in runs)]
        return listed(names, each=100)

    @property
    def rule(self) -> str:
        """What was read as the behaviour."""
        scorers = self._wanted.scores.chosen
        if self._exact:
            names = list(dict.fromkeys(map(repr, scorers.values())))
            return f"probability of a fixed text, by scorer {listed(names)}"
        several = len(set(scorers.values())) > 1
        rules = dict.fromkeys(
            f"{verdicts.rule}{f' in task {task!r}' if several else ''}"
            for task, verdicts in self._verdicts.items()
            if task in scorers
        )
        said = "; ".join(rules)
        if self._wanted.key is not None:
            said += f", by its part {self._wanted.key!r}"
            if self._wanted.missing is not None:
                said += f" ({self._wanted.missing!r} if it lacks that part)"
        return said

    def take(self, run: Run, samples: Iterable[tuple[str, Json]]) -> None:
        number = self._numbers[run.task_id] << _EPOCH_BITS
        before = self.gathered.filled
        prefix = f"{run.task}/" if self._several_tasks else ""
        # The first attempt fills empty slots; rows that fill none are repeated.
        first, own = run.task_id not in self._filled, set[int]()
        already = self._rows
        for place, sample in samples:
            self._rows += 1
            name, epoch = _identity(sample, place)
            query = self._queries.name(f"{prefix}{name}", sample.get("input"))
            if not first:
                own.add(hash((query, epoch)))
            labels: dict[str, Any] = {
                "family": None
                if self._wanted.family is None
                else self._field(self._wanted.family, sample, run, place),
                "text": "\n".join(pieces(sample.get("input")))[:_TEXT],
                "place": place,
            }
            self._outcome(
                run.task,
                self._behaviour(run, sample, place),
                query,
                number | epoch,
                sample,
                labels,
            )
            if self._rows == _ENOUGH and not self._exact:
                self._refuse_unstated()
        filled = self.gathered.filled - before
        self._filled[run.task_id] += filled
        self._repeated += self._rows - already - (filled if first else len(own))

    def finish(self) -> None:
        """Refuse what can only be seen from all samples together."""
        if not self._rows:
            raise InvalidData(
                f"there are no samples in {self._files()}. Give logs of runs that have "
                "begun."
            )
        if not self._wanted.scores.found:
            raise InvalidData(
                f"no sample in {self._files()} has a score: they failed, or were not "
                "scored. Score them with `inspect score LOG`."
            )
        self._wanted.scores.finish(self._files())
        if self._wanted.key is not None and self._parts and not self._key_found:
            raise InvalidInput(
                f"{self._files()}: no score has a part {self._wanted.key!r}"
                f"{near(self._wanted.key, list(self._parts))}. There are: "
                f"{listed(list(self._parts))}."
            )
        if not self._exact:
            self._refuse_unstated()
            for task, verdicts in self._verdicts.items():
                if verdicts.seen:
                    verdicts.check(self._files(task))

    def warnings(self) -> Iterator[str]:
        """Warnings that headers and samples give rise to."""
        if self._exact:
            yield LOWER_BOUND
        else:
            yield from _copied(self._runs)
        # A later attempt may have completed what an earlier one left out.
        newest = {run.task_id: run for run in self._runs}.values()
        yield from _missing([(run, self._filled[run.task_id]) for run in newest])
        if self._queries.told_apart:
            name, other = self._queries.told_apart[0]
            yield (
                f"{len(self._queries.told_apart):,} queries share an id with another "
                f"input: a number was added, such as in {other!r} beside {name!r}."
            )
        if self._repeated:
            yield (
                f"{self._repeated:,} rows repeat the id, epoch and input of another "
                "row of their log: they count as the same trial, and the last one is "
                "used."
            )
        if self._unclear:
            yield (
                f"{self._unclear:,} rows were ended by a limit, and it is not known "
                "whether there was a response: they are kept as cut off. Give the logs "
                "themselves, with their samples."
            )

    def _outcome(
        self,
        task: str,
        behaviour: str,
        query: str,
        slot: int,
        sample: Json,
        labels: dict[str, Any],
    ) -> None:
        place = labels["place"]
        error = sample.get("error")
        if error:
            said = as_object(error).get("message") or error
            self.gathered.lose(behaviour, query, slot, "errored", str(said), **labels)
            return
        if sample.get("invalidation"):
            self.gathered.lose(behaviour, query, slot, "invalidated", **labels)
            return
        limit = sample.get("limit")
        answered = responded(sample) if limit else True
        score = self._score(task, sample, place)
        exact = self._is_exact(score)
        if answered is False and not exact:
            kind = as_object(limit).get("type") or limit
            said = f"ended by a limit ({kind}) before any response"
            self.gathered.lose(behaviour, query, slot, "unfinished", said, **labels)
            return
        value, missing = self._value(score)
        if exact:
            outcome = _log_risk(score, place)
        else:
            shows = self._verdicts[task].judged(value, place) if score else None
            if isinstance(value, str | bool | int | float):
                labels["said"] = shortened(label(value), _SAID)
            outcome = None if shows is None else (HIT if shows else MISS)
        if outcome is None:
            told = labels.pop("said", "")
            said = score.get("reason") or score.get("explanation") or told
            if missing:
                said = (
                    f"the score lacks {self._wanted.key!r}; --missing-value 0 counts "
                    "it as 0"
                )
            self.gathered.lose(behaviour, query, slot, "unscored", str(said), **labels)
            return
        self._unclear += answered is None and not exact
        self.gathered.add(
            behaviour,
            query,
            slot,
            outcome,
            cut_off=bool(limit) and not exact,
            retried=_retries(sample) > 0,
            **labels,
        )

    def _score(self, task: str, sample: Json, place: str) -> Json:
        """The wanted score; empty if the sample does not have it."""
        known = as_object(sample.get("scores"))
        if "scores" not in sample and as_object(sample.get("score")):
            known = {"score": sample["score"]}  # as logs of 2024 have it
        name = self._wanted.scores.of(task, list(known), place)
        if name is None:
            return {}
        self._verdicts[task].what = f"score {name!r}"
        return as_object(known.get(name))

    def _value(self, score: Json) -> tuple[Any, bool]:
        """The value of a score, or of its part; and whether it lacks that part."""
        value, key = score.get("value"), self._wanted.key
        if key is None or not isinstance(value, dict):
            return value, False
        parts = as_object(cast("Any", value))
        if key in parts:
            self._key_found = True
            return parts[key], False
        if len(self._parts) < _PARTS:
            self._parts |= dict.fromkeys(parts)
        return self._wanted.missing, self._wanted.missing is None

    def _is_exact(self, score: Json) -> bool:
        """Whether risks are exact probabilities; the first score decides for all."""
        if (
            self._exact
            or self._wanted.values
            or any(verdicts.seen for verdicts in self._verdicts.values())
        ):
            return self._exact
        self._exact = "sum_log_probs" in as_object(score.get("metadata"))
        return self._exact

    def _refuse_unstated(self) -> None:
        for task, verdicts in self._verdicts.items():
            if not verdicts.stated and verdicts.seen:
                verdicts.check(self._files(task))

    def _behaviour(self, run: Run, sample: Json, place: str) -> str:
        wanted = self._wanted.behaviour
        name = run.task
        if wanted is not None:
            name = self._field(wanted, sample, run, place)
            if not name.strip():
                raise InvalidData(
                    f"{place} has an empty {shortened(wanted, _SHOWN)!r}, so its "
                    "behaviour has no name. Choose another field: --behaviour task."
                )
        added: list[str] = []
        if wanted in {None, "task"}:
            names = self._varied[run.task]
            added += [f"{key}={run.arguments.get(key)}" for key in names]
        if self._several_models and wanted != "model":
            added.append(run.model)
        return f"{name} ({'; '.join(added)})" if added else name

    def _field(self, name: str, sample: Json, run: Run, place: str) -> str:
        if name in _CONFIG:
            return str(getattr(run, name))
        metadata = as_object(sample.get("metadata"))
        key = name.removeprefix("metadata.")
        value = metadata.get(key)
        missing = value is None or (isinstance(value, float) and math.isnan(value))
        if missing or isinstance(value, dict | list):
            known = [*_CONFIG, *metadata]
            what = "no" if missing else "more than one value for"
            hint = near(name, known) if missing else ""
            raise InvalidInput(
                f"{place} has {what} {shortened(key, _SHOWN)!r} in its metadata{hint}. "
                f"There are: {listed(sorted(known))}."
            )
        text = str(value)
        if text.startswith(_REMOVED):
            raise InvalidData(
                f"{place} has a {key!r} that was removed from the summary, as it is "
                "too long. Choose another field, or give the log as JSON: `inspect log "
                "convert --to json`."
            )
        return text


def _varied(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Arguments that differ between the runs of a task."""
    varied: dict[str, list[str]] = {}
    for task in {run.task for run in runs}:
        given = [run.arguments for run in runs if run.task == task]
        names = sorted({name for one in given for name in one})
        varied[task] = [n for n in names if len({one.get(n) for one in given}) > 1]
    return varied


def _identity(sample: Json, place: str) -> tuple[str, int]:
    name: Any = sample.get("id")
    epoch: Any = sample.get("epoch", 1)
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise InvalidData(
            f"{place} has the id {shortened(repr(name), _SHOWN)}, which is neither "
            "text nor a whole number. Give a log as Inspect wrote it."
        )
    # In a frame where some epochs are missing, all are floats.
    number = isinstance(epoch, int | float) and not isinstance(epoch, bool)
    if not number or not 0 <= epoch < 1 << _EPOCH_BITS or epoch % 1:
        raise InvalidData(
            f"{place} has the epoch {shortened(repr(epoch), _SHOWN)}, which is not a "
            "whole number from 1. Give a log as Inspect wrote it."
        )
    return str(name), int(epoch)


def _retries(sample: Json) -> int:
    """Number of failed attempts at a sample before the recorded one."""
    told = sample.get("retries")
    if isinstance(told, int | float) and told > 0:
        return max(int(min(told, _ENOUGH)), 1)
    return len(as_list(sample.get("error_retries")))


def _log_risk(score: Json, place: str) -> float | None:
    """The log-probability in a score; None if there is none."""
    value = as_object(score.get("metadata")).get("sum_log_probs")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or value > _ROUNDED:
        raise InvalidData(
            f"{place} has sum_log_probs {shortened(repr(value), _SHOWN)}, but the "
            "logarithm of a probability is at most 0. Choose another score: --scorer "
            "NAME."
        )
    return -math.inf if value < -sys.float_info.max else min(float(value), 0.0)


def _copied(runs: Sequence[Run]) -> Iterator[str]:
    """Why epochs of some runs may be copies of one response."""
    several = [run for run in runs if run.epochs > 1]
    greedy = [run for run in several if run.config.get("temperature") == 0]
    if greedy:
        yield (
            f"Sampled at temperature 0: {_epochs(greedy)}. The epochs are copies of "
            "one response, not independent trials, and the data look more certain than "
            "they are. Run them at the temperature of the deployment."
        )
    seeded = [run for run in several if run.config.get("seed") is not None]
    seeds = list(dict.fromkeys(str(run.config["seed"]) for run in seeded))
    if seeds:
        yield (
            f"Sampled with a fixed seed, {listed(seeds)}: "
            f"{_epochs(seeded)}. If the provider uses the seed, the epochs are copies "
            "of one response, not independent trials."
        )
    cached = [run for run in several if run.copies]
    if cached:
        yield (
            "Answered from a cache that all epochs share (per_epoch=False): "
            f"{_epochs(cached)}. The epochs are copies of one response, not "
            "independent trials. Run them without the cache."
        )
    once = [r for r in runs if r.epochs == 1 and r.config.get("temperature") == 0]
    if once:
        yield (
            f"Sampled once, at temperature 0: {_epochs(once)}. This shows whether a "
            "query always or never shows the behaviour, not how often it would at "
            "another temperature."
        )


def _missing(runs: Sequence[tuple[Run, int]]) -> Iterator[str]:
    """Which runs are incomplete, given the number of rows of each."""
    short = [
        f"{run.name} ("
        + (f"status {run.status!r}, " if run.status != "success" else "")
        + f"{rows:,} rows"
        + ("" if run.expected is None else f" of {run.expected:,} planned")
        + ")"
        for run, rows in runs
        if run.status != "success" or (run.expected is not None and rows < run.expected)
    ]
    if short:
        yield (
            f"Not complete: {listed(short, each=120)}. The missing samples may differ "
            "from those that are there."
        )


def _epochs(runs: Sequence[Run]) -> str:
    """Names of runs with their numbers of epochs."""
    names = [f"{run.name} ({run.epochs} epoch{'s'[: run.epochs > 1]})" for run in runs]
    return listed(list(dict.fromkeys(names)), each=100)
