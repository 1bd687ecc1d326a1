"""Which trials of which query and behaviour there are in logs of Inspect."""

import gzip
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bayes_rare as br
from bayes_rare.cli import main, tables
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation.import_record import Dropped, Judgement, Reason
from bayes_rare.readers.logs.imported import ImportedTable

type Sample = dict[str, Any]


def sample(name: Any, value: Any, epoch: int = 1, **more: Any) -> Sample:
    scores = {} if value is None else {"judge": {"value": value}}
    known = {"id": name, "epoch": epoch, "input": f"ask {name}", "scores": scores}
    return known | more


def log(path: Path, samples: list[Sample], **spec: Any) -> Path:
    known = {"task": "leak", "task_id": path.stem, "model": "m"}
    text = json.dumps({"eval": known | spec, "samples": samples})
    path.write_text(text, encoding="utf-8")
    return path


def archive(path: Path, samples: list[Sample], *parts: str, journal: int = 0) -> Path:
    """An .eval log: its summaries, or a journal of parts, and full samples."""
    spec = {"eval": {"task": "leak", "task_id": "t", "model": "m"}}
    summaries = [
        {key: one[key] for key in one if key not in {"output", "messages"}}
        | {"limit": (one.get("limit") or {}).get("type")}
        for one in samples
    ]
    with zipfile.ZipFile(path, "w") as made:
        if journal:
            made.writestr("_journal/start.json", json.dumps(spec))
            for number in range(0, len(samples), journal):
                made.writestr(
                    f"_journal/summaries/{number // journal + 1}.json",
                    json.dumps(summaries[number : number + journal]),
                )
        else:
            made.writestr("header.json", json.dumps(spec))
            if "summaries" in parts:
                made.writestr("summaries.json", json.dumps(summaries))
        for one in samples:
            stem = f"samples/{one['id']}_epoch_{one['epoch']}"
            if "whole" in parts:
                made.writestr(f"{stem}.json", json.dumps(one))
            if "chunked" in parts:
                made.writestr(f"{stem}/sample.json", json.dumps(one))
    return path


def read(logs: Any, **more: Any) -> ImportedTable:
    wanted: dict[str, Any] = {"behaviour_values": ["C"]}
    return br.import_inspect(logs, **wanted | more)


def counts(made: ImportedTable) -> dict[str, tuple[int, int]]:
    rows = made.rows.to_pylist()
    assert len({(row["behaviour"], row["query_id"]) for row in rows}) == len(rows)
    return {row["query_id"]: (row["successes"], row["trials"]) for row in rows}


# What is said of each behaviour.


