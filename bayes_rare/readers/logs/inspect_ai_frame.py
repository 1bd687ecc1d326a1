"""Samples in a frame from Inspect's ``samples_df``."""

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import narwhals as nw

from bayes_rare.errors import InvalidData, InvalidInput, listed
from bayes_rare.readers.logs.inspect_ai_log import Run
from bayes_rare.readers.logs.json_stream import Json
from bayes_rare.readers.surrogates import storable_frame
from bayes_rare.readers.tables.contract import ROW

__all__ = ["frame_runs"]

_SCORE, _METADATA = "score_", "metadata_"
# Optional columns of a score beside its value.
_BESIDE = re.compile(r"_(answer|explanation|metadata|history|reason)$")
_PLAIN = (
    "id",
    "epoch",
    "error",
    "limit",
    "input",
    "retries",
    "turn_count",
    "message_count",
    "total_tokens",
)
_BATCH = 10_000


def frame_runs(frame: Any) -> list[tuple[Run, Iterator[tuple[str, Json]]]]:
    """The runs in a frame, each with its samples."""
    try:
        lazy = nw.from_native(frame).lazy()
    except TypeError as error:
        raise InvalidInput(
            f"{type(frame).__name__} is neither a path nor a frame. Give paths of "
            "logs, or a frame from inspect_ai.analysis.samples_df."
        ) from error
    with storable_frame():
        table: Any = lazy.collect().to_arrow()
    names: list[str] = table.column_names
    missing = [name for name in ("id", "epoch") if name not in names]
    if missing or not any(name.startswith(_SCORE) for name in names):
        what = ", ".join(missing) or "score_<scorer>"
        raise InvalidInput(
            f"the frame has no column {what}. It has: {listed(names)}. Give a frame "
            "from inspect_ai.analysis.samples_df."
        )
    keys = [n for n in ("task_id", "task_name", "model", "eval_id") if n in names]
    groups = _groups(table, keys)
    evals = {group.get("eval_id") for group in groups}
    if len(evals) > 1 and "task_id" not in names:
        raise InvalidData(
            f"the frame has rows of {len(evals)} evals but no column task_id, so that "
            "retries cannot be told from further trials. Read it with "
            "samples_df(logs, columns=EvalInfo + EvalTask + EvalModel + SampleSummary)."
        )
    return [
        (_run(group, number), _samples(table, group, names))
        for number, group in enumerate(groups)
    ]


def _groups(table: Any, keys: Sequence[str]) -> list[Json]:
    """The evals of a frame, the newest last."""
    if not keys:
        return [{}]
    names = [*keys, *(["created"] if "created" in table.column_names else [])]
    rows: list[Json] = table.select(names).group_by(names).aggregate([]).to_pylist()
    seen: dict[tuple[Any, ...], Json] = {}
    for row in sorted(rows, key=lambda row: str(row.get("created") or "")):
        seen.setdefault(tuple(row[key] for key in keys), row)
    return list(seen.values())


def _run(group: Json, number: int) -> Run:
    return Run(
        name="samples_df",
        task=str(group.get("task_name") or "behaviour"),
        model=str(group.get("model") or ""),
        dataset="",
        task_id=str(group.get("task_id") or group.get("eval_id") or number),
    )


def _samples(
    table: Any, group: Json, names: Sequence[str]
) -> Iterator[tuple[str, Json]]:
    pa, compute = map(import_module, ("pyarrow", "pyarrow.compute"))
    table = table.append_column(ROW, pa.array(range(1, table.num_rows + 1)))
    for key in group.keys() - {"created"}:
        column, value = table[key], group[key]
        mine = column.is_null() if value is None else compute.equal(column, value)
        table = table.filter(mine)
    for batch in table.to_batches(max_chunksize=_BATCH):
        for given in batch.to_pylist():
            yield f"the frame, row {given[ROW]:,}", _sample(given, names)


def _sample(given: Json, names: Sequence[str]) -> Json:
    scores = {
        name.removeprefix(_SCORE): {"value": _value(given[name])}
        for name in names
        if name.startswith(_SCORE) and not _BESIDE.search(name)
    }
    metadata = {
        name.removeprefix(_METADATA): given[name]
        for name in names
        if name.startswith(_METADATA)
    }
    for name in scores:
        scores[name]["reason"] = given.get(f"{_SCORE}{name}_reason")
    rest = {name: given.get(name) for name in _PLAIN}
    usage = _value(given.get("model_usage"))
    return rest | {"scores": scores, "metadata": metadata, "model_usage": usage}


def _value(value: Any) -> Any:
    """The value of a score, which is JSON text if it has several parts."""
    import json

    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
