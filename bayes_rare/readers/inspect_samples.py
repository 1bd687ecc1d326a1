"""Evaluations in logs of Inspect: epochs are the trials of a query."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

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
from bayes_rare.readers.inspect_frames import frame_runs
from bayes_rare.readers.inspect_logs import Run, read_run, samples_of
from bayes_rare.readers.streams import Json, as_list, as_object
from bayes_rare.readers.verdicts import Verdicts, label
from bayes_rare.shortening import listed

__all__ = ["import_inspect"]

# Names of logs in a folder: other JSON that Inspect writes there has other names.
_PATTERNS = ("*.eval", "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*.json")
_TEXT = 1_000
# A log-probability may exceed 0 by so much, where single precision has rounded it.
_ROUNDED = 1e-4
# Rows after which it is told that nothing says what the behaviour is.
_ENOUGH = 10_000
_EPOCH_BITS = 40
_REMOVED = "Key removed from summary"
_CONFIG = {"task", "model", "dataset"}


def import_inspect(
    logs: Any,
    *,
    scorer: str | None = None,
    behaviour_values: Sequence[str] = (),
    unscored_values: Sequence[str] = (),
    score_key: str | None = None,
    behaviour: str | None = None,
    family: str | None = None,
    max_dropped: int | float = MAX_DROPPED,
) -> ImportedTable:
    """The evaluation table in logs of Inspect.

    A query is a sample, and its epochs are its trials. Of several logs of one task, as
    retries of an eval set leave them, the newest attempt at a sample and epoch counts.
    Samples that failed and those without a score are no trials; they are counted.

    Where the scorer records ``sum_log_probs``, as Inspect's ``target_perplexity`` does,
    and no value is named, the risk is that probability, known exactly.

    Parameters
    ----------
    logs
        Paths of ``.eval`` and ``.json`` logs, glob patterns, folders, or several of
        these; or a frame that Inspect's ``samples_df`` made.
    scorer
        Name of the score; needed where there are several.
    behaviour_values
        Values of the score that are the behaviour, such as ``["C"]``, or bounds of it,
        ``[">=0.5"]``, where the letters C, P, I and N are 1, 0.5, 0 and 0. There is no
        default: only who wrote the scorer knows whether "C" is good or bad.
    unscored_values
        Values that say nothing, such as ``["N"]``: no trials.
    score_key
        Which part of the score, where it has several.
    behaviour
        Where the name of the behaviour is from: "task", "model", "dataset", or a key of
        the samples' metadata. By default the task; where logs are of several models, or
        of one task with several arguments, these are added.
    family
        Where the family is from, in the same way; none where not given.
    max_dropped
        Largest share of lost samples of any behaviour, from 0 to 1.

    Raises
    ------
    InvalidData
        If a log cannot be read, nothing says what the behaviour is, a score is no
        verdict, or too many samples are lost.
    InvalidInput
        If a scorer or field is named that is not there, or no log is.

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
    wanted = _Wanted(scorer, score_key, behaviour, family)
    verdicts = Verdicts(behaviour_values, unscored_values)
    if isinstance(logs, str | Path | list | tuple):
        paths = found_logs(
            cast("str | Path | Sequence[str | Path]", logs), _PATTERNS, "log of Inspect"
        )
        runs = [(run, path) for path in paths for run in (read_run(path),)]
        # The newest last, so that it takes the place of the others.
        runs.sort(key=lambda one: (one[0].created, str(one[1])))
        parts = [(run, samples_of(path, run)) for run, path in runs]
    else:
        parts = frame_runs(logs)
    reading = _Reading(wanted, verdicts, [run for run, _ in parts])
    for run, samples in parts:
        reading.take(run, samples)
    reading.finish()
    return imported(
        reading.gathered,
        reader="inspect",
        sources=[run.name for run, _ in parts],
        rule=reading.rule,
        warnings=list(dict.fromkeys(reading.warnings())),
        max_dropped=max_dropped,
    )


@dataclass(frozen=True)
class _Wanted:
    scorer: str | None
    key: str | None
    behaviour: str | None
    family: str | None