def two_models(folder: Path) -> list[Path]:
    shows = {"first": "CCII", "second": "IIIC"}
    return [
        log(
            folder / f"{model}.json",
            [
                sample(number // 2, value, 1 + number % 2)
                for number, value in enumerate(values)
            ]
            + [sample("gone", None, error={"message": f"{model} timed out"})],
            model=model,
        )
        for model, values in shows.items()
    ]


def test_scores_and_reasons_are_those_of_each_behaviour(tmp_path: Path) -> None:
    record = read(two_models(tmp_path), max_dropped=0.2).dropped
    first, second = "leak (first)", "leak (second)"
    assert set(record.judgements) == {
        Judgement("C", True, 2, first),
        Judgement("I", False, 2, first),
        Judgement("C", True, 1, second),
        Judgement("I", False, 3, second),
    }
    for behaviour, model in ((first, "first"), (second, "second")):
        own = record.select([behaviour])
        (tally,) = own.tallies
        assert sum(one.rows for one in own.judgements) == tally.kept
        assert own.reasons == (Reason("errored", f"{model} timed out", 1, behaviour),)
    assert Dropped.from_json(record.to_json()) == record


def test_a_record_without_behaviours_of_scores_is_still_read(tmp_path: Path) -> None:
    record = read(two_models(tmp_path), max_dropped=0.2).dropped
    older = json.loads(record.to_json())
    for one in older["judgements"] + older["reasons"]:
        del one["behaviour"]
    again = Dropped.from_json(json.dumps(older))
    assert again.select(["leak (first)"]).judgements == again.judgements != ()


def test_what_is_printed_names_the_behaviour_that_it_is_of(tmp_path: Path) -> None:
    record = read(two_models(tmp_path), max_dropped=0.2).dropped
    out = tables.console()
    with out.capture() as captured:
        for part in tables.dropped_report(record):
            out.print(part)
    said = captured.get()
    assert "Scores of leak (second): 'I': 3, not the behaviour; 'C': 1, the" in said
    assert "1 errored of leak (first): first timed out" in said


def test_too_many_lost_are_explained_by_their_own_behaviour(tmp_path: Path) -> None:
    paths = two_models(tmp_path)
    many = [sample(f"x{n}", "I") for n in range(100)]
    log(paths[0], [*json.loads(paths[0].read_text())["samples"], *many], model="first")
    with pytest.raises(InvalidData, match="behaviour 'leak \\(second\\)'") as refusal:
        read(paths)
    assert "second timed out" in str(refusal.value)
    assert "first timed out" not in str(refusal.value)


def test_copies_and_single_trials_of_one_behaviour_are_not_hidden_by_another(
    tmp_path: Path,
) -> None:
    copies = [sample(n, "C" if n else "I", e) for n in (0, 1) for e in (1, 2)]
    mixed = [sample(n, "CI"[e % 2], e) for n in (0, 1) for e in (1, 2)]
    single = [sample(n, "I") for n in (0, 1)]
    paths = [
        log(tmp_path / f"{name}.json", samples, model=name)
        for name, samples in {
            "copies": copies,
            "mixed": mixed,
            "single": single,
        }.items()
    ]
    ones, alike = sorted(read(paths).dropped.warnings, reverse=True)
    assert "Every query of 'leak (single)' has one trial (2 queries)" in ones
    assert "All 2 queries with several trials of 'leak (copies)' show" in alike


# An id that stands twice.


def test_two_inputs_under_one_id_are_two_queries(tmp_path: Path) -> None:
    samples = [
        sample(1, "C", input="one"),
        sample(1, "I", input="another"),
        sample("1 (2)", "I", input="a third"),
        sample(1, "I", 2, input="another"),
    ]
    forms = [
        log(tmp_path / "log.json", samples),
        archive(tmp_path / "a.eval", samples, "summaries"),
        archive(tmp_path / "b.eval", samples, journal=2),
        pd.DataFrame(
            {"score_judge": list("CIII")}
            | {key: [one[key] for one in samples] for key in ("epoch", "input")}
            | {"id": [str(one["id"]) for one in samples]}
        ),
    ]
    for form in forms:
        made = read(form)
        assert counts(made) == {"1": (1, 1), "1 (2)": (0, 2), "1 (2) (2)": (0, 1)}
        assert made.dropped.tallies[0].out("duplicated") == 0
        (said,) = (one for one in made.dropped.warnings if "share an id" in one)
        assert "1 queries share an id with another input" in said


def test_an_id_of_other_input_in_another_log_is_another_query(tmp_path: Path) -> None:
    """As where a dataset was shuffled before its samples were numbered."""
    paths = [
        log(tmp_path / f"{n}.json", [sample(1, value, input=text)])
        for n, (value, text) in enumerate((("C", "one"), ("I", "two"), ("I", "one")))
    ]
    assert counts(read(paths)) == {"1": (1, 2), "1 (2)": (0, 1)}


def test_one_input_is_one_query_however_a_log_holds_it(tmp_path: Path) -> None:
    """Summaries cut long texts, and name what is no text."""
    long = "word " * 2_000
    image = {"type": "image", "image": "data:..."}
    whole = [
        sample(1, "C", input=long),
        sample(2, "C", input=[{"content": [{"text": "see"}, image]}]),
    ]
    cut = [
        sample(1, "I", input=long[:5_120] + "...\n(content truncated)"),
        sample(2, "I", input=[{"content": [{"text": "see"}, {"text": "(Image)"}]}]),
    ]
    paths = [
        log(tmp_path / "log.json", whole),
        archive(tmp_path / "log.eval", cut, "summaries"),
    ]
    assert counts(read(paths)) == {"1": (1, 2), "2": (1, 2)}


def test_the_same_row_twice_is_one_trial_and_told(tmp_path: Path) -> None:
    path = log(tmp_path / "log.json", [sample(1, "C"), sample(1, "I"), sample(2, "C")])
    made = read(path)
    assert counts(made) == {"1": (0, 1), "2": (1, 1)}
    assert made.dropped.tallies[0].out("duplicated") == 1
    assert "1 rows repeat the id, epoch and input" in " ".join(made.dropped.warnings)
    # Another attempt at a run is no repetition.
    paths = [
        log(tmp_path / f"{n}.json", [sample(1, "C"), sample(2, "C")], task_id="same")
        for n in range(2)
    ]
    assert "again" not in " ".join(read(paths).dropped.warnings)


# Retries.


def test_trials_of_later_attempts_are_told(tmp_path: Path) -> None:
    samples = [
        sample(1, "C", retries=2),
        sample(2, "I", error_retries=[{"message": "boom"}]),
        sample(3, "I", retries=0, error_retries=[]),
        sample(4, "I", error_retries=None),
    ]
    frame = pd.DataFrame(
        {"id": list("12"), "epoch": 1, "score_judge": list("CI"), "retries": [1, 1]}
    )
    for form in (
        log(tmp_path / "log.json", samples),
        archive(tmp_path / "a.eval", samples, "whole"),
        archive(tmp_path / "b.eval", samples, "summaries"),
        frame,
    ):
        made = read(form)
        assert "2 trials were repeated after a failed attempt" in " ".join(
            made.dropped.warnings
        )
        assert counts(made)["1"] == (1, 1)
    none = read(log(tmp_path / "none.json", samples[2:]))
    assert "later attempt" not in " ".join(none.dropped.warnings)


def test_a_failed_attempt_in_an_older_log_is_told_too(tmp_path: Path) -> None:
    older = log(tmp_path / "0.json", [sample(1, None, error="boom")], task_id="t")
    newer = log(tmp_path / "1.json", [sample(1, "I")], task_id="t")
    made = read([older, newer])
    assert counts(made) == {"1": (0, 1)}
    assert "1 trials were repeated after a failed attempt" in " ".join(
        made.dropped.warnings
    )


# Limits.

NOTHING: Mapping[str, Any] = {
    "output": {"model": "m", "choices": [], "completion": ""},
    "messages": [{"role": "user", "content": "ask"}],
}
BLANK: Mapping[str, Any] = {
    "output": {"choices": [{"message": {"role": "assistant", "content": " "}}]},
    "messages": [{"role": "assistant", "source": "input", "content": "as shown"}],
}
SPOKEN: Mapping[str, Any] = {
    "output": {"choices": [{"message": {"content": "Sure, he"}}], "completion": "Su"},
}
CALLED: Mapping[str, Any] = {
    "output": {"choices": []},
    "messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}],
}
LIMITED = [
    sample("none", "I", limit={"type": "token", "limit": 9}, **NOTHING),
    sample("blank", "C", limit={"type": "time", "limit": 1}, **BLANK),
    sample("spoken", "C", limit={"type": "cost", "limit": 1}, **SPOKEN),
    sample("called", "I", limit={"type": "message", "limit": 3}, **CALLED),
    *(sample(f"q{n}", "I", **SPOKEN) for n in range(3)),
]


@pytest.mark.parametrize(
    ("parts", "journal"),
    [
        ("json", 0),
        ("summaries whole", 0),
        ("summaries chunked", 0),
        ("whole", 2),
        ("chunked", 2),
        ("whole", 0),
        ("chunked", 0),
    ],
)
def test_what_a_limit_ended_before_any_response_is_no_trial(
    parts: str, journal: int, tmp_path: Path
) -> None:
    if parts == "json":
        path = log(tmp_path / "log.json", LIMITED)
    else:
        path = archive(tmp_path / "log.eval", LIMITED, *parts.split(), journal=journal)
    made = read(path, max_dropped=0.5)
    found = counts(made)
    assert (found.pop("spoken"), found.pop("called")) == ((1, 1), (0, 1))
    assert found == {"q0": (0, 1), "q1": (0, 1), "q2": (0, 1)}
    (tally,) = made.dropped.tallies
    assert dict(tally.left_out) == {"unfinished": 2}
    assert tally.cut_off == 2
    assert {one.message for one in made.dropped.reasons} == {
        "ended by a limit (token) before any response",
        "ended by a limit (time) before any response",
    }
    with pytest.raises(InvalidData, match=r"2 of 7 .* 2 unfinished"):
        read(path)


@pytest.mark.parametrize(
    ("told", "trials", "unclear"),
    [
        ({"turn_count": 0, "message_count": 2, "total_tokens": 10}, 0, False),
        ({"turn_count": 1}, 1, False),
        ({"message_count": 1, "model_usage": {"m": {"output_tokens": 9}}}, 0, False),
        ({"message_count": 3, "model_usage": {"m": {"output_tokens": 9}}}, 1, False),
        ({"message_count": 3, "model_usage": {}}, 1, True),
        ({"model_usage": {}}, 0, False),
        ({"total_tokens": 0}, 0, False),
        ({"scores": {"judge": {"value": "I", "reason": "no_response"}}}, 0, False),
        ({}, 1, True),
    ],
)
def test_without_the_samples_their_summaries_tell_of_responses(
    told: dict[str, Any], trials: int, unclear: bool, tmp_path: Path
) -> None:
    samples = [sample("q", "I", limit={"type": "token"}) | told, sample("r", "I")]
    made = read(archive(tmp_path / "a.eval", samples, "summaries"), max_dropped=1)
    assert made.dropped.tallies[0].kept == trials + 1
    assert made.dropped.tallies[0].cut_off == trials
    assert unclear == ("it is not known whether" in " ".join(made.dropped.warnings))
    columns = {
        key: json.dumps(v) if key == "model_usage" else v
        for key, v in told.items()
        if key != "scores"
    }
    if "scores" in told:
        columns["score_judge_reason"] = "no_response"
    row = {"id": "q", "epoch": 1, "limit": "token", "score_judge": "I"} | columns
    rows = pd.DataFrame([row, {"id": "r", "epoch": 1, "score_judge": "I"}])
    made = read(rows, max_dropped=1)
    assert made.dropped.tallies[0].kept == trials + 1
    assert unclear == ("it is not known whether" in " ".join(made.dropped.warnings))


# Scores of several tasks, and parts that some lack.


def tasks(folder: Path) -> list[Path]:
    return [
        log(
            folder / f"{task}.json",
            [
                sample(n, None, scores={name: {"value": v}, **more})
                for n, v in enumerate(values)
            ],
            task=task,
        )
        for task, name, values, more in (
            ("one", "match", "CI", {"style": {"value": 3}}),
            ("two", "judge", "CC", {}),
        )
    ]


@pytest.mark.parametrize(
    "scorer",
    [
        ["match", "judge"],
        ["judge", "match"],
        ["one=match", "judge"],
        ["one=match", "two=judge"],
        {"one": "match", "two": "judge"},
        {"one": "match"},
    ],
)
def test_each_task_may_have_a_scorer_of_its_own(scorer: Any, tmp_path: Path) -> None:
    made = read(tasks(tmp_path), scorer=scorer)
    assert counts(made) == {
        "one/0": (1, 1),
        "one/1": (0, 1),
        "two/0": (1, 1),
        "two/1": (1, 1),
    }
    assert "score 'match' is 'C' in task 'one'" in made.dropped.rule
    assert "score 'judge' is 'C' in task 'two'" in made.dropped.rule


def test_scorers_of_tasks_are_named_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(path) for path in tasks(tmp_path)]
    words = ["import", "inspect", *paths, "--behaviour-value", "C", "--output"]
    words += [str(tmp_path / "made.parquet")]
    assert main([*words, "--scorer", "one=match", "two=judge"]) == 0
    assert "in task 'two'" in capsys.readouterr().out.replace("\n", " ")


