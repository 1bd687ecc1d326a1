"""Sample logs of lm-eval: real ones by its dummy model, and what is no trial."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy.special import logsumexp

import bayes_rare as br
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.readers.logs.imported import ImportedTable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A folder of real logs, of five tasks."""
    made = tmp_path_factory.mktemp("lm_eval") / "run"
    answer = subprocess.run(
        [sys.executable, str(root / "tests" / "data" / "lm_eval_tasks.py"), str(made)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert answer.returncode == 0, answer.stderr
    return made / "logs"


def log(folder: Path, task: str) -> Path:
    (found,) = folder.rglob(f"samples_rare_{task}_*.jsonl")
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def edited(path: Path, target: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A log with each of its lines changed; those that become None are left out."""
    rows = [change(row) for row in lines(path)]
    text = "".join(json.dumps(row) + "\n" for row in rows if row is not None)
    target.write_text(text)
    return target


def with_(**more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda row: row | more


def counts(made: ImportedTable) -> list[tuple[int, int]]:
    rows = made.rows.to_pylist()
    assert len({row["query_id"] for row in rows}) == len(rows)
    return [(row["successes"], row["trials"]) for row in rows]


# Real logs.


def test_log_likelihoods_are_exact_risks(folder: Path) -> None:
    path = log(folder, "ll")
    made = br.import_lm_eval(path, family="group")
    said = [float(row["filtered_resps"][0][0]) for row in lines(path)]
    assert made.rows["log_risk"].to_pylist() == said
    assert made.rows["family"].to_pylist() == ["bio"] * 3 + ["cyber"] * 2
    assert made.rows["query_text"].to_pylist()[0] == "query 0"
    assert made.rows["query_id"].to_pylist() == [r["doc_hash"] for r in lines(path)]
    evaluation = made.evaluation()
    assert evaluation.behaviours == ("rare_ll",)
    assert evaluation.kind("rare_ll") == "exact"
    (tally,) = made.dropped.tallies
    assert (tally.read, tally.kept, tally.left_out) == (5, 5, ())
    assert "lower bound" in made.dropped.warnings[0]


def test_a_choice_is_its_share_of_all_choices(folder: Path) -> None:
    path = log(folder, "mc")
    yes = br.import_lm_eval(path, choice="yes").rows["log_risk"].to_pylist()
    no = br.import_lm_eval(path, choice="no").rows["log_risk"].to_pylist()
    for row, first, second in zip(lines(path), yes, no, strict=True):
        known = [float(one[0]) for one in row["filtered_resps"]]
        assert first == pytest.approx(known[0] - logsumexp(known), abs=1e-12)
        assert math.exp(first) + math.exp(second) == pytest.approx(1)
    with pytest.raises(
        InvalidInput, match=r"'yes', 'no': --choice 'yes'.*is not a trial"
    ):
        br.import_lm_eval(path)
    with pytest.raises(InvalidInput, match=r"line 1 has no choice 'nope'.*'yes', 'no'"):
        br.import_lm_eval(path, choice="nope")


def test_repeats_are_trials_under_an_expression(folder: Path) -> None:
    path = log(folder, "gen")
    made = br.import_lm_eval(path, success="^lol$")
    assert counts(made) == [(3, 3)] * 5
    (tally,) = made.dropped.tallies
    # Each document is there once for each of two filters.
    assert (tally.read, tally.kept, tally.out("other filter")) == (30, 15, 15)
    assert counts(br.import_lm_eval(path, success="(?:harm)")) == [(0, 3)] * 5
    named = br.import_lm_eval(path, success="^lol$", filter="maj@3")
    assert counts(named) == [(3, 3)] * 5
    with pytest.raises(InvalidInput, match=r"no line of the filter 'maj' ?\(did you"):
        br.import_lm_eval(path, success="^lol$", filter="maj")


def test_a_metric_that_scores_the_filtered_response_is_no_count(folder: Path) -> None:
    path = log(folder, "gen")
    for chosen in (None, "maj@3"):
        with pytest.raises(InvalidData, match=r"3 repeats and one value of 'exact_mat"):
            br.import_lm_eval(path, success="exact_match", filter=chosen)


def test_a_filter_is_named_where_there_are_several(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "samples_a_2026-01-01T00-00-00.jsonl"
    text = log(folder, "ll").read_text()
    path.write_text(text + text.replace('"filter": "none"', '"filter": "other"'))
    with pytest.raises(InvalidInput, match=r"line 6 is of the filter 'other', and ear"):
        br.import_lm_eval(path)
    made = br.import_lm_eval(path, filter="other")
    assert made.dropped.tallies[0].out("other filter") == 5
    assert made.rows.num_rows == 5


def test_a_metric_of_single_responses_is_a_trial(folder: Path) -> None:
    path = log(folder, "once")
    made = br.import_lm_eval(path, success="exact_match")
    assert counts(made) == [(1, 1)] * 5
    assert "Every query has one trial" in made.dropped.warnings[0]
    assert counts(br.import_lm_eval(path, success="exact_match=0")) == [(0, 1)] * 5


def test_a_metric_may_score_each_repeat(folder: Path, tmp_path: Path) -> None:
    path = edited(
        log(folder, "gen"),
        tmp_path / "samples_a_2026-01-01T00-00-00.jsonl",
        with_(exact_match=[1, 0, 1.0]),
    )
    made = br.import_lm_eval(path, success="exact_match", filter="maj@3")
    assert counts(made) == [(2, 3)] * 5


def test_greedy_repeats_are_copies_and_refused(folder: Path, tmp_path: Path) -> None:
    path = log(folder, "greedy")
    with pytest.raises(InvalidData, match=r"3 repeats that were generated greedily"):
        br.import_lm_eval(path, success="lol")
    once = edited(
        path,
        tmp_path / "samples_a_2026-01-01T00-00-00.jsonl",
        with_(resps=[["lol"]]),
    )
    made = br.import_lm_eval(once, success="lol")
    assert counts(made) == [(1, 1)] * 5
    assert "Generated greedily" in made.dropped.warnings[0]

    def unsaid(row: dict[str, Any]) -> dict[str, Any]:
        row["arguments"]["gen_args_0"]["arg_1"] = {"until": ["\n"]}
        return row

    unsaid_path = edited(path, tmp_path / "samples_b_2026-01-01T00-00-00.jsonl", unsaid)
    with pytest.raises(InvalidData, match="generated greedily"):
        br.import_lm_eval(unsaid_path, success="lol")


def test_nothing_says_what_the_behaviour_is(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"Give --success .*: exact_match\."):
        br.import_lm_eval(log(folder, "gen"))
    with pytest.raises(InvalidInput, match=r"neither a metric .* nor a regular expr"):
        br.import_lm_eval(log(folder, "gen"), success="[")
    with pytest.raises(
        InvalidInput, match=r"is not a metric .*did you mean 'exact_match'"
    ):
        br.import_lm_eval(log(folder, "gen"), success="exact_mtch")


def test_results_name_their_samples_and_folders_hold_them(folder: Path) -> None:
    (results,) = folder.rglob("results_*.json")
    # The first line of the first task refuses: all of them were found.
    for given in (results, folder, f"{folder}/*/*.jsonl"):
        with pytest.raises(InvalidInput, match=r"samples_rare_gen_.*Give --success"):
            br.import_lm_eval(given)
    two = [log(folder, "ll"), log(folder, "gen")]
    with pytest.raises(InvalidInput, match="probabilities and counts cannot be in"):
        br.import_lm_eval(two, success="lol")
    both = br.import_lm_eval([log(folder, "ll"), log(folder, "mc")], choice="yes")
    assert both.evaluation().behaviours == ("rare_ll", "rare_mc")
    assert both.rows.num_rows == 10
    assert all("/" in name for name in both.rows["query_id"].to_pylist())


def test_results_without_samples_are_refused(folder: Path, tmp_path: Path) -> None:
    (results,) = folder.rglob("results_*.json")
    copy = tmp_path / results.name
    copy.write_bytes(results.read_bytes())
    with pytest.raises(InvalidData, match=r"has no samples_\*.* --log_samples"):
        br.import_lm_eval(copy)


# Lines that are there twice, and logs of several runs.


def test_lines_that_are_repeated_count_once(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "samples_a_2026-01-01T00-00-00.jsonl"
    text = log(folder, "gen").read_text()
    path.write_text(text + text)
    made = br.import_lm_eval(path, success="lol", filter="maj@3")
    assert counts(made) == [(3, 3)] * 5
    (tally,) = made.dropped.tallies
    assert dict(tally.left_out) == {"duplicated": 15, "other filter": 30}


def test_of_several_runs_the_newest_counts(folder: Path, tmp_path: Path) -> None:
    source = log(folder, "gen")
    old = tmp_path / "samples_a_2026-01-01T00-00-00.jsonl"
    new = tmp_path / "samples_a_2026-02-01T00-00-00.jsonl"
    edited(source, old, with_(resps=[["lol"] * 4]))
    edited(source, new, with_(resps=[["no"] * 2]))
    for given in ([old, new], [new, old]):
        made = br.import_lm_eval(given, success="lol", filter="maj@3")
        assert counts(made) == [(0, 2)] * 5
        assert made.dropped.tallies[0].out("duplicated") == 20


def test_equal_documents_are_queries_of_their_own(folder: Path, tmp_path: Path) -> None:
    path = edited(
        log(folder, "ll"),
        tmp_path / "samples_a_2026-01-01T00-00-00.jsonl",
        with_(doc_hash="same"),
    )
    made = br.import_lm_eval(path)
    names = made.rows["query_id"].to_pylist()
    assert names == ["same", "same#1", "same#2", "same#3", "same#4"]


def test_mutual_information_asks_each_choice_twice(
    folder: Path, tmp_path: Path
) -> None:
    def twice(row: dict[str, Any]) -> dict[str, Any]:
        first = list(row["arguments"].values())
        second = [one | {"arg_0": ""} for one in first]
        row["arguments"] = {f"gen_args_{i}": a for i, a in enumerate(first + second)}
        row["filtered_resps"] += [["-9.0", "False"], ["-1.0", "False"]]
        return row

    source = log(folder, "mc")
    path = edited(source, tmp_path / "samples_a_2026-01-01T00-00-00.jsonl", twice)
    assert (
        br.import_lm_eval(path, choice="no")
        .rows.column("log_risk")
        .equals(br.import_lm_eval(source, choice="no").rows.column("log_risk"))
    )


# What versions before 0.4.7 leave out, and documents that move.


def generated(number: int, *texts: Any, **more: Any) -> dict[str, Any]:
    """A line of generated responses as lm-eval 0.4.8 writes it."""
    settings = {"until": ["Q:"], "do_sample": True, "temperature": 0.7}
    return {
        "doc_id": number,
        "doc": {"question": f"made {number}"},
        "target": "7",
        "arguments": {"gen_args_0": {"arg_0": f"made {number}", "arg_1": settings}},
        "resps": [list(texts)],
        "filtered_resps": [texts[0]],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": f"h{number}",
        "prompt_hash": f"p{number}",
        "target_hash": "t",
        "exact_match": 0.0,
    } | more


def older(row: dict[str, Any]) -> dict[str, Any]:
    """The same line as a version before 0.4.7 writes it."""
    return {key: row[key] for key in row if key not in {"filter", "metrics"}}


def written(folder: Path, *rows: dict[str, Any], day: int = 1) -> Path:
    path = folder / f"samples_a_2026-01-{day:02}T00-00-00.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(made: ImportedTable, words: str) -> bool:
    return any(words in one for one in made.dropped.warnings)


@pytest.mark.parametrize("change", [older, dict])
@pytest.mark.parametrize(
    ("yes", "no"), [(1.0, 0.0), (1, 0), (True, False), ("True", "False"), ([1], [0])]
)
def test_a_metric_is_known_by_its_name_in_every_version(
    yes: Any, no: Any, change: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    values = [yes, yes, no, yes]
    rows = [generated(n, "it is 7", exact_match=v) for n, v in enumerate(values)]
    path = written(tmp_path, *map(change, rows))
    for success, hits in (("exact_match", 1), ("exact_match=0", 0)):
        made = br.import_lm_eval(path, success=success)
        assert counts(made) == [(hits, 1), (hits, 1), (1 - hits, 1), (hits, 1)]
        assert made.dropped.rule == f"metric {success!r}"
    with pytest.raises(InvalidInput, match=r"Give --success .*: exact_match\."):
        br.import_lm_eval(path)


def test_a_metric_that_says_nothing_is_unscored(tmp_path: Path) -> None:
    values = [1.0, None, math.nan, 0.0]
    rows = [generated(n, "x", exact_match=v) for n, v in enumerate(values)]
    path = written(tmp_path, *rows)
    made = br.import_lm_eval(path, success="exact_match", max_dropped=0.5)
    assert counts(made) == [(1, 1), (0, 1)]
    assert made.dropped.tallies[0].left_out == (("unscored", 2),)
    rows[0].pop("exact_match")
    written(tmp_path, *rows)
    with pytest.raises(InvalidData, match="names the metric 'exact_match' but has no"):
        br.import_lm_eval(path, success="exact_match")


@pytest.mark.parametrize("value", [[-23.4, 5], [0.0, 1.0], {"a": 1}, "high", 10**400])
def test_a_metric_of_another_kind_is_no_outcome(value: Any, tmp_path: Path) -> None:
    path = written(tmp_path, older(generated(0, "x", bits=value)))
    with pytest.raises(InvalidData, match=r"neither 0 nor 1|2 values of 'bits'"):
        br.import_lm_eval(path, success="bits")


def test_a_metric_of_some_logs_only_is_refused_whatever_their_order(
    tmp_path: Path,
) -> None:
    rows = [generated(0, "refused", refused=1), generated(1, "refused")]
    rows[0]["metrics"] = ["refused"]
    for order in (rows, rows[::-1]):
        path = written(tmp_path, *order)
        with pytest.raises(
            InvalidInput, match=r"has the metric 'refused', but .* does not"
        ):
            br.import_lm_eval(path, success="refused")


def test_filters_that_a_log_does_not_name_are_told_apart(tmp_path: Path) -> None:
    strict, loose = [1, 0, 0, 1], [1, 1, 0, 1]
    rows = [
        older(generated(n, "so it is 7", exact_match=v))
        for values in (strict, loose)
        for n, v in enumerate(values)
    ]
    path = written(tmp_path, *rows)
    with pytest.raises(
        InvalidInput, match=r"line 6 has document 1 again.*--filter 1, or --filter 2\."
    ):
        br.import_lm_eval(path, success="exact_match")
    for name, values in (("1", strict), ("2", loose)):
        made = br.import_lm_eval(path, success="exact_match", filter=name)
        assert counts(made) == [(value, 1) for value in values]
        assert made.dropped.tallies[0].left_out == (("other filter", 4),)
    with pytest.raises(InvalidInput, match=r"no line of the filter '3'.* 1, 2, numb"):
        br.import_lm_eval(path, success="exact_match", filter="3")
    # Responses are the same whatever the filter makes of them.
    made = br.import_lm_eval(path, success="7")
    assert counts(made) == [(1, 1)] * 4
    assert made.dropped.tallies[0].read == 8
    # The results beside it name the filters.
    names = [{"name": "strict"}, {"name": "loose"}]
    results = path.with_name("results_2026-01-01T00-00-00.json")
    results.write_text(json.dumps({"configs": {"a": {"filter_list": names}}}))
    made = br.import_lm_eval(path, success="exact_match", filter="loose")
    assert counts(made) == [(value, 1) for value in loose]
    with pytest.raises(InvalidInput, match="is of the filter 'loose', and earlier"):
        br.import_lm_eval(path, success="exact_match")


def test_unnamed_filters_of_log_likelihoods_are_told_apart(tmp_path: Path) -> None:
    arguments = {"gen_args_0": {"arg_0": "Hi", "arg_1": " you"}}
    row = older(generated(0, ["-2.5", "False"], arguments=arguments))
    path = written(tmp_path, row, row)
    assert br.import_lm_eval(path).rows["log_risk"].to_pylist() == [-2.5]
    path = written(tmp_path, row, row | {"filtered_resps": [["-1.5", "False"]]})
    with pytest.raises(InvalidInput, match="--filter 1, or --filter 2"):
        br.import_lm_eval(path)
    made = br.import_lm_eval(path, filter="2")
    assert made.rows["log_risk"].to_pylist() == [-1.5]


def test_a_document_is_the_same_wherever_it_stands(tmp_path: Path) -> None:
    first = [generated(0, "a"), generated(1, "a")]
    moved = [generated(1, "b") | {"doc_id": 0}, generated(0, "b") | {"doc_id": 1}]
    paths = [written(tmp_path, *first, day=1), written(tmp_path, *moved, day=2)]
    for given in (paths, paths[::-1]):
        made = br.import_lm_eval(given, success="b")
        assert counts(made) == [(1, 1), (1, 1)]
        assert made.rows["query_id"].to_pylist() == ["h0", "h1"]
        assert made.dropped.tallies[0].left_out == (("duplicated", 2),)
    # Others stand there: they are queries of their own.
    written(tmp_path, generated(5, "b") | {"doc_id": 0}, day=2)
    assert counts(br.import_lm_eval(paths, success="a")) == [(1, 1), (1, 1), (0, 1)]


def test_a_document_without_a_hash_goes_by_its_content(folder: Path) -> None:
    real = log(folder, "once")
    bare = real.with_name("samples_rare_once_2020-01-01T00-00-00.jsonl")
    edited(real, bare, lambda row: {k: row[k] for k in row if k != "doc_hash"})
    try:
        made = br.import_lm_eval([real, bare], success="lol")
    finally:
        bare.unlink()
    assert counts(made) == [(1, 1)] * 5
    assert made.dropped.tallies[0].out("duplicated") == 5


def test_another_prompt_of_a_document_takes_the_place_of_the_older(
    tmp_path: Path,
) -> None:
    old = written(tmp_path, generated(0, "sure, here"), day=1)
    settings = {"do_sample": True}
    arguments = {"gen_args_0": {"arg_0": "an example, made 0", "arg_1": settings}}
    new = written(tmp_path, generated(0, "no", arguments=arguments), day=2)
    made = br.import_lm_eval([old, new], success="sure")
    assert counts(made) == [(0, 1)]
    assert made.dropped.tallies[0].left_out == (("duplicated", 1),)
    assert said(made, "such as 'h0': only the newest counts")
    assert not said(made, "added up")
    # Prompts may differ where the text that is kept of them does not.
    for day, front in ((1, "an example"), (2, "another")):
        arguments["gen_args_0"]["arg_0"] = front + "x" * 2_000
        written(tmp_path, generated(0, "sure", arguments=arguments), day=day)
    made = br.import_lm_eval([old, new], success="sure")
    assert said(made, "such as 'h0': only the newest counts")


# Responses that are none, and expressions that match none.


def test_a_response_that_is_not_there_is_errored(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        generated(0, "sure, here", None, ""),
        generated(1, None, None, None),
        generated(2, "", " ", "None"),
        generated(3, "no", "no", "no"),
    )
    with pytest.raises(
        InvalidData, match=r"4 of 12 .* lost .*there is no response \(4\)"
    ):
        br.import_lm_eval(path, success="sure")
    made = br.import_lm_eval(path, success="sure", max_dropped=0.5)
    assert counts(made) == [(1, 2), (0, 3), (0, 3)]
    (tally,) = made.dropped.tallies
    assert (tally.read, tally.kept, tally.out("errored")) == (12, 8, 4)
    assert said(made, "3 of 8 responses are empty")
    assert said(made, "1 of 8 responses are the word 'None'")
    path = written(tmp_path, generated(0, None), generated(1, "x", exact_match=1.0))
    made = br.import_lm_eval(path, success="exact_match", max_dropped=0.5)
    assert counts(made) == [(1, 1)]


def test_a_word_that_is_in_no_response_is_no_silent_zero(tmp_path: Path) -> None:
    path = written(tmp_path, generated(0, "a", "b"), generated(1, "c", "d"))
    for word in ("sure", "pass@1", "acc,none", "refused=1", "accuracy"):
        with pytest.raises(
            InvalidInput, match=r"none of 4 responses .*: exact_match.*'\(\?:"
        ):
            br.import_lm_eval(path, success=word)
    made = br.import_lm_eval(path, success="(?:sure)")
    assert counts(made) == [(0, 2), (0, 2)]
    assert said(made, "None of 4 responses matches '(?:sure)'")
    assert not said(br.import_lm_eval(path, success="a"), "responses matches")


# What is no measurement.


def test_a_log_probability_that_is_no_number_is_lost(
    folder: Path, tmp_path: Path
) -> None:
    def change(row: dict[str, Any]) -> dict[str, Any]:
        if row["doc_id"] == 0:
            row["filtered_resps"] = [["nan", "False"]]
        if row["doc_id"] == 1:
            row["filtered_resps"] = [["-inf", "False"]]
        if row["doc_id"] in {2, 3}:
            row["filtered_resps"] = [[[None, "None"][row["doc_id"] - 2], "False"]]
        return row

    source = log(folder, "ll")
    path = edited(source, tmp_path / "samples_a_2026-01-01T00-00-00.jsonl", change)
    with pytest.raises(InvalidData, match=r"3 of 5 .* lost \(60 %; 3 unscored"):
        br.import_lm_eval(path)
    made = br.import_lm_eval(path, max_dropped=0.6)
    assert made.rows["log_risk"].to_pylist()[0] == -math.inf
    assert "3 queries have no usable trial" in " ".join(made.dropped.warnings)


@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        ("ll", {"filtered_resps": [["0.5", "F"]]}, "log-probability 0.5, but the log"),
        ("ll", {"filtered_resps": [["oops", "F"]]}, "not pairs of a log-probability"),
        ("ll", {"filtered_resps": ["-1"]}, "not pairs of a log-probability"),
        ("ll", {"arguments": {"gen_args_0": {"arg_0": "a"}}}, "loglikelihood_rolling"),
        ("ll", {"doc_id": None}, "doc_id None"),
        ("mc", {"filtered_resps": [["-1", "F"]]}, "2 choices and 1 log-prob"),
        ("gen", {"resps": [["a"], ["b"]]}, "not the repeated responses to one request"),
    ],
)
def test_what_is_no_measurement_is_refused_with_its_line(
    task: str, change: dict[str, Any], said: str, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "samples_a_2026-01-01T00-00-00.jsonl"
    edited(log(folder, task), path, with_(**change))
    with pytest.raises(InvalidData, match=said) as refusal:
        br.import_lm_eval(path, success="lol", choice="yes")
    assert f"{path}, line 1" in str(refusal.value)


def test_a_metric_between_0_and_1_is_no_outcome(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "samples_a_2026-01-01T00-00-00.jsonl"
    edited(log(folder, "once"), path, with_(exact_match=0.3))
    with pytest.raises(InvalidData, match=r"0\.3 of 'exact_match', neither 0 nor 1"):
        br.import_lm_eval(path, success="exact_match")


def test_what_is_no_sample_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples_a_2026-01-01T00-00-00.jsonl"
    path.write_text("[1]\n")
    with pytest.raises(InvalidData, match="line 1 has no `resps`"):
        br.import_lm_eval(path)
    path.write_text("")
    with pytest.raises(InvalidData, match="there are no measurements"):
        br.import_lm_eval(path)
    with pytest.raises(InvalidInput, match="no log is named"):
        br.import_lm_eval([])


# Logs that others made, where they are.


def test_logs_of_others_are_read(root: Path) -> None:
    shared = root.parent / "shared" / "logs"
    if not shared.is_dir():
        pytest.skip("needs logs that are not shipped")
    (path,) = shared.glob("lmeval_samples_math*.jsonl")
    made = br.import_lm_eval(path, success="exact_match=0")
    assert made.dropped.tallies[0].behaviour == "math_perturbed_full"
    assert counts(made) == [(1 - row["exact_match"], 1) for row in lines(path)]
    (path,) = shared.glob("generated_lmeval_*_samples_rare_ll_*.jsonl")
    made = br.import_lm_eval(path, family="group")
    assert made.rows["log_risk"].to_pylist()[0] == -0.898173121357879
    (path,) = shared.glob("generated_lmeval_*_samples_rare_gen_*.jsonl")
    assert counts(br.import_lm_eval(path, success="lol")) == [(3, 3)] * 5
