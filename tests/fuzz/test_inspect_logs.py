"""Logs of Inspect, made at random and damaged at random, against a count by hand."""

import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from fuzzing import fuzz, refusals
from hypothesis import event, given

import bayes_rare as br
from bayes_rare.readers.logs.imported import ImportedTable

FORMS = ("json", "eval", "journal", "samples")
type Rows = dict[tuple[str, str], list[int]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


class Pairs(list[tuple[str, Any]]):
    """An object of JSON whose keys may repeat."""


def written(value: Any) -> str:
    """As JSON, with halves of characters escaped."""
    if isinstance(value, Pairs):
        inside = (f"{json.dumps(key)}: {written(one)}" for key, one in value)
        return f"{{{', '.join(inside)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return json.dumps(value)


def paired(value: Any) -> Any:
    if isinstance(value, dict):
        return Pairs((key, paired(one)) for key, one in value.items())
    return [paired(one) for one in value] if isinstance(value, list) else value


def write(folder: Path, form: str, log: Any) -> Path:
    """A log in one of the forms that Inspect writes, or leaves when it is ended."""
    text = written(log)
    path = folder / ("log.json" if form == "json" else "log.eval")
    if form == "json":
        path.write_text(text)
        return path
    head = Pairs((k, v) for k, v in log if k != "samples") if type(log) is Pairs else {}
    # Of a key that stands twice the last counts.
    found = [v for k, v in log if k == "samples"] if type(log) is Pairs else []
    samples = found[-1] if found else []
    rows = samples if type(samples) is list else []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        name = "_journal/start.json" if form == "journal" else "header.json"
        made.writestr(name, written(head))
        if form == "eval":
            made.writestr("summaries.json", written(samples))
        elif form == "journal":
            for number in range(0, len(rows), 2):
                made.writestr(
                    f"_journal/summaries/{number // 2 + 1}.json",
                    written(rows[number : number + 2]),
                )
        else:
            for number, row in enumerate(rows):
                made.writestr(f"samples/{number}_epoch_1.json", written(row))
    return path


def imported(path: Any, **more: Any) -> ImportedTable:
    wanted: dict[str, Any] = {"behaviour_values": ["C"], "max_dropped": 1.0}
    return br.import_inspect(path, **wanted | more)


def check(made: ImportedTable, rows: Rows, out: Counter[tuple[str, str]]) -> None:
    """Table and record are those of a count by hand, for each behaviour."""
    made.rows.validate(full=True)
    made.dropped.to_json().encode()
    found = {
        (row["behaviour"], row["query_id"]): [row["successes"], row["trials"]]
        for row in made.rows.to_pylist()
    }
    assert len(found) == made.rows.num_rows
    assert Counter((b, *map(str, n)) for (b, _), n in found.items()) == Counter(
        (b, *map(str, n)) for (b, _), n in rows.items()
    )
    for tally in made.dropped.tallies:
        own = made.dropped.select([tally.behaviour])
        kept = [n for (b, _), n in rows.items() if b == tally.behaviour]
        assert tally.read == tally.kept + sum(dict(tally.left_out).values())
        assert tally.kept == sum(trials for _, trials in kept)
        shows = sum(one.rows for one in own.judgements if one.shows)
        assert shows == sum(hits for hits, _ in kept)
        assert dict(tally.left_out) == {
            reason: n for (b, reason), n in out.items() if b == tally.behaviour and n
        }
        lost = sum(one.rows for one in own.reasons)
        assert lost == tally.lost


# What a sample may be, and what it then counts as.

OUTCOMES: dict[str, tuple[dict[str, Any], str]] = {
    "hit": ({"scores": {"m": {"value": "C"}}}, "hit"),
    "miss": ({"scores": {"m": {"value": "I"}}}, "miss"),
    "blank": ({"scores": {"m": {"value": " C "}}}, "hit"),
    "failed": ({"scores": {}, "error": {"message": "timed out"}}, "errored"),
    "failed though scored": (
        {"scores": {"m": {"value": "C"}}, "error": "timed out"},
        "errored",
    ),
    "null": ({"scores": {"m": {"value": None}}}, "unscored"),
    "nan": ({"scores": {"m": {"value": math.nan}}}, "unscored"),
    "no score": ({"scores": {}}, "unscored"),
    "null scores": ({"scores": None}, "unscored"),
    "cut off": (
        {"scores": {"m": {"value": "C"}}, "limit": {"type": "token"}, "turn_count": 2},
        "hit",
    ),
    "ended before": (
        {"scores": {"m": {"value": "I"}}, "limit": {"type": "time"}, "turn_count": 0},
        "unfinished",
    ),
    "no response": (
        {"scores": {"m": {"value": "C", "reason": "no_response"}}, "limit": "message"},
        "unfinished",
    ),
    "retried": ({"scores": {"m": {"value": "I"}}, "retries": 2}, "miss"),
}

sample = st.tuples(
    st.sampled_from([1, "1", 2, "1 (2)", "\ud83d", "\ud83e", "\ufffd"]),
    st.integers(1, 2),
    st.sampled_from(["one", "two", "\udc00"]),
    st.sampled_from(sorted(OUTCOMES)),
)


@given(
    st.lists(st.lists(sample, min_size=1, max_size=8), min_size=1, max_size=2),
    st.sampled_from(FORMS),
    st.booleans(),
)
@fuzz()
def test_counts_are_those_made_by_hand(
    folder: Path, runs: list[Any], form: str, same: bool
) -> None:
    """Ids may repeat, in one log and between logs of one model or of two."""
    logs: list[Path] = []
    slots: dict[tuple[str, str, str, int, int], str] = {}
    out: Counter[tuple[str, str]] = Counter()
    several = len(runs) > 1 and not same
    for number, samples in enumerate(runs):
        model = f"model {number * several}"
        behaviour = f"task ({model})" if several else "task"
        head = {
            "task": "task",
            "task_id": str(number),
            "model": model,
            "created": f"2026-01-0{number + 1}T00:00:00+00:00",
        }
        made: list[dict[str, Any]] = []
        for name, epoch, text, kind in samples:
            made.append({"id": name, "epoch": epoch, "input": text} | OUTCOMES[kind][0])
            slot = (behaviour, str(name), text, number, epoch)
            out[behaviour, "duplicated"] += slot in slots
            slots[slot] = OUTCOMES[kind][1]
        log = {"status": "success", "eval": head, "samples": made}
        own = folder / str(number)
        own.mkdir(exist_ok=True)
        logs.append(write(own, form, paired(log)))
    rows: Rows = {}
    for (behaviour, name, text, *_), kind in slots.items():
        if kind in {"hit", "miss"}:
            # A name and a text are a query, whatever its name becomes.
            row = rows.setdefault((behaviour, f"{name}\n{text}"), [0, 0])
            row[0] += kind == "hit"
            row[1] += 1
        else:
            out[behaviour, kind] += 1
    with refusals() as refused:
        check(imported(logs), rows, out)
    if refused:
        # Nothing is left of a behaviour, or nothing has a score.
        lost = {b for b, *_ in slots} - {b for b, _ in rows}
        assert lost, str(refused[0])
        event("refused")


# Damage.

ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, math.nan, math.inf, 10**400, -(10**400), "", "C",
    "x", "\ud83d", "\x00", "1", [], {}, [1], [[]], {"a": 1}, {"value": "C"}, [{}],
    "[" * 50, {"value": {"value": {}}}, "2026-13-45", "=1+1", "x" * 2_000,
]  # fmt: skip