def test_a_refusal_says_how_each_task_gets_its_scorer(tmp_path: Path) -> None:
    one, two = tasks(tmp_path)
    with pytest.raises(InvalidInput, match=r"'match', 'style'.*--scorer match"):
        read([one, two])
    with pytest.raises(InvalidInput, match=r"task 'two' has none .*two=judge"):
        read([one, two], scorer="match")
    with pytest.raises(InvalidInput, match=r"no score 'judg' \(did you mean 'judge"):
        read([one, two], scorer=["match", "judg"])
    with pytest.raises(InvalidInput, match=r"no score 'three=judge'.*one, two"):
        read([one, two], scorer=["match", "judge", "three=judge"])
    with pytest.raises(InvalidInput, match=r"task 'owe', which.*did you mean 'one'"):
        read([one, two], scorer={"owe": "match"})
    plain = log(tmp_path / "plain.json", [sample(0, "I")], task="three")
    other = log(
        tmp_path / "other.json",
        [sample(0, None, scores={"match": {"value": "C"}})],
        task="four",
    )
    with pytest.raises(InvalidInput, match=r"--scorer \S+=\S+ \S+=\S+"):
        read([plain, other])


def test_values_of_one_task_do_not_vouch_for_those_of_another(tmp_path: Path) -> None:
    """A value that a task never has is no count of 0, though another has it."""
    paths = [
        log(tmp_path / "a.json", [sample(0, "C"), sample(1, "I")], task="a"),
        log(tmp_path / "b.json", [sample(0, "yes"), sample(1, "no")], task="b"),
    ]
    with pytest.raises(InvalidData, match=r"b\.json: score 'judge' is never 'C'"):
        read(paths)
    made = read(paths, behaviour_values=["C", "yes"])
    assert sum(hits for hits, _ in counts(made).values()) == 2


