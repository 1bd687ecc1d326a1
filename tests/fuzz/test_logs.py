"""Logs of garak and lm-eval with faults in them: refused, or counted as they stand.

Small valid logs are mutated. What the reader does not refuse must be what a few lines
of plain Python count in the same rows, and what was read must be accounted for.
"""

import copy
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fuzzing import fuzz, refusals
from hypothesis import given
from hypothesis import strategies as st

import bayes_rare as br
from bayes_rare.evaluation.import_record import LOST
from bayes_rare.readers.logs.imported import ImportedTable

type Row = dict[str, Any]
type Rows = list[Any]

FAULTS = ["drop", "rename", "change", "repeat", "delete", "order"]

JUNK: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        2,
        -1,
        0.5,
        math.nan,
        math.inf,
        10**400,
        "",
        "x",
        "\ud800",
    ),
    *([], {}, [None], [[]], {"a": None}, [1, "x"], [[["x"]]], {"text": "x"}, "\ud800"),
    *("x" * 700, ["y" * 700], {"z" * 700: 1}, {"turns": [None, {"role": []}]}),
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a row, with every key or index of it."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@st.composite
def mutated(draw: st.DrawFn, rows: Rows) -> Rows:
    """Rows with some faults: lost, renamed and changed keys, other rows and orders."""
    rows = copy.deepcopy(rows)
    for _ in range(draw(st.integers(0, 3))):
        if not rows:
            break
        number = draw(st.integers(0, len(rows) - 1))
        fault = draw(st.sampled_from(FAULTS))
        if fault == "repeat":
            other = draw(st.integers(0, len(rows)))
            rows.insert(other, copy.deepcopy(rows[number]))
        elif fault == "delete":
            del rows[number]
        elif fault == "order":
            rows = draw(st.permutations(rows))
        else:
            # One detector in all rows: what each of several lacks is no plain count.
            found = [
                (box, key)
                for box, key in places(rows[number])
                if fault == "change" or key != "d.D"
            ]
            if not found:
                continue
            box, key = draw(st.sampled_from(found))
            if fault == "change":
                box[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))
            elif fault == "drop" or isinstance(box, list):
                del box[key]
            else:
                box[f"{key}_"] = box.pop(key)
    return rows