class _Reading:
    """One pass over all samples."""

    def __init__(
        self, wanted: _Wanted, verdicts: Verdicts, runs: Sequence[Run]
    ) -> None:
        self.gathered = Gathering()
        self._wanted = wanted
        self._verdicts = verdicts
        self._runs = list(runs)
        self._scorer = wanted.scorer
        if wanted.scorer is not None:
            verdicts.what = f"score {wanted.scorer!r}"
        self._names: set[str] = set()
        self._exact = False
        self._rows = 0
        # Samples and epochs of a task, over all attempts at it.
        self._filled: Counter[str] = Counter()
        self._several_tasks = len({run.task for run in runs}) > 1
        self._several_models = len({run.model for run in runs}) > 1
        self._varied = _varied(runs)
        # Retries of a task share a number, and thereby slots of their samples.
        self._numbers: dict[str, int] = {}
        for run in runs:
            self._numbers.setdefault(run.task_id, len(self._numbers))

    @property
    def _files(self) -> str:
        names = list(dict.fromkeys(run.name for run in self._runs))
        return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

    @property
    def rule(self) -> str:
        """What was taken for the behaviour."""
        if self._exact:
            return f"probability of a fixed text, by scorer {self._scorer!r}"
        return self._verdicts.rule

    def take(self, run: Run, samples: Iterable[tuple[str, Json]]) -> None:
        number = self._numbers[run.task_id] << _EPOCH_BITS
        before = self.gathered.filled
        prefix = f"{run.task}/" if self._several_tasks else ""
        for place, sample in samples:
            self._rows += 1
            name, epoch = _identity(sample, place)
            labels: dict[str, Any] = {
                "family": None
                if self._wanted.family is None
                else self._field(self._wanted.family, sample, run, place),
                "text": _text(sample.get("input")),
                "place": place,
            }
            self._outcome(
                self._behaviour(run, sample, place),
                f"{prefix}{name}",
                number | epoch,
                sample,
                labels,
            )
            if self._rows == _ENOUGH and not self._exact:
                self._refuse_unstated()
        self._filled[run.task_id] += self.gathered.filled - before

    def finish(self) -> None:
        """Refuse what only all samples together tell."""
        if not self._rows:
            raise InvalidData(
                f"there is no sample in {self._files}. Give a log of a run that has "
                "begun."
            )
        if self._scorer is not None and self._scorer not in self._names:
            if not self._names:
                raise InvalidData(
                    f"no sample in {self._files} has a score: they failed, or were "
                    "not scored. `inspect score LOG` scores a log."
                )
            hint = near(self._scorer, [*self._names])
            raise InvalidInput(
                f"{self._files}: there is no score {self._scorer!r}{hint}. There are: "
                f"{listed(sorted(self._names))}."
            )
        if self._scorer is None:
            raise InvalidData(
                f"no sample in {self._files} has a score: they failed, or were not "
                "scored. `inspect score LOG` scores a log."
            )
        if not self._exact:
            self._refuse_unstated()
            if self._verdicts.seen:
                self._verdicts.check(self._files)

    def warnings(self) -> Iterator[str]:
        """What headers give reason to warn of."""
        if self._exact:
            yield LOWER_BOUND
        newest = {run.task_id: run for run in self._runs}
        for run in self._runs:
            yield from _copied(run, self._exact)
            # What an attempt left open, a later one may have closed.
            if run is newest[run.task_id]:
                yield from _missing(run, self._filled[run.task_id])

    def _outcome(
        self,
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
        score = self._score(sample, place)
        value = score.get("value")
        if self._wanted.key is not None and isinstance(value, dict):
            value = self._part(as_object(value), place)
        if self._is_exact(score):
            outcome = _log_risk(score, place)
        else:
            shows = self._verdicts.judged(value, place) if score else None
            if value is not None:
                labels["said"] = label(value)
            outcome = None if shows is None else (HIT if shows else MISS)
        if outcome is None:
            told = labels.pop("said", "")
            said = score.get("reason") or score.get("explanation") or told
            self.gathered.lose(behaviour, query, slot, "unscored", str(said), **labels)
            return
        cut = sample.get("limit") is not None and not self._exact
        self.gathered.add(behaviour, query, slot, outcome, cut_off=cut, **labels)

    def _score(self, sample: Json, place: str) -> Json:
        """The score that is wanted; nothing where the sample has none."""
        known = as_object(sample.get("scores"))
        if "scores" not in sample and as_object(sample.get("score")):
            known = {"score": sample["score"]}  # as logs of 2024 have it
        self._names.update(known)
        if self._scorer is None and known:
            if len(self._names) > 1:
                raise InvalidInput(
                    f"{place} has the scores {listed([*map(repr, known)])}. Name the "
                    f"one that tells the behaviour: --scorer {next(iter(known))}."
                )
            (self._scorer,) = self._names
            self._verdicts.what = f"score {self._scorer!r}"
        if self._wanted.scorer is None and len(self._names) > 1:
            raise InvalidInput(
                f"{place} has another score than samples before it: there are "
                f"{listed([*map(repr, sorted(self._names))])}. Name the one that tells "
                f"the behaviour: --scorer {min(self._names)}."
            )
        return as_object(known.get(self._scorer or ""))

    def _part(self, value: Json, place: str) -> Any:
        key = self._wanted.key or ""
        if key not in value:
            raise InvalidInput(
                f"{place} has no part {key!r} in its score{near(key, list(value))}. It "
                f"has: {listed(value)}."
            )
        return value[key]

    def _is_exact(self, score: Json) -> bool:
        """Whether the risk is a probability; the first score decides it for all."""
        if self._exact or self._verdicts.stated or self._verdicts.seen:
            return self._exact
        self._exact = "sum_log_probs" in as_object(score.get("metadata"))
        return self._exact

    def _refuse_unstated(self) -> None:
        if not self._verdicts.stated and self._verdicts.seen:
            self._verdicts.check(self._files)

    def _behaviour(self, run: Run, sample: Json, place: str) -> str:
        wanted = self._wanted.behaviour
        name = run.task
        if wanted is not None:
            name = self._field(wanted, sample, run, place)
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
        if value is None or isinstance(value, dict | list):
            known = [*_CONFIG, *metadata]
            what = "no" if value is None else "no single value for"
            raise InvalidInput(
                f"{place} has {what} {key!r} in its metadata{near(name, known)}. There "
                f"are: {listed(sorted(known))}."
            )
        text = str(value)
        if text.startswith(_REMOVED):
            raise InvalidData(
                f"{place} has a {key!r} that is too long for a summary, and was "
                "removed from it. Name another field, or give the log as JSON: "
                "`inspect log convert --to json`."
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
    name, epoch = sample.get("id"), sample.get("epoch", 1)
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise InvalidData(
            f"{place} has the id {name!r}, which is neither text nor a whole number. "
            "Give a log as Inspect wrote it."
        )
    whole = isinstance(epoch, int) and not isinstance(epoch, bool)
    if not whole or not 0 <= epoch < 1 << _EPOCH_BITS:
        raise InvalidData(
            f"{place} has the epoch {epoch!r}, which is no whole number from 1 on. "
            "Give a log as Inspect wrote it."
        )
    return str(name), epoch


def _log_risk(score: Json, place: str) -> float | None:
    """The log-probability of a score; None where it has none."""
    value = as_object(score.get("metadata")).get("sum_log_probs")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, int | float) or value > _ROUNDED:
        raise InvalidData(
            f"{place} has sum_log_probs {value!r}, which is no logarithm of a "
            "probability: it is at most 0. Name the score that has one, --scorer NAME."
        )
    return min(float(value), 0.0)


def _text(given: Any) -> str:
    """What was asked, of an input that is text or messages."""
    if isinstance(given, str):
        return given[:_TEXT]
    parts: list[str] = []
    for message in as_list(given):
        content = as_object(message).get("content")
        for piece in as_list(content) or [content]:
            text = as_object(piece).get("text") or piece
            if isinstance(text, str):
                parts.append(text)
    return "\n".join(parts)[:_TEXT]


def _copied(run: Run, exact: bool) -> Iterator[str]:
    """Why epochs may be copies of one response."""
    if not exact and run.epochs > 1:
        if run.config.get("temperature") == 0:
            yield (
                f"{run.name} was sampled at temperature 0: its {run.epochs} epochs "
                "are copies rather than independent trials, and the number of trials "
                "says more than was seen. Run it at the temperature of the deployment."
            )
        if run.config.get("seed") is not None:
            yield (
                f"{run.name} was sampled with the seed {run.config['seed']}: where "
                "the provider follows it, epochs are copies, not independent trials."
            )
        if run.copies:
            yield (
                f"{run.name} was answered from a cache that all epochs share "
                "(per_epoch=False): they are copies, not independent trials. Run it "
                "without the cache."
            )
    if not exact and run.epochs == 1 and run.config.get("temperature") == 0:
        yield (
            f"{run.name} was sampled at temperature 0: what it shows of a query is "
            "what happens always or never, not how often."
        )


def _missing(run: Run, rows: int) -> Iterator[str]:
    """What a run did not come to."""
    if run.status != "success":
        missing = "" if run.expected is None else f" of {run.expected:,} planned"
        yield (
            f"{run.name} is not finished (status {run.status!r}): {rows:,} rows"
            f"{missing} are in it. What is missing need not be like what is there."
        )
    elif run.expected is not None and rows < run.expected:
        yield (
            f"{run.name} has {rows:,} rows of {run.expected:,} planned. What is "
            "missing need not be like what is there."
        )
