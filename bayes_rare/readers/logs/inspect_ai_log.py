"""Inspect logs as streams of samples: ``.eval`` archives and ``.json`` files.

Of an archive the summaries are read, one for each sample and epoch. Its results and
reductions are not: they average over epochs, which hides errors and missing scores.
Inspect itself is not needed.
"""

import math
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from bayes_rare.errors import InvalidData
from bayes_rare.readers.logs.json_stream import (
    Json,
    JsonStream,
    as_list,
    as_object,
    file_chunks,
)
from bayes_rare.readers.logs.zip_stream import Archive, opened_archive

__all__ = ["RESPONDED", "Run", "read_run", "responded", "samples_of"]

RESPONDED = "_responded"
"""Key of a sample that a limit ended: whether it has a response, None if unknown."""

_HEADER, _START, _SUMMARIES = "header.json", "_journal/start.json", "summaries.json"
_JOURNAL = re.compile(r"_journal/summaries/(\d+)\.json")
_SAMPLE = re.compile(r"samples/(?:[^/]+|.+_epoch_\d+)\.json|samples/.+/sample\.json")
# Found in the bytes of summaries if a limit ended some sample.
_LIMITED = re.compile(rb'"limit"\s*:\s*[^\sn]')
_OVERLAP = 64
# Larger numbers of epochs are taken for errors.
_EPOCHS = 1 << 40
# Keys of a sample that are read; messages and events, which are most of it, are not.
_FIELDS = frozenset(
    {
        "id",
        "epoch",
        "input",
        "metadata",
        "scores",
        "score",
        "error",
        "limit",
        "invalidation",
        "error_retries",
        "retries",
        "turn_count",
        "message_count",
        "model_usage",
    }
)
_CONTENT = ("content", "tool_calls")
_MESSAGE = frozenset({"role", "source", *_CONTENT})
_HEAD = frozenset({"status", "eval", "plan", "invalidated"})


@dataclass(frozen=True)
class Run:
    """The header of a log."""

    name: str  # of the file
    task: str
    model: str
    dataset: str
    task_id: str  # shared by the retries of a run
    created: float = 0.0  # seconds since 1970; 0 if unknown
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])  # of the task
    epochs: int = 1  # planned for each sample
    expected: int | None = None  # samples times epochs
    status: str = "success"
    invalidated: bool = False  # whether some samples were invalidated later
    config: Json = field(default_factory=dict[str, Any])  # of generation
    copies: bool = False  # whether a cache gave all epochs the same response


def read_run(path: Path) -> Run:
    """The header of a log."""
    if not _is_archive(path):
        return _run(path, _json_header(path), str(path))
    with opened_archive(path, _wanted) as archive:
        for name in (_HEADER, _START):
            if name in archive.members:
                stream = JsonStream(archive.chunks(name), archive.place(name))
                head = _object(stream, _HEAD)
                if name == _START:
                    head["status"] = "started"
                return _run(path, head, archive.place(name))
        raise InvalidData(
            f"{path} is a zip archive without {_HEADER} or {_START}, so not an Inspect "
            "log. Give an .eval log."
        )


def samples_of(path: Path, run: Run) -> Generator[tuple[str, Json]]:
    """The samples of a log, one for each epoch, each with its place."""
    if not _is_archive(path):
        yield from _json_samples(path)
        return
    with opened_archive(path, _wanted) as archive:
        invalid = _invalid_samples(path) if run.invalidated else frozenset[_Key]()
        answers = _answers(archive)
        for place, sample in _summaries(archive):
            key = _key(sample)
            if key in invalid:
                sample["invalidation"] = True
            if key in answers:
                sample[RESPONDED] = answers[key]
            yield place, sample


def responded(sample: Json) -> bool | None:
    """Whether a sample has a response; None if the log does not say."""
    if isinstance(sample.get(RESPONDED), bool):
        return sample[RESPONDED]
    turns, messages = (_count(sample, n) for n in ("turn_count", "message_count"))
    if turns:
        return True
    scores = as_object(sample.get("scores")).values()
    if any(as_object(one).get("reason") == "no_response" for one in scores):
        return False
    # The input has at least one message.
    if turns == 0 or (messages is not None and messages <= 1):
        return False
    tokens = _count(sample, "total_tokens")
    usage = sample.get("model_usage")
    if tokens is None and isinstance(usage, dict):
        tokens = len(cast("Json", usage))
    # A response from a cache uses no tokens.
    return None if not tokens and (tokens is None or messages) else bool(tokens)


type _Key = tuple[str, int]


def _key(sample: Json) -> _Key | None:
    """Id and epoch of a sample; None if they have the wrong types."""
    name, epoch = sample.get("id"), sample.get("epoch", 1)
    if not isinstance(name, str | int) or not isinstance(epoch, int):
        return None
    return str(name), epoch