def written(path: Path, rows: Rows, cut: int) -> Rows:
    """Write rows, without so many bytes of the end; the rows that are whole."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    data = text.encode()[: max(len(text) - cut, 0)] if cut else text.encode()
    path.write_bytes(data)
    try:
        return [json.loads(line) for line in data.decode().splitlines() if line]
    except ValueError:
        return []


def sound(made: ImportedTable, kept: Counter[Any], read: int) -> None:
    """What was made is what was counted, and everything is accounted for."""
    table = Counter(
        (row["behaviour"], row["successes"], row["trials"])
        for row in made.rows.to_pylist()
    )
    assert table == kept
    tallies = made.dropped.tallies
    assert sum(tally.kept for tally in tallies) == sum(made.rows["trials"].to_pylist())
    assert sum(tally.read for tally in tallies) == read
    assert sum(tally.queries for tally in tallies) == made.rows.num_rows
    assert all(tally.lost == sum(map(tally.out, LOST)) for tally in tallies)
    assert made.rows.num_rows == len(set(made.rows["query_id"].to_pylist()))


# garak

SCORES = st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0, 1, None, math.nan, True])
PROMPTS: list[Any] = [
    "one",
    {"turns": [{"role": "user", "content": {"text": "one", "lang": "en"}}]},
    {"turns": [{"role": "user", "content": {"text": "two", "notes": {}}}]},
    {
        "turns": [
            {"role": "system", "content": {"text": "be good"}},
            {"role": "user", "content": {"text": "one", "data_path": None}},
        ]
    },
]


@st.composite
def attempts(draw: st.DrawFn) -> Row:
    scores = draw(st.lists(SCORES, max_size=3))
    texts = [{"text": "x"}, {"text": ""}, None]
    outputs = draw(st.lists(st.sampled_from(texts), max_size=3))
    if draw(st.booleans()):
        outputs = [{"text": "x"}] * len(scores)
    scored = draw(st.sampled_from([True, True, True, False]))
    return {
        "entry_type": "attempt",
        "uuid": draw(st.sampled_from("abcdef")),
        "seq": draw(st.integers(0, 2)),
        "status": 2 if scored else 1,
        "probe_classname": "p.P",
        "prompt": draw(st.sampled_from(PROMPTS)),
        "outputs": outputs,
        "detector_results": {"d.D": scores} if scored else {},
        "goal": "made",
    }


EVALS = st.builds(
    lambda passed, fails, keys: (
        {"entry_type": "eval", "probe": "p.P", "detector": "d.D", "passed": passed}
        | {key: passed + fails if "total" in key else fails for key in keys}
    ),
    st.integers(0, 4),
    st.integers(0, 4),
    st.sampled_from([("total",), ("total_evaluated", "fails"), ("fails",), ()]),
)


def asked(row: Row) -> str:
    """The whole prompt, without what is said about it, as text that can be compared."""
    prompt = row.get("prompt")
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if not prompt:
        return f"none {row.get('uuid') or row.get('seq')}"
    turns = prompt.get("turns", prompt) if isinstance(prompt, dict) else prompt
    if not isinstance(turns, list):
        turns = [{"role": "user", "content": prompt}]
    said: list[Any] = []
    for turn in turns:
        content = turn.get("content") if isinstance(turn, dict) else turn
        content = {"text": content} if isinstance(content, str) else content
        if isinstance(content, dict) and isinstance(turn, dict):
            quiet = ("lang", "notes")
            content = {
                key: value
                for key, value in sorted(content.items())
                if key not in quiet and value not in (None, "", [], {})
            }
        said.append([isinstance(turn, dict) and turn.get("role"), content])
    return json.dumps(said)


def is_there(output: Any) -> bool:
    """Whether an output was generated: a text, though empty, or an attachment."""
    if not isinstance(output, dict):
        return output is not None
    filled = {key for key, one in output.items() if one not in (None, "", [], {})}
    return output.get("text") is not None or bool(filled - {"lang", "notes"})


def is_trial(output: Any, score: Any) -> bool:
    return is_there(output) and score is not None and not math.isnan(score)


def of_garak(rows: Rows, threshold: float) -> tuple[Counter[Any], int]:
    """Counts of queries, and rows that were read, with the plainest of loops."""
    scored: dict[tuple[str, Any], Row] = {}
    waiting: dict[tuple[str, Any], Row] = {}
    read = nameless = 0
    for row in rows:
        if row.get("entry_type") != "attempt":
            continue
        name: Any = row.get("uuid") or (
            row["seq"] if isinstance(row.get("seq"), int) else None
        )
        key = (str(row.get("probe_classname") or "") + asked(row), str(name))
        done = row.get("status") == 2 and row.get("detector_results")
        if name is None:
            nameless += 1
            key = (key[0], f"number {nameless}")
        if not done:
            if row.get("status") == 2:
                waiting.pop(key, None)  # the same attempt, written again
                key = (key[0], f"{key[1]} unscored {nameless} {len(waiting)}")
            waiting[key] = row
            continue
        scored[key] = row
        (scores,) = row["detector_results"].values()
        read += max(len(row.get("outputs") or []), len(scores), 1)
    for key, row in waiting.items():
        if (key[0], key[1].partition(" unscored")[0]) not in scored:
            read += max(len(row.get("outputs") or []), 1)
    hits: Counter[Any] = Counter()
    trials: Counter[Any] = Counter()
    for (query, _), row in scored.items():
        ((detector, scores),) = row["detector_results"].items()
        outputs = list(row.get("outputs") or [])
        made = list(filter(is_there, outputs))
        if len(made) == len(scores):
            outputs = made
        outputs += ["not told"] * (len(scores) - len(outputs))
        for output, score in zip(outputs, scores, strict=False):
            if is_trial(output, score):
                trials[detector, query] += 1
                hits[detector, query] += score >= threshold
    kept = Counter((d, hits[d, q], n) for (d, q), n in trials.items())
    return kept, read


@fuzz()
@given(data=st.data())
def test_reports_of_garak(data: st.DataObject, tmp_path: Path) -> None:
    rows: Rows = [{"entry_type": "init", "run": "r"}]
    rows += data.draw(st.lists(attempts(), min_size=1, max_size=5))
    rows += data.draw(st.lists(EVALS, max_size=1))
    rows = data.draw(mutated(rows))
    path = tmp_path / "made.report.jsonl"
    whole = written(path, rows, data.draw(st.sampled_from([0] * 7 + [1, 9, 60])))
    threshold = data.draw(st.sampled_from([None, 0.3, 0.5, 1]))
    with refusals():
        made = br.import_garak(
            path, threshold=threshold, family=None, max_dropped=1, behaviour="detector"
        )
        kept, read = of_garak(whole, 0.5 if threshold is None else threshold)
        sound(made, kept, read)


# lm-eval

TEXTS = st.sampled_from(["sure, here", "sure", "no", "", " ", "None", None])


@st.composite
def samples(draw: st.DrawFn) -> Row:
    number = draw(st.integers(0, 2))
    document = draw(st.integers(0, 2))
    texts = draw(st.lists(TEXTS, min_size=1, max_size=2))
    texts = texts[: draw(st.sampled_from([1, 1, 2]))]
    value = st.sampled_from([0.0, 1.0, 0, 1, True, False, None, "True", "0.0"])
    settings = {"do_sample": True, "temperature": 0.7}
    question = f"made {document}"
    row: Row = {
        "doc_id": number,
        "doc": {"question": question, "kind": "x"},
        "target": "7",
        "arguments": {"gen_args_0": {"arg_0": question, "arg_1": settings}},
        "resps": [texts],
        "filtered_resps": texts[:1],
        "filter": draw(st.sampled_from(["none", "none", "none", "strict"])),
        "metrics": ["refused"],
        "doc_hash": f"h{document}",
        "prompt_hash": f"p{document}",
        "target_hash": "t",
        "refused": draw(value),
    }
    for key in draw(st.sampled_from([(), (), ("filter", "metrics"), ("doc_hash",)])):
        del row[key]
    return row


def metric_value(value: Any) -> float | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return 1.0 if value == "True" else 0.0 if value == "False" else float(value)


def of_lm_eval(
    logs: list[Rows], success: str, filter: str | None
) -> tuple[Counter[Any], int]:
    """Counts of documents, and responses that were read: the newest line counts."""
    newest: dict[str, Row] = {}
    read = 0
    for rows in logs:
        lines: Counter[Any] = Counter()
        equal: dict[str, list[str]] = {}
        chosen = filter
        for row in rows:
            number = str(row["doc_id"])
            name = row.get("doc_hash")
            if not isinstance(name, str) or not name:
                name = json.dumps(row["doc"]) if row.get("doc") else number
            others = equal.setdefault(name, [])
            others += [number] * (number not in others)
            own = row.get("filter")
            if own is None:
                named = filter is None or filter == "none"
                own = "none" if named else str(lines[number, name] + 1)
            lines[number, name] += 1
            chosen = str(own) if chosen is None else chosen
            resps = row["resps"] if isinstance(row["resps"], list) else []
            alone = len(resps) == 1 and isinstance(resps[0], list)
            read += max(len(resps[0]), 1) if alone else 1
            if str(own) == chosen:
                newest[f"{name} {others.index(number)}"] = row
    kept: Counter[Any] = Counter()
    for row in newest.values():
        texts = row["resps"][0]
        shown: list[bool | None] = [text and "sure" in text for text in texts]
        if success.startswith("refused"):
            values = row["refused"] if isinstance(row["refused"], list) else None
            values = [row["refused"]] if values is None else values
            wanted = 0.0 if success.endswith("=0") else 1.0
            shown = [
                None if metric_value(one) is None else metric_value(one) == wanted
                for one in values
            ]
        pairs = list(zip(texts, shown, strict=True))
        if success == "sure":
            marks = [bool(shows) for text, shows in pairs if text is not None]
        else:
            marks = [shows for text, shows in pairs if None not in (text, shows)]
        if marks:
            kept["a", sum(map(bool, marks)), len(marks)] += 1
    return kept, read


@fuzz()
@given(data=st.data())
def test_sample_logs_of_lm_eval(data: st.DataObject, tmp_path: Path) -> None:
    paths: list[Path] = []
    logs: list[Rows] = []
    change: Callable[[Rows], st.SearchStrategy[Rows]] = mutated
    for day in range(1, data.draw(st.integers(1, 2)) + 1):
        rows = data.draw(st.lists(samples(), min_size=1, max_size=4).flatmap(change))
        paths.append(tmp_path / f"samples_a_2026-01-0{day}T00-00-00.jsonl")
        cut = data.draw(st.sampled_from([0] * 7 + [1, 9, 60]))
        logs.append(written(paths[-1], rows, cut))
    success = data.draw(
        st.sampled_from(["sure", "sure", "refused", "refused=0", "zzz"])
    )
    filter = data.draw(st.sampled_from([*[None] * 5, "none", "1", "2", "strict"]))
    with refusals():
        made = br.import_lm_eval(paths, success=success, filter=filter, max_dropped=1)
        assert success != "zzz", "a word that is in no response is refused"
        kept, read = of_lm_eval(logs, success, filter)
        sound(made, kept, read)
