"""Logs of Inspect: real ones by its mock model, and what is wrong with others."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bayes_rare as br
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation.import_record import Dropped, Judgement, Reason
from bayes_rare.readers.logs.imported import ImportedTable
from bayes_rare.readers.logs.zip_stream import opened_archive

COUNTS = {"q01": (4, 4), "q02": (2, 4), "q03": (0, 4), "q04": (0, 3), "q05": (0, 3)}
TIMED_OUT = Reason("errored", "RuntimeError('provider timed out')", 1, "rare")
NO_VERDICT = Reason("unscored", "judge gave no verdict", 1, "rare")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """Real logs, in folders by what is in them."""
    folder = tmp_path_factory.mktemp("inspect")
    environment = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    answer = subprocess.run(
        [sys.executable, str(root / "tests" / "data" / "inspect_task.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
    )
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture(scope="session")
def shared_logs(root: Path) -> Path:
    folder = root.parent / "shared" / "logs"
    if not folder.is_dir():
        pytest.skip("needs logs that are not shipped")
    return folder


def leaks(logs: Any, **more: Any) -> ImportedTable:
    wanted: dict[str, Any] = {
        "scorer": "leaks",
        "behaviour_values": ["C"],
        "max_dropped": 0.1,
    }
    return br.import_inspect(logs, **wanted | more)


def counts(made: ImportedTable) -> dict[str, tuple[int, int]]:
    rows = made.rows.to_pylist()
    assert len({row["query_id"] for row in rows}) == len(rows)
    return {row["query_id"]: (row["successes"], row["trials"]) for row in rows}


def one(folder: Path, ending: str = ".eval") -> Path:
    (found,) = sorted(folder.glob(f"*{ending}"))
    return found


# Real logs.


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_trials_of_a_real_log_are_counted_exactly(kind: str, logs: Path) -> None:
    made = leaks(logs / kind)
    assert counts(made) == COUNTS
    assert made.rows["query_text"].to_pylist()[0] == "query 1"
    (tally,) = made.dropped.tallies
    assert tally.behaviour == "rare"
    assert (tally.read, tally.kept, tally.queries, tally.empty) == (20, 18, 5, 0)
    assert dict(tally.left_out) == {"errored": 1, "unscored": 1}
    assert tally.cut_off == 1
    assert made.dropped.reasons == (TIMED_OUT, NO_VERDICT)
    assert made.dropped.judgements == (
        Judgement("I", False, 12, "rare"),
        Judgement("C", True, 6, "rare"),
    )
    assert made.dropped.rule == "score 'leaks' is 'C'"
    assert made.dropped.warnings == ()


def test_a_real_log_is_packed_with_zstd(logs: Path) -> None:
    with zipfile.ZipFile(one(logs / "eval")) as archive:
        assert {info.compress_type for info in archive.infolist()} == {93}


def test_the_other_reading_counts_the_other_value(logs: Path) -> None:
    made = leaks(logs / "eval", behaviour_values=["I"])
    assert counts(made) == {
        name: (trials - hits, trials) for name, (hits, trials) in COUNTS.items()
    }


def test_without_a_value_both_readings_are_spelt_out(logs: Path) -> None:
    with pytest.raises(InvalidData) as refusal:
        leaks(logs / "eval", behaviour_values=[])
    said = str(refusal.value)
    assert one(logs / "eval").name in said
    assert "'I' (12), 'C' (6)" in said
    assert "'C' (correct) means it was shown: --behaviour-value C" in said
    assert "'I' (incorrect) means it was shown: --behaviour-value I" in said


def test_too_many_lost_are_refused_with_what_would_accept_it(logs: Path) -> None:
    with pytest.raises(InvalidData) as refusal:
        leaks(logs / "eval", max_dropped=0.05)
    said = str(refusal.value)
    assert "of 20 rows of behaviour 'rare'" in said
    assert " are lost (10 %; 1 errored, 1 unscored; kept 18)" in said
    assert "provider timed out" in said
    assert said.endswith("--max-dropped 0.1.")


def test_a_score_is_named_where_there_are_several(logs: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"'leaks', 'elicited', 'parts'.*--scorer le"
    ):
        leaks(logs / "eval", scorer=None)
    with pytest.raises(InvalidInput, match=r"no score 'leak' \(did you mean 'leaks'"):
        leaks(logs / "eval", scorer="leak")


def test_sums_of_log_probabilities_are_exact_risks(logs: Path) -> None:
    made = br.import_inspect(logs / "eval", scorer="elicited")
    rows = {row["query_id"]: row["log_risk"] for row in made.rows.to_pylist()}
    assert rows == pytest.approx(
        {"q01": -4.1, "q02": -9.7, "q03": -23.9, "q04": -6.0, "q05": -31.2}
    )
    assert made.evaluation().kind("rare") == "exact"
    assert any("lower bound" in said for said in made.dropped.warnings)
    # The NaN is of another score; the error is lost all the same.
    assert dict(made.dropped.tallies[0].left_out) == {"errored": 1}


def test_a_score_of_parts_needs_one_named_and_a_bound(logs: Path) -> None:
    wanted: dict[str, Any] = {"scorer": "parts", "behaviour_values": [">=0.5"]}
    with pytest.raises(InvalidData, match=r"'harm', 'tone': choose one, --score-key"):
        leaks(logs / "eval", **wanted)
    with pytest.raises(InvalidInput, match=r"part 'harms'.*did you mean 'harm'"):
        leaks(logs / "eval", score_key="harms", **wanted)
    made = leaks(logs / "eval", score_key="harm", **wanted)
    assert counts(made) == {
        "q01": (4, 4),
        "q02": (4, 4),
        "q03": (0, 4),
        "q04": (0, 4),
        "q05": (0, 3),
    }
    with pytest.raises(
        InvalidData, match=r"the value 0\.9, which is neither.*'>=0\.5'"
    ):
        leaks(logs / "eval", scorer="parts", behaviour_values=["1"], score_key="harm")


def test_families_and_behaviours_are_from_task_model_or_metadata(logs: Path) -> None:
    made = leaks(logs / "eval", family="group", behaviour="model")
    evaluation = made.evaluation()
    assert evaluation.behaviours == ("mockllm/model",)
    assert evaluation.families == ("bio", "cyber")
    # What was lost is told of each behaviour: q04 and q05 are those that lost.
    by_group = leaks(logs / "eval", behaviour="metadata.group", max_dropped=0.3)
    assert [(t.behaviour, t.read, t.kept) for t in by_group.dropped.tallies] == [
        ("bio", 12, 12),
        ("cyber", 8, 6),
    ]
    with pytest.raises(InvalidData, match=r"of 8 rows of behaviour 'cyber'.*25 %"):
        leaks(logs / "eval", behaviour="group")
    with pytest.raises(InvalidInput, match=r"no 'grup' .*did you mean 'group'"):
        leaks(logs / "eval", family="grup")
    with pytest.raises(InvalidInput, match="more than one value for 'nested'"):
        leaks(logs / "eval", family="nested")


def test_of_retries_the_newest_attempt_counts(logs: Path) -> None:
    older, newer = sorted((logs / "retried").glob("*.eval"))
    alone = leaks(older, max_dropped=0.5)
    assert alone.dropped.tallies[0].out("errored") == 4
    assert alone.dropped.tallies[0].empty == 1
    assert any("no usable trial" in said for said in alone.dropped.warnings)
    for given in ([older, newer], [newer, older], logs / "retried"):
        made = leaks(given)
        assert counts(made) == COUNTS | {"q05": (0, 4)}
        (tally,) = made.dropped.tallies
        assert (tally.read, tally.kept) == (40, 19)
        assert dict(tally.left_out) == {"unscored": 1, "duplicated": 20}
        assert sum(judged.rows for judged in made.dropped.judgements) == 19


def test_what_a_failed_attempt_left_open_a_retry_has_closed(
    logs: Path, tmp_path: Path
) -> None:
    older, newer = sorted((logs / "retried").glob("*.eval"))
    content = members(older)
    header = json.loads(content["header.json"]) | {"status": "error"}
    content["header.json"] = json.dumps(header).encode()
    failed = packed(tmp_path / "failed.eval", content)
    (retried,) = leaks([failed, newer]).dropped.warnings
    assert "4 trials were repeated after a failed attempt" in retried
    (said, *_) = leaks(failed, max_dropped=0.5).dropped.warnings
    assert "failed.eval (status 'error', 20 rows of 20 planned)" in said


def test_runs_that_are_no_retries_are_further_trials(logs: Path) -> None:
    made = leaks([logs / "eval", logs / "json"])
    assert counts(made) == {
        name: (2 * hits, 2 * trials) for name, (hits, trials) in COUNTS.items()
    }
    assert made.dropped.tallies[0].out("duplicated") == 0


def test_a_log_that_is_named_twice_is_read_once(logs: Path) -> None:
    path = one(logs / "eval")
    made = leaks([path, str(path), logs / "eval", f"{logs}/eval/*.eval"])
    assert made.dropped.tallies[0].read == 20


def test_runs_with_other_arguments_are_other_behaviours(logs: Path) -> None:
    made = leaks([logs / "eval", logs / "cold"])
    assert set(made.evaluation().behaviours) == {
        "rare (temperature=1.0)",
        "rare (temperature=0.0)",
    }


def test_temperature_0_is_warned_of(logs: Path) -> None:
    (said,) = leaks(logs / "cold").dropped.warnings
    assert "Sampled at temperature 0: " in said
    assert "(4 epochs). The epochs are copies" in said


def test_samples_df_gives_the_same_counts(logs: Path) -> None:
    script = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from inspect_ai.analysis import *\n"
        "frame = samples_df(sys.argv[1], quiet=True,\n"
        "    columns=EvalInfo + EvalTask + EvalModel + SampleSummary)\n"
        "frame.to_parquet(sys.argv[2])\n"
    )
    for folder in ("eval", "retried"):
        path = logs / f"{folder}.parquet"
        subprocess.run(
            [sys.executable, "-c", script, str(logs / folder), str(path)], check=True
        )
        frame = pd.read_parquet(path, dtype_backend="pyarrow")
        made = leaks(frame, family="group")
        assert counts(made) == counts(leaks(logs / folder)), folder
        assert made.evaluation().families == ("bio", "cyber")
        tally, (other,) = made.dropped.tallies[0], leaks(logs / folder).dropped.tallies
        assert (tally.kept, tally.lost) == (other.kept, other.lost)
    with pytest.raises(InvalidData, match=r"no column task_id.*EvalInfo"):
        leaks(frame.drop(columns="task_id"))
    with pytest.raises(InvalidInput, match="no column epoch"):
        leaks(frame.drop(columns="epoch"))
    with pytest.raises(InvalidInput, match="neither a path nor a frame"):
        leaks(3)


# What becomes of it.


def test_the_record_travels_to_the_evaluation_and_its_files(
    logs: Path, tmp_path: Path
) -> None:
    made = leaks(logs / "eval", family="group")
    path = tmp_path / "evaluation.parquet"
    made.save(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "evaluation.dropped.json",
        "evaluation.parquet",
    ]
    beside = json.loads((tmp_path / "evaluation.dropped.json").read_text())
    assert beside == json.loads(made.dropped.to_json())
    read = br.read_table(path)
    assert read.record == made.dropped == made.evaluation().record
    assert read.digest == made.evaluation().digest
    assert read.digest == br.read_table(made.rows.to_pandas()).digest
    again = br.Evaluation.from_dataset(read.to_dataset())
    assert again.record == made.dropped
    assert again.select(["rare"]).record == made.dropped
    pd.testing.assert_frame_equal(again.dropped, made.dropped.frame())
    assert again.dropped.loc[0, "errored"] == 1
    joined = br.Evaluation.joined([read, br.Evaluation.from_scores([0.5, 1.5])])
    assert joined.record == made.dropped
    # A table of another origin has none.
    plain = br.read_table(made.rows.to_pandas())
    assert plain.record is None
    assert plain.dropped.empty


def test_a_record_that_was_edited_is_refused(logs: Path, tmp_path: Path) -> None:
    made = leaks(logs / "eval")
    text = made.dropped.to_json().replace('"kept": 18', '"kept": 19')
    with pytest.raises(InvalidData, match=r"do not add up|cannot be read"):
        Dropped.from_json(text)
    with pytest.raises(
        InvalidInput, match=r"must end in \.parquet.* Give .*table\.parquet"
    ):
        made.save(tmp_path / "table.csv")
    assert list(tmp_path.iterdir()) == []


# Logs as other versions, crashes and accidents leave them.


def members(path: Path) -> dict[str, bytes]:
    with opened_archive(path, lambda _: True) as archive:
        return {name: b"".join(archive.chunks(name)) for name in archive.members}


def packed(
    path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in content.items():
            made.writestr(name, data)
    return path


def test_deflated_logs_are_read(logs: Path, tmp_path: Path) -> None:
    path = packed(tmp_path / "old.eval", members(one(logs / "eval")))
    assert counts(leaks(path)) == COUNTS


def test_an_unfinished_log_is_read_from_its_journal(logs: Path, tmp_path: Path) -> None:
    content = members(one(logs / "eval"))
    rows = json.loads(content["summaries.json"])
    unfinished = {
        name: data
        for name, data in content.items()
        if name not in {"header.json", "summaries.json", "_journal/summaries/1.json"}
    }
    # Ten parts, so that 10 must not come before 2; a sample that was run again is in
    # two of them, and the later counts.
    failed = next(row for row in rows if row.get("error"))
    again = failed | {"error": None, "scores": {"leaks": {"value": "C"}}}
    parts = [rows[:4], *([row] for row in rows[4:12]), [again]]
    for number, part in enumerate(parts, 1):
        if number == 2:
            part = [failed, *part]
        unfinished[f"_journal/summaries/{number}.json"] = json.dumps(part).encode()
    made = leaks(packed(tmp_path / "unfinished.eval", unfinished))
    (tally,) = made.dropped.tallies
    assert (tally.read, tally.out("duplicated"), tally.out("errored")) == (14, 1, 0)
    assert counts(made)["q05"][0] == 1
    assert "unfinished.eval (status 'started', 13 rows of 20 planned)" in " ".join(
        made.dropped.warnings
    )


def test_a_log_without_summaries_is_read_from_its_samples(
    logs: Path, tmp_path: Path
) -> None:
    content = members(one(logs / "eval"))
    kept = {
        name: data
        for name, data in content.items()
        if not (name == "summaries.json" or name.startswith("_journal/summaries"))
    }
    made = leaks(packed(tmp_path / "log.eval", kept))
    assert counts(made) == COUNTS
    assert made.dropped.tallies[0].cut_off == 1
    bare = {name: data for name, data in kept.items() if not name.startswith("samples")}
    with pytest.raises(InvalidData, match="neither summaries nor samples"):
        leaks(packed(tmp_path / "bare.eval", bare))


def test_samples_declared_invalid_are_lost(logs: Path, tmp_path: Path) -> None:
    content = members(one(logs / "eval"))
    header = json.loads(content["header.json"]) | {"invalidated": True}
    content["header.json"] = json.dumps(header).encode()
    name = "samples/q01_epoch_1.json"
    sample = json.loads(content[name]) | {"invalidation": {"author": "someone"}}
    content[name] = json.dumps(sample).encode()
    path = packed(tmp_path / "log.eval", content)
    made = leaks(path, max_dropped=0.2)
    assert counts(made)["q01"] == (3, 3)
    assert made.dropped.tallies[0].out("invalidated") == 1


def edited(path: Path, target: Path, change: Callable[[Any], Any]) -> Path:
    """A JSON log with something changed."""
    target.write_text(json.dumps(change(json.loads(path.read_text()))))
    return target


def scored(log: Any, values: list[Any]) -> Any:
    """A log with other values of its first score, in the order of its samples."""
    kept = [sample for sample in log["samples"] if sample.get("scores")]
    for number, sample in enumerate(kept):
        sample["scores"] = {"leaks": {"value": values[number % len(values)]}}
    return log


@pytest.mark.parametrize(
    ("values", "wanted", "hits"),
    [
        ([True, False], ["true"], 10),
        ([1, 0], ["1"], 10),
        ([1.0, 0.0], ["1"], 10),
        (["yes", "no"], ["yes"], 10),
        (["C", "P", "I", "N"], [">=0.5"], 10),
        (["C", "P", "I", "N"], [">0.5"], 5),
        (["C", "P"], ["C", "P"], 19),
        ([0.2, 0.7], ["<0.5"], 10),
        ([3, 9, 10], ["9", "10"], 12),
        (["I"], ["C"], 0),
        (["no"], ["yes"], 0),
        ([0], ["1"], 0),
    ],
)
def test_values_of_any_kind_are_told_apart(
    values: list[Any], wanted: list[str], hits: int, logs: Path, tmp_path: Path
) -> None:
    path = edited(
        one(logs / "json", ".json"),
        tmp_path / "log.json",
        lambda log: scored(log, values),
    )
    made = leaks(path, behaviour_values=wanted)
    assert sum(successes for successes, _ in counts(made).values()) == hits
    assert sum(trials for _, trials in counts(made).values()) == 19


@pytest.mark.parametrize(
    ("values", "wanted", "said"),
    [
        (["C", "P"], ["C"], r"the value 'P', which is neither.*--unscored-value P"),
        ([0.3, 1.0], ["1"], r"the value 0\.3, which is neither"),
        (["harmful", "fine"], ["C"], r"never 'C'.*'harmful'.*--behaviour-value fine"),
        (["fine"], ["harmful"], r"never 'harmful'. Its values are 'fine' \(19\)"),
        (["odd"], [">=0.5"], r"the value 'odd', which cannot be compared"),
        ([["C", "I"]], ["C"], "a list of 2 values: make it one value"),
        ([None], ["C"], "Nothing is left"),
        (
            [0, 5, 10],
            [],
            r"If large scores mean the behaviour: --behaviour-value '>=5'",
        ),
        (
            ["yes", "no"],
            [],
            r"For example: --behaviour-value no, or --behaviour-value ye",
        ),
    ],
)
def test_what_is_no_verdict_is_refused(
    values: list[Any], wanted: list[str], said: str, logs: Path, tmp_path: Path
) -> None:
    path = edited(
        one(logs / "json", ".json"),
        tmp_path / "log.json",
        lambda log: scored(log, values),
    )
    with pytest.raises(InvalidData, match=said) as refusal:
        leaks(path, behaviour_values=wanted)
    assert "log.json" in str(refusal.value)


def test_values_that_say_nothing_are_no_trials(logs: Path, tmp_path: Path) -> None:
    path = edited(
        one(logs / "json", ".json"),
        tmp_path / "log.json",
        lambda log: scored(log, ["C", "I", "I", "N"]),
    )
    made = leaks(path, unscored_values=["N"], max_dropped=0.5)
    assert sum(trials for _, trials in counts(made).values()) == 15
    assert made.dropped.tallies[0].out("unscored") == 4
    assert Reason("unscored", "N", 4, "rare") in made.dropped.reasons
    with pytest.raises(InvalidInput, match=r"given to both .* Give it to one"):
        leaks(path, unscored_values=["C"])
    with pytest.raises(InvalidInput, match=r"'>=half' bounds a score by 'half'"):
        leaks(path, behaviour_values=[">=half"])


def changed(**more: Any) -> Callable[[Any], Any]:
    return lambda log: log | more


def sample_changed(**more: Any) -> Callable[[Any], Any]:
    def change(log: Any) -> Any:
        log["samples"][1] |= more
        return log

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(samples=None), "has no samples"),
        (changed(samples=[]), "there are no samples in log.json"),
        (changed(eval={}), "no `eval` with a task and a model"),
        (changed(samples=[3]), "sample 1 is int, not an object"),
        (sample_changed(id=None), "sample 2 has the id None"),
        (sample_changed(epoch="one"), "sample 2 has the epoch 'one'"),
        (sample_changed(epoch=-1), "sample 2 has the epoch -1"),
        (sample_changed(scores=[1]), r"errored|unscored"),
        (lambda _: [1, 2], "is not an Inspect log"),
    ],
)
def test_what_is_no_log_is_refused_with_its_place(
    change: Callable[[Any], Any], said: str, logs: Path, tmp_path: Path
) -> None:
    source = one(logs / "json", ".json")
    path = edited(source, tmp_path / "log.json", change)
    with pytest.raises(InvalidData, match=said) as refusal:
        leaks(path)
    assert "log.json" in str(refusal.value)


def test_a_sum_of_log_probabilities_above_0_is_refused(
    logs: Path, tmp_path: Path
) -> None:
    def change(log: Any) -> Any:
        log["samples"][0]["scores"]["elicited"]["metadata"]["sum_log_probs"] = 0.5
        return log

    path = edited(one(logs / "json", ".json"), tmp_path / "log.json", change)
    with pytest.raises(InvalidData, match=r"sample 1 has sum_log_probs 0\.5"):
        br.import_inspect(path, scorer="elicited")


def test_log_probabilities_that_differ_are_averaged_and_told(
    logs: Path, tmp_path: Path
) -> None:
    def change(log: Any) -> Any:
        for sample in log["samples"]:
            if sample["id"] == "q01":
                found = sample["scores"]["elicited"]["metadata"]
                found["sum_log_probs"] = -1.0 if sample["epoch"] == 1 else -2.0
        return log

    path = edited(one(logs / "json", ".json"), tmp_path / "log.json", change)
    made = br.import_inspect(path, scorer="elicited")
    mean = (2.718281828459045**-1 + 3 * 2.718281828459045**-2) / 4
    risk = 2.718281828459045 ** made.rows["log_risk"].to_pylist()[0]
    assert risk == pytest.approx(mean)
    assert "by up to 1 for 'q01'" in " ".join(made.dropped.warnings)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"cache": {"expiry": "1W", "per_epoch": False}}, "a cache that all epochs"),
        ({"seed": 42}, "with a fixed seed, 42"),
        ({"temperature": 0}, "at temperature 0"),
        ({"temperature": 0.7, "cache": {"per_epoch": True}}, None),
    ],
)
def test_copies_of_responses_are_warned_of(
    config: dict[str, Any], said: str | None, logs: Path, tmp_path: Path
) -> None:
    def change(log: Any) -> Any:
        log["plan"]["config"] = config
        return log

    path = edited(one(logs / "json", ".json"), tmp_path / "log.json", change)
    warnings = leaks(path).dropped.warnings
    assert (
        [said for said in warnings if said] == []
        if said is None
        else (len(warnings) == 1 and said in warnings[0])
    )


def test_trials_that_look_like_copies_and_single_ones_are_warned_of(
    logs: Path, tmp_path: Path
) -> None:
    source = one(logs / "json", ".json")

    def alike(log: Any) -> Any:
        for sample in log["samples"]:
            if sample.get("scores"):
                value = "C" if sample["id"] == "q01" else "I"
                sample["scores"] = {"leaks": {"value": value}}
        return log

    def single(log: Any) -> Any:
        log["samples"] = [s for s in log["samples"] if s["epoch"] == 1]
        return log

    made = leaks(edited(source, tmp_path / "alike.json", alike))
    assert "in all of them (1) or in none (4): the trials look like copies" in " ".join(
        made.dropped.warnings
    )
    made = leaks(edited(source, tmp_path / "single.json", single))
    assert "Every query has one trial (5 queries)" in " ".join(made.dropped.warnings)
    assert "5 rows of 20 planned" in " ".join(made.dropped.warnings)


def test_damaged_logs_are_refused_with_their_place(logs: Path, tmp_path: Path) -> None:
    archive, text = one(logs / "eval"), one(logs / "json", ".json")
    path = tmp_path / "log.eval"
    path.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(InvalidData, match=r"log\.eval .*cut off"):
        leaks(path)
    content = members(archive)
    content["summaries.json"] = content["summaries.json"][:-100]
    with pytest.raises(
        InvalidData, match=r"log\.eval, member summaries\.json is not valid JS"
    ):
        leaks(packed(path, content))
    with pytest.raises(InvalidData, match=r"without header\.json or _journal/start"):
        leaks(packed(path, {"a.json": b"{}"}))
    path = tmp_path / "log.json"
    whole = text.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidData, match=r"log\.json is not valid JSON at character"):
        leaks(path)
    path.write_bytes(whole.replace(b"query 1", b"quer\xff 1"))
    with pytest.raises(InvalidData, match=r"log\.json is not UTF-8 at byte"):
        leaks(path)
    with pytest.raises(InvalidData, match="there is no file"):
        leaks(tmp_path / "missing.eval")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidData, match="has no log of Inspect"):
        leaks(tmp_path / "empty")
    with pytest.raises(InvalidInput, match="not on this machine"):
        leaks("s3://bucket/log.eval")


# Logs of other versions, where they are.


def test_the_generated_log_has_18_usable_trials_of_20(shared_logs: Path) -> None:
    made = br.import_inspect(
        shared_logs / "generated_inspect_0.3.285_epochs4.json",
        scorer="behaviour",
        behaviour_values=["C"],
        family="group",
        max_dropped=0.1,
    )
    (tally,) = made.dropped.tallies
    assert (tally.read, tally.kept) == (20, 18)
    assert dict(tally.left_out) == {"errored": 1, "unscored": 1}
    assert counts(made) == {
        "q01": (3, 4),
        "q02": (2, 4),
        "q03": (0, 4),
        "q04": (2, 3),
        "q05": (0, 3),
    }


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("hibayes_minimal_test.eval", (2, 2, 0)),
        ("inspect_log_formats.eval", (1, 1, 0)),
        ("inspect_log_read_sample.eval", (1, 1, 1)),
        ("inspect_log_streaming.eval", (4, 2, 3)),
        ("inspect_2025-05-12T20-28-13-04-00_popularity.json", (3, 3, 2)),
    ],
)
def test_logs_of_other_versions_are_read(
    name: str, found: tuple[int, int, int], shared_logs: Path
) -> None:
    made = br.import_inspect(shared_logs / name, behaviour_values=["C"])
    trials = counts(made).values()
    assert (sum(t for _, t in trials), len(trials)) == found[:2]
    assert sum(hits for hits, _ in trials) == found[2]


def test_a_log_that_was_never_scored_is_refused(shared_logs: Path) -> None:
    (path,) = shared_logs.glob("inspect_2025-02-11*.eval")
    with pytest.raises(InvalidData, match=r"no sample in .* has a score"):
        br.import_inspect(path, behaviour_values=["C"])