def _count(sample: Json, name: str) -> int | None:
    """A whole number in a sample; None if there is none."""
    value = sample.get(name)
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _answers(archive: Archive) -> dict[_Key | None, bool]:
    """Whether samples that a limit ended have a response.

    Summaries do not contain responses, so the samples themselves are looked up, unless
    the summary shows for certain that there is one.
    """
    if not any(_LIMITED.search(piece) for piece in _overlapping(archive)):
        return {}
    sought: dict[str, _Key] = {}
    for _, sample in _summaries(archive):
        key = _key(sample)
        if key and sample.get("limit") and not _count(sample, "turn_count"):
            stem = f"samples/{key[0]}_epoch_{key[1]}"
            sought |= {f"{stem}.json": key, f"{stem}/sample.json": key}
    found: dict[_Key | None, bool] = {}
    with opened_archive(archive.path, sought.__contains__) as full:
        for name in full.members:
            stream = JsonStream(full.chunks(name), full.place(name))
            answer = _full(stream, frozenset()).get(RESPONDED)
            if answer is not None:
                found[sought[name]] = answer
    return found


def _overlapping(archive: Archive) -> Iterator[bytes]:
    """The bytes of all summaries, in slightly overlapping pieces."""
    for name in _summary_names(archive):
        end = b""
        for piece in archive.chunks(name):
            yield end + piece
            end = piece[-_OVERLAP:]


def _wanted(name: str) -> bool:
    return name in {_HEADER, _SUMMARIES} or name.startswith("_journal/")


def _is_archive(path: Path) -> bool:
    if path.suffix.lower() == ".eval":
        return True
    return next(iter(file_chunks(path)), b"")[:2] == b"PK"


def _summary_names(archive: Archive) -> list[str]:
    """The members with summaries: the final ones, or else those of the journal."""
    if _SUMMARIES in archive.members:
        return [_SUMMARIES]
    journal = {
        int(found[1]): name
        for name in archive.members
        if (found := _JOURNAL.fullmatch(name))
    }
    return [journal[number] for number in sorted(journal)]


def _summaries(archive: Archive) -> Iterator[tuple[str, dict[str, Any]]]:
    names = _summary_names(archive)
    if not names:
        yield from _full_samples(archive.path)
        return
    for name in names:
        where = archive.place(name)
        stream = JsonStream(archive.chunks(name), where)
        for number, sample in enumerate(stream.values(), 1):
            yield f"{where}, sample {number:,}", _checked(sample, where, number)
        stream.end()