def test_a_part_that_some_scores_lack_is_unscored_or_stated(tmp_path: Path) -> None:
    path = log(
        tmp_path / "log.json",
        [sample(1, {"a": 1, "b": 1}), sample(2, {"a": 0}), sample(3, {"a": 1, "b": 0})],
    )
    wanted: dict[str, Any] = {"behaviour_values": ["1"], "score_key": "b"}
    with pytest.raises(InvalidData, match=r"lacks 'b'; --missing-value 0.*-dropped 0"):
        read(path, **wanted)
    made = read(path, max_dropped=0.5, **wanted)
    assert counts(made) == {"1": (1, 1), "3": (0, 1)}
    assert made.dropped.tallies[0].out("unscored") == 1
    made = read(path, missing_value="0", **wanted)
    assert counts(made) == {"1": (1, 1), "2": (0, 1), "3": (0, 1)}
    assert made.dropped.rule.endswith("by its part 'b' ('0' if it lacks that part)")
    with pytest.raises(InvalidInput, match=r"part 'c'.* a, b\."):
        read(path, behaviour_values=["1"], score_key="c", missing_value="0")
    with pytest.raises(InvalidInput, match="--score-key KEY"):
        read(path, behaviour_values=["1"], missing_value="0")


# Fields of the wrong kind, and half characters.