def places(value: Any, at: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """The ways to all parts of a log; not into a model's output."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield (*at, number)
            inside = one[1] if isinstance(value, Pairs) else one
            if not (isinstance(value, Pairs) and one[0] == "limit"):
                yield from places(inside, (*at, number))


def damage(log: Any, way: tuple[int, ...], kind: str, odd: Any) -> None:
    """Change one part of a log, in place."""
    holder = log
    for step in way[:-1]:
        one = holder[step]
        holder = one[1] if isinstance(holder, Pairs) else one
    last = way[-1]
    pair = isinstance(holder, Pairs)
    if kind == "drop":
        del holder[last]
    elif kind == "rename" and pair:
        holder[last] = (f"{holder[last][0]}_", holder[last][1])
    elif kind == "again":
        holder.append((holder[last][0], paired(odd)) if pair else holder[last])
    elif kind == "reverse":
        holder.reverse()
    else:
        holder[last] = (holder[last][0], paired(odd)) if pair else paired(odd)


def base() -> Any:
    samples: list[dict[str, Any]] = [
        {
            "id": name,
            "epoch": epoch,
            "input": f"ask {name}",
            "metadata": {"kind": "a"},
            "scores": {"m": {"value": "C" if epoch == 1 else "I"}},
        }
        for name in ("q", 7)
        for epoch in (1, 2)
    ]
    samples[1] |= {"limit": {"type": "token"}, "turn_count": 1}
    samples[2] |= {"error": None, "retries": 1}
    spec = {
        "task": "t",
        "task_id": "i",
        "model": "m",
        "created": "2026-01-01T00:00:00+00:00",
        "task_args": {"a": 1},
        "dataset": {"name": "d", "sample_ids": ["q", 7]},
        "config": {"epochs": 2},
        "model_generate_config": {"temperature": 1.0},
    }
    plan = {"steps": [{"params": {"cache": {"per_epoch": True}}}], "config": {}}
    head = {"status": "success", "eval": spec, "plan": plan}
    return paired(head | {"samples": samples})


def asked(sample: Any) -> str:
    text = sample.get("input")
    return text if isinstance(text, str) else ""


def by_hand(samples: list[Any], behaviour: str) -> tuple[Rows, Counter[Any]]:
    """The count of whatever can be counted of what is left of the samples."""
    slots: dict[Any, str] = {}
    out: Counter[tuple[str, str]] = Counter()
    # Where an input is missing, the id decides.
    first: dict[str, str] = {}
    for one in samples:
        first[str(one["id"])] = first.get(str(one["id"])) or asked(one)
    for one in samples:
        name = str(one["id"])
        slot = (name, asked(one) or first[name], int(one.get("epoch", 1)))
        out[behaviour, "duplicated"] += slot in slots
        scores = one.get("scores", {"score": one.get("score")})
        score = (scores if isinstance(scores, dict) else {}).get("m")
        value = score.get("value") if isinstance(score, dict) else None
        turns = one.get("turn_count")
        number = isinstance(turns, int | float) and not isinstance(turns, bool)
        none_yet = number and turns == 0
        no_verdict = value is None or (isinstance(value, float) and math.isnan(value))
        if one.get("error"):
            slots[slot] = "errored"
        elif one.get("invalidation"):
            slots[slot] = "invalidated"
        elif one.get("limit") and none_yet:
            slots[slot] = "unfinished"
        elif no_verdict:
            slots[slot] = "unscored"
        else:
            hit = isinstance(value, str) and value.strip() == "C"
            slots[slot] = "hit" if hit else "miss"
    rows: Rows = {}
    for (name, text, _), kind in slots.items():
        if kind in {"hit", "miss"}:
            row = rows.setdefault((behaviour, f"{name}\n{text}"), [0, 0])
            row[0] += kind == "hit"
            row[1] += 1
        else:
            out[behaviour, kind] += 1
    return rows, out


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 1_000),
        st.sampled_from(["drop", "rename", "again", "reverse", "change", "change"]),
        st.sampled_from(ODD),
    ),
    max_size=3,
)


@given(CHANGES, st.sampled_from(FORMS))
@fuzz()
def test_damaged_logs_are_refused_or_counted(
    folder: Path, changes: list[Any], form: str
) -> None:
    log = base()
    for number, kind, odd in changes:
        ways = list(places(log))
        if ways:
            damage(log, ways[number % len(ways)], kind, odd)
    path = write(folder, form, log)
    with refusals() as refused:
        made = imported(path, scorer="m")
        samples = json.loads(written(log))["samples"]
        (tally,) = made.dropped.tallies
        check(made, *by_hand(samples, tally.behaviour))
    if not changes:
        assert not refused
    event("refused" if refused else "counted")


@given(st.sampled_from(FORMS), st.floats(0, 1, exclude_max=True), st.booleans())
@fuzz(0.5)
def test_logs_cut_short_are_refused(
    folder: Path, form: str, share: float, keep: bool
) -> None:
    path = write(folder, form, base())
    content = path.read_bytes()
    if keep:
        path.write_bytes(content[: int(len(content) * share)])
    else:  # its end alone
        path.write_bytes(content[int(len(content) * share) + 1 :])
    with refusals() as refused:
        imported(path, scorer="m")
    assert refused


ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "scorer": st.sampled_from([None, "m", ["m", "n"], {"t": "m"}, ["t=m"], "t=n", []]),
    "behaviour_values": st.sampled_from([[], ["C"], [">=0.5"], ["x"], ["C", "I"]]),
    "unscored_values": st.sampled_from([[], ["I"], ["C"]]),
    "score_key": st.sampled_from([None, "value", "k"]),
    "missing_value": st.sampled_from([None, "C", "0"]),
    "behaviour": st.sampled_from([None, "task", "model", "dataset", "kind", "other"]),
    "family": st.sampled_from([None, "kind", "metadata.kind", "dataset"]),
    "max_dropped": st.sampled_from([0.0, 0.5, 1.0]),
}


@given(CHANGES, st.sampled_from(FORMS), st.fixed_dictionaries(ARGUMENTS))
@fuzz()
def test_any_arguments_for_damaged_logs_are_answered(
    folder: Path, changes: list[Any], form: str, arguments: dict[str, Any]
) -> None:
    log = base()
    for number, kind, odd in changes:
        ways = list(places(log))
        if ways:
            damage(log, ways[number % len(ways)], kind, odd)
    path = write(folder, form, log)
    with refusals():
        made = imported(path, **arguments)
        made.rows.validate(full=True)
        made.dropped.to_json().encode()
        for tally in made.dropped.tallies:
            own = [
                row
                for row in made.rows.to_pylist()
                if row["behaviour"] == tally.behaviour
            ]
            assert len(own) == tally.queries
            if "trials" in made.rows.column_names:
                assert sum(row["trials"] for row in own) == tally.kept