def _full_samples(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The samples of a log without summaries."""
    with opened_archive(path, lambda name: bool(_SAMPLE.fullmatch(name))) as archive:
        if not archive.members:
            raise InvalidData(
                f"{path} has neither summaries nor samples. It was written with "
                "--no-log-samples, or ended before its first sample. Run it again."
            )
        for name in archive.members:
            where = archive.place(name)
            stream = JsonStream(archive.chunks(name), where)
            yield where, _full(stream, _FIELDS)


def _invalid_samples(path: Path) -> frozenset[_Key]:
    """Id and epoch of invalidated samples, which summaries do not show."""
    return frozenset(
        key
        for _, sample in _full_samples(path)
        if sample.get("invalidation") and (key := _key(sample))
    )


def _json_header(path: Path) -> dict[str, Any]:
    stream = JsonStream(file_chunks(path), str(path))
    if not stream.next_is("{"):
        raise InvalidData(
            f"{path} is not an Inspect log: it does not begin with a JSON object. Give "
            "a log that ends in .eval or .json."
        )
    head: dict[str, Any] = {}
    for key in stream.object_keys():
        if key in _HEAD:
            head[key] = stream.value()
        # Everything needed comes before the samples, which may be very long.
        elif key == "samples" and "eval" in head:
            break
        else:
            stream.skip()
    return head


def _json_samples(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    stream = JsonStream(file_chunks(path), str(path))
    found, keys = False, 0
    for key in stream.object_keys():
        keys += key == "samples"
        if keys > 1:
            raise InvalidData(
                f"{path} has the key `samples` twice. Give a log as Inspect wrote it."
            )
        if key != "samples" or not stream.next_is("["):
            stream.skip()
            continue
        found = True
        for number, _ in enumerate(stream.elements(), 1):
            place = f"{path}, sample {number:,}"
            if not stream.next_is("{"):
                _checked(stream.value(), str(path), number)
            yield place, _full(stream, _FIELDS)
    stream.end()
    if not found:
        raise InvalidData(
            f"{path} has no samples: it was written with --no-log-samples, or is only "
            "the header of a log. Give the whole log."
        )


def _object(stream: JsonStream, wanted: frozenset[str]) -> dict[str, Any]:
    """The wanted keys of an object; the others are skipped."""
    found: dict[str, Any] = {}
    for key in stream.object_keys():
        if key in wanted:
            found[key] = stream.value()
        else:
            stream.skip()
    return found


def _full(stream: JsonStream, wanted: frozenset[str]) -> dict[str, Any]:
    """The wanted keys of a sample, and whether it has a response, if it says so.

    If nothing is wanted, reading stops at the response.
    """
    found: dict[str, Any] = {}
    told: dict[str, bool] = {}
    for key in stream.object_keys():
        if key in wanted:
            found[key] = stream.value()
        elif key == "output" and stream.next_is("{"):
            told[key] = _is_output(stream)
        elif key == "messages" and stream.next_is("["):
            said = [_is_response(one) for one in _parts_of(stream, _MESSAGE)]
            told[key] = any(said)
        else:
            stream.skip()
        if not wanted and (any(told.values()) or len(told) == 2):
            break
    return found | ({RESPONDED: any(told.values())} if told else {})


def _is_output(stream: JsonStream) -> bool:
    """Whether the output of a model has any content."""
    answer = False
    for key in stream.object_keys():
        if key == "completion":
            answer |= _is_content(stream.value())
        elif key == "choices" and stream.next_is("["):
            for choice in _parts_of(stream, frozenset({"message"})):
                message = _part(choice, "message")
                answer |= any(_is_content(message.get(name)) for name in _CONTENT)
        else:
            stream.skip()
    return answer


def _is_response(message: Json) -> bool:
    """Whether a message is a response of the model, and not part of the input."""
    return (
        message.get("role") == "assistant"
        and message.get("source") != "input"
        and any(_is_content(message.get(name)) for name in _CONTENT)
    )


def _is_content(value: Any) -> bool:
    if isinstance(value, list):
        parts = cast("list[Any]", value)
        return any(_is_content(as_object(one).get("text", one)) for one in parts)
    return bool(value.strip() if isinstance(value, str) else value)


def _parts_of(stream: JsonStream, wanted: frozenset[str]) -> Iterator[Json]:
    """The wanted keys of each object in an array; other values are skipped."""
    for _ in stream.elements():
        if stream.next_is("{"):
            yield _object(stream, wanted)
        else:
            stream.skip()


def _checked(sample: Any, where: str, number: int) -> dict[str, Any]:
    if not isinstance(sample, dict):
        raise InvalidData(
            f"{where}, sample {number:,} is {type(sample).__name__}, not an object. "
            "Give an Inspect log."
        )
    return cast("dict[str, Any]", sample)


def _run(path: Path, head: Json, place: str) -> Run:
    spec = _part(head, "eval")
    names = (spec.get("task"), spec.get("model"))
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise InvalidData(
            f"{place} has no `eval` with a task and a model, so it is not an Inspect "
            "log. Give one that ends in .eval or .json."
        )
    config, dataset = _part(spec, "config"), _part(spec, "dataset")
    plan = _part(head, "plan")
    generated = {
        name: value
        for part in (_part(spec, "model_generate_config"), _part(plan, "config"))
        for name, value in part.items()
        if value is not None
    }
    epochs = config.get("epochs")
    epochs = epochs if isinstance(epochs, int) and 0 < epochs < _EPOCHS else 1
    ids = dataset.get("sample_ids")
    expected = len(as_list(ids)) * epochs if isinstance(ids, list) else None
    return Run(
        name=path.name,
        task=str(spec["task"]),
        model=str(spec["model"]),
        dataset=str(dataset.get("name") or ""),
        task_id=str(
            spec.get("task_id")
            or spec.get("eval_id")
            or spec.get("run_id")
            or path.resolve()
        ),
        created=_seconds(spec.get("created")),
        arguments={
            name: str(value)
            for name, value in (
                *_part(spec, "task_args").items(),
                *_part(spec, "task_args_passed").items(),
            )
        },
        epochs=epochs,
        expected=expected,
        status=str(head.get("status") or "success"),
        invalidated=head.get("invalidated") is True,
        config=generated,
        copies=_copies(generated.get("cache"))
        or any(
            _copies(_part(as_object(step), "params").get("cache"))
            for step in as_list(plan.get("steps"))
        ),
    )


def _part(whole: Json, name: str) -> Json:
    return as_object(whole.get(name))


def _copies(policy: Any) -> bool:
    """Whether a cache gives each epoch the response of the first."""
    return as_object(policy).get("per_epoch") is False


def _seconds(text: Any) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