@pytest.mark.parametrize("invalidated", [False, True])
@pytest.mark.parametrize(
    ("field", "odd"),
    [
        *(("id", odd) for odd in ({"a": 1}, [1], True, 1.5, None)),
        *(("epoch", odd) for odd in ({"a": 1}, [1], True, 1.5, None, "1", 10**400)),
    ],
)
def test_an_identity_of_the_wrong_kind_is_refused(
    field: str, odd: Any, invalidated: bool, tmp_path: Path
) -> None:
    samples = [sample("q", "C") | {field: odd}]
    with zipfile.ZipFile(tmp_path / "log.eval", "w") as made:
        head = {"eval": {"task": "t", "model": "m"}, "invalidated": invalidated}
        made.writestr("header.json", json.dumps(head))
        made.writestr("summaries.json", json.dumps(samples))
        made.writestr("samples/q_epoch_1.json", json.dumps(samples[0]))
    with pytest.raises(InvalidData, match=f"has the {field} "):
        read(tmp_path / "log.eval")


def test_a_behaviour_without_a_name_is_refused(tmp_path: Path) -> None:
    path = log(tmp_path / "log.json", [sample(1, "C", metadata={"kind": " "})])
    with pytest.raises(
        InvalidData, match="an empty 'kind', so its behaviour has no name"
    ):
        read(path, behaviour="kind")
    for spec in ({"task": ""}, {"model": None}):
        with pytest.raises(InvalidData, match="a task and a model"):
            read(log(tmp_path / "log.json", [sample(1, "C")], **spec))


def test_samples_that_stand_twice_in_a_log_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    rows = json.dumps([sample(1, "C")])
    spec = '{"task": "t", "model": "m"}'
    path.write_text(f'{{"eval": {spec}, "samples": {rows}, "samples": {rows}}}')
    with pytest.raises(InvalidData, match="has the key `samples` twice"):
        read(path)


def test_half_characters_are_replaced_and_told(tmp_path: Path) -> None:
    half, other = "\ud83d", "\ud83e"
    samples = [
        sample(f"a{half}", f"C{half}", metadata={"kind": f"k{half}"}),
        sample(f"a{other}", "I", metadata={"kind": f"k{other}"}),
        sample("\ud83d\ude00", "I", metadata={"kind": "k"}),
        sample("lost", None, error=f"boom {half}", metadata={"kind": "k"}),
    ]
    path = log(tmp_path / "log.json", samples, task=f"t{half}", model=f"m{other}")
    made = read(path, behaviour_values=[f"C{half}"], family="kind", max_dropped=0.5)
    rows = {row["query_id"]: row for row in made.rows.to_pylist()}
    # Ids and families that differ in nothing else stay different.
    assert set(rows) == {"a\ufffd", "a\ufffd (2)", "\U0001f600"}
    assert rows["a\ufffd"]["successes"] == 1
    assert [row["family"] for row in rows.values()] == ["k\ufffd", "k\ufffd (2)", "k"]
    (said,) = (one for one in made.dropped.warnings if "U+FFFD" in one)
    # Two ids, two families, the behaviour and two inputs.
    assert said.startswith("7 texts had a lone surrogate")
    made.save(tmp_path / "made.parquet")
    record = (tmp_path / "made.dropped.json").read_text(encoding="utf-8")
    assert "boom \ufffd" in record
    read_again = br.read_table(tmp_path / "made.parquet")
    assert read_again.behaviours == ("t\ufffd",)
    out = tables.console()
    with out.capture() as captured:
        for part in tables.dropped_report(made.dropped):
            out.print(part)
    io.StringIO(captured.get()).read().encode()


def test_half_characters_in_a_refusal_can_be_printed(tmp_path: Path) -> None:
    half = "\ud83d"
    path = log(tmp_path / "log.json", [sample(half, f"x{half}", family={half: 1})])
    for more in (
        {"behaviour_values": []},
        {"behaviour_values": [">=1"]},
        {"scorer": f"no{half}"},
        {"family": f"f{half}"},
        {"behaviour_values": [f"never{half}"]},
    ):
        with pytest.raises((InvalidData, InvalidInput)) as refusal:
            read(path, **more)
        str(refusal.value).encode()


# Tables.


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".jsonl.gz"])
def test_half_characters_in_a_table_of_json_are_replaced_and_told(
    ending: str, tmp_path: Path
) -> None:
    rows = [
        {"query_id": name, "behaviour": "b\ud83e", "successes": 1, "trials": 4}
        for name in ("a\ud83d", "\ud83d\ude00", "a\\ud83d", "b\udc00c")
    ]
    text = json.dumps(rows)
    if ending != ".json":
        text = "\n".join(map(json.dumps, rows))
    path = tmp_path / f"table{ending}"
    content = text.encode()
    path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    with pytest.warns(UserWarning, match=r"6 lone surrogates .* were replaced"):
        evaluation = br.read_table(path)
    assert evaluation.behaviours == ("b\ufffd",)
    top = evaluation.riskiest
    assert set(top["query_id"]) == {
        "a\ufffd",
        "\U0001f600",
        "a\\ud83d",
        "b\ufffdc",
    }


def test_one_half_character_is_told_of_in_the_singular_at_the_line_that_reads(
    tmp_path: Path,
) -> None:
    path = tmp_path / "table.json"
    row = {"query_id": "a\ud83d", "behaviour": "b", "successes": 1, "trials": 4}
    path.write_text(json.dumps([row]))
    with pytest.warns(UserWarning, match="1 lone surrogate in .* was replaced") as told:
        br.read_table(path)
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    ("name", "content", "reader"),
    [
        ("log.json", {"version": 2, "eval": {}, "samples": []}, "import_inspect"),
        ("log.jsonl", {"doc_id": 0, "resps": [["a"]]}, "import_lm_eval"),
        ("log.jsonl", {"entry_type": "attempt"}, "import_garak"),
        ("log.eval", {}, "import_inspect"),
    ],
)
def test_a_log_that_is_read_as_a_table_names_its_reader(
    name: str, content: dict[str, Any], reader: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidData, match=f"bayes_rare.{reader}"):
        br.read_table(path)
    assert hasattr(br, reader)


def test_half_characters_in_a_frame_are_refused_with_what_replaces_them() -> None:
    name = pd.Series(["a\ud83d", "b"], dtype=object)
    table = pd.DataFrame({"successes": [1, 0], "trials": [3, 3]}).assign(query_id=name)
    logs = pd.DataFrame({"epoch": [1, 1], "score_m": ["C", "I"]}).assign(id=name)
    for frame, column, take in ((table, "query_id", br.read_table), (logs, "id", read)):
        with pytest.raises(InvalidData, match="'surrogatepass'") as refusal:
            take(frame)
        str(refusal.value).encode()
        # What it says to type.
        pairs = frame[column].str.encode("utf-16", "surrogatepass")
        frame[column] = pairs.str.decode("utf-16", "replace")
        take(frame)
