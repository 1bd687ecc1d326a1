"""Learnt weights: against integrals and a grid, on the unseen, and in use."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_rare as br
from bayes_rare import catalog
from bayes_rare.backtesting import PREDICTIVE, mixture_parts, stack
from bayes_rare.backtesting.learn_stack import stacked
from bayes_rare.backtesting.proper_scores import worst_score_crps
from bayes_rare.backtesting.verdicts import notes_on_origin
from bayes_rare.catalog import Source
from bayes_rare.cli import main
from bayes_rare.errors import InvalidData, InvalidInput, NoSuchModel, NotApplicable
from bayes_rare.inference.stack import Stack, StackMember, load_stack
from bayes_rare.methods import StackMethod, method
from bayes_rare.methods import methods as method_tuple
from bayes_rare.scores import risk_from_score, score_from_risk

LEVELS = (np.arange(99) + 0.5) / 99
MODELS = ("gpd_tail", "log_normal")


def splits(
    centres: dict[str, np.ndarray], truth: np.ndarray, behaviours: int, size: int = 300
) -> br.Backtest:
    """A backtest of normal forecasts: by method, the centre of each split."""
    rows: list[dict[str, Any]] = []
    for name, centre in centres.items():
        for number, (mean, worst) in enumerate(zip(centre, truth, strict=True)):
            rows.append(
                {
                    "method": name,
                    "behaviour": f"b{number % behaviours}",
                    "repeat": number // behaviours,
                    "target": "worst_query_risk",
                    "evaluation_size": size,
                    "deployment_size": 30_000,
                    "status": "forecast",
                    "truth": float(risk_from_score(worst)),
                    "crps": 0.1,
                    PREDICTIVE: stats.norm.ppf(LEVELS, mean, 0.3),
                }
            )
    methods = [
        {"name": name, "model": name, "digest": "0", "settings": {}} for name in centres
    ]
    return br.Backtest(pd.DataFrame(rows), {"methods": methods})


def test_the_parts_make_the_crps_of_the_mixture(rng: np.random.Generator) -> None:
    """By the integral of the squared distance of distribution functions."""
    draws = [rng.normal(0, 1, 7), rng.normal(1, 2, 7), rng.normal(-1, 0.5, 3)]
    weight, truth = np.array([0.5, 0.3, 0.2]), 0.7
    errors, spreads = mixture_parts([draws], np.array([truth]))
    quick = (errors @ weight - weight @ spreads[0] @ weight / 2)[0]
    places = np.sort(np.concatenate([*draws, [truth]]))
    middle = (places[1:] + places[:-1]) / 2
    level = sum(
        w * (x[:, None] <= middle).mean(axis=0)
        for w, x in zip(weight, draws, strict=True)
    )
    slow = (((level - (middle >= truth)) ** 2) * np.diff(places)).sum()
    assert quick == pytest.approx(slow, rel=1e-12)


def test_the_weights_are_those_of_the_least_loss(rng: np.random.Generator) -> None:
    draws = [
        [rng.normal(c, 0.5, 20) for c in (0.0, 0.4, 2.0)] for _ in range(30)
    ]  # the third is far off, so it should have next to no weight
    errors, spreads = mixture_parts(draws, rng.normal(0.2, 1.0, 30))
    learnt = stacked(errors, spreads)
    grid = np.linspace(0, 1, 101)
    every = np.array([[a, b, 1 - a - b] for a in grid for b in grid if a + b <= 1])
    error, spread = errors.mean(axis=0), spreads.mean(axis=0)
    loss = every @ error - np.einsum("wk,kl,wl->w", every, spread, every) / 2
    assert learnt.sum() == pytest.approx(1)
    assert (learnt >= 0).all()
    mine = learnt @ error - learnt @ spread @ learnt / 2
    assert mine <= loss.min() + 1e-9
    np.testing.assert_allclose(learnt, every[loss.argmin()], atol=0.02)


def test_a_forecaster_who_knows_gets_all_the_weight(rng: np.random.Generator) -> None:
    truth = rng.normal(0, 1, 60)
    learnt = stack(
        splits({"knows": truth, "guesses": np.zeros(60), "off": truth + 2}, truth, 6)
    )
    assert learnt.weights[300]["knows"] > 0.95
    held_out = learnt.held_out[300]
    assert held_out["stack"] == pytest.approx(held_out["knows"], rel=0.05)
    assert held_out["best elsewhere"] == pytest.approx(held_out["knows"])
    assert held_out["stack"] < held_out["equal weights"]


def test_each_behaviour_is_judged_by_weights_of_the_others() -> None:
    """What is right on two behaviours is wrong on the third, which pays for it."""
    truth = np.tile([0.0, 0.0, 3.0], 4)
    backtest = splits({"low": np.zeros(12), "high": np.full(12, 3.0)}, truth, 3)
    learnt = stack(backtest)
    low, high = (stats.norm.ppf(LEVELS, c, 0.3) for c in (0.0, 3.0))
    own: list[float] = []
    for left_out, y in enumerate((0.0, 0.0, 3.0)):
        others = [t for k, t in enumerate((0.0, 0.0, 3.0)) if k != left_out]
        weight = stacked(*mixture_parts([[low, high]] * len(others), np.array(others)))
        errors, spreads = mixture_parts([[low, high]], np.array([y]))
        own.append(float((errors @ weight - weight @ spreads[0] @ weight / 2)[0]))
    assert learnt.held_out[300]["stack"] == pytest.approx(np.mean(own), rel=1e-3)
    assert learnt.held_out[300]["stack"] > learnt.in_sample[300]
    assert "no better" in learnt.notes[0]


def test_sizes_have_weights_of_their_own(rng: np.random.Generator) -> None:
    truth = rng.normal(0, 1, 20)
    few = splits({"a": truth, "b": truth + 2}, truth, 4, size=100)
    many = splits({"a": truth + 2, "b": truth}, truth, 4, size=1000)
    learnt = stack(br.Backtest(pd.concat([few.table, many.table]), few.origin))
    assert learnt.weights[100]["a"] > 0.95
    assert learnt.weights[1000]["b"] > 0.95
    assert [learnt.nearest(m) for m in (1, 300, 400, 10**6)] == [100, 100, 1000, 1000]


def test_one_behaviour_is_judged_by_its_splits(rng: np.random.Generator) -> None:
    truth = rng.normal(0, 1, 10)
    learnt = stack(splits({"a": truth, "b": truth + 1}, truth, 1))
    assert any("all splits are of one behaviour" in note for note in learnt.notes)


def test_what_was_substituted_is_counted() -> None:
    backtest = splits({"a": np.zeros(6), "b": np.ones(6)}, np.zeros(6), 3)
    table = backtest.table.copy()
    table.loc[[0, 7], "status"] = ["refused", "unconverged"]
    [note] = [
        n for n in stack(br.Backtest(table, backtest.origin)).notes if "of 12" in n
    ]
    assert note.startswith("300 queries: 2 of 12 forecasts were refused")


def test_what_cannot_be_weighed_is_refused() -> None:
    backtest = splits({"a": np.zeros(6), "b": np.ones(6)}, np.zeros(6), 3)
    with pytest.raises(InvalidInput, match="'gumbel_ols' is no model of this backtest"):
        stack(backtest, ["a", "gumbel_ols"])
    with pytest.raises(InvalidInput, match="two models or more, and here is a"):
        stack(backtest, ["a"])
    no_models = br.Backtest(backtest.table, {"methods": [{"name": "a"}]})
    with pytest.raises(InvalidInput, match="has no models"):
        stack(no_models)
    with pytest.raises(InvalidData, match="did not"):
        stack(br.Backtest(backtest.table[1:], backtest.origin))
    emptied = backtest.table.assign(**{PREDICTIVE: None})
    with pytest.raises(InvalidData, match="no predictive distribution of a for 'b0'"):
        stack(br.Backtest(emptied, backtest.origin))
    first = backtest.table[backtest.table["behaviour"].eq("b0")]
    first = first[first["repeat"].eq(0)]
    with pytest.raises(InvalidData, match="only one split"):
        stack(br.Backtest(first, backtest.origin))
    older = br.Backtest(backtest.table.drop(columns=PREDICTIVE), backtest.origin)
    with pytest.raises(InvalidData, match="earlier version"):
        stack(older)
    taken = splits({"stack": np.zeros(6), "b": np.ones(6)}, np.zeros(6), 3)
    with pytest.raises(InvalidInput, match="called 'stack'"):
        stack(taken)


def test_who_never_forecast_has_no_weight() -> None:
    """However well what stood in for it did."""
    backtest = splits({"a": np.zeros(6), "b": np.ones(6)}, np.zeros(6), 3)
    table = backtest.table.copy()
    table.loc[table["method"] == "a", "status"] = "refused"
    learnt = stack(br.Backtest(table, backtest.origin))
    assert learnt.weights[300] == {"a": 0.0, "b": 1.0}
    assert "a" not in learnt.held_out[300]
    assert any("a has no weight" in note for note in learnt.notes)
    with pytest.raises(InvalidData, match="no model forecast from 300 queries"):
        stack(br.Backtest(table.assign(status="refused"), backtest.origin))


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {300: {"a": 1.0}},
        {300: {"a": 0.5, "b": 0.5, "c": 0.0}},
        {300: {"a": -0.5, "b": 1.5}},
        {300: {"a": float("nan"), "b": 1.0}},
        {300: {"a": 0.5, "b": 0.6}},
        {0: {"a": 0.5, "b": 0.5}},
    ],
)
def test_weights_that_are_none_are_refused(
    weights: dict[int, dict[str, float]], tmp_path: Path
) -> None:
    members = tuple(StackMember(label, "gpd_tail", "0") for label in "ab")
    with pytest.raises(InvalidData, match="bayes-rare stack"):
        Stack(members, weights, {}, {})
    sound = Stack(members, {300: {"a": 0.5, "b": 0.5}}, {}, {})
    path = tmp_path / "stack.json"
    path.write_text(json.dumps({**sound.json(), "weights": weights}), "utf-8")
    with pytest.raises(InvalidData, match=r"stack\.json"):
        load_stack(path)


def test_a_stack_on_the_queries_that_taught_it_is_told_of() -> None:
    backtest = splits({"a": np.zeros(6), "b": np.ones(6)}, np.zeros(6), 3)
    learnt = stack(br.Backtest(backtest.table, {**backtest.origin, "data": "1f"}))
    assert learnt.learnt_on == "1f"
    methods = [method(learnt).identity]
    assert any(
        "flatter" in n for n in notes_on_origin({"data": "1f", "methods": methods})
    )
    assert not any(
        "flatter" in n for n in notes_on_origin({"data": "2e", "methods": methods})
    )


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    member = StackMember("gpd_tail:shape_sd=inf", "gpd_tail", "1f", {"shape_sd": "inf"})
    one = Stack(
        (member,),
        {300: {member.label: 1.0}},
        {300: {"stack": 0.1}},
        {300: 0.09},
        ("n",),
    )
    assert load_stack(one.save(tmp_path / "stack.json")) == one


def test_what_is_no_stack_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    with pytest.raises(InvalidData, match="there is no file"):
        load_stack(path)
    for text, reason in (
        ("{", "cannot be read"),
        ("[1]", "holds no stack"),
        ('{"kind": "other"}', "holds no stack"),
        ('{"kind": "bayes_rare stack", "format": 1}', "is damaged"),
        ('{"kind": "bayes_rare stack", "format": 2}', "has format 2"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidData, match=reason):
            load_stack(path)


@pytest.fixture(scope="module")
def backtested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real backtest of two models and a baseline."""
    output = tmp_path_factory.mktemp("stacks") / "backtest.parquet"
    br.backtest(
        br.sample_table(),
        [*MODELS, "gumbel_ols"],
        100,
        5_000,
        repeats=3,
        behaviours=["I love", "Death", "I'm sorry"],
        ignore_families=True,
        chains=2,
        warmup=300,
        draws=300,
        output=output,
    )
    return output


def test_predictive_distributions_are_those_that_were_scored(backtested: Path) -> None:
    """Of 99 values the CRPS is that of all draws, but for what lies between them."""
    table = br.load_backtest(backtested).table
    worst = table[table["target"] == "worst_query_risk"]
    assert table.loc[table["target"] != "worst_query_risk", PREDICTIVE].isna().all()
    for _, row in worst.iterrows():
        kept = np.asarray(row[PREDICTIVE], np.float64)
        assert kept.size == (1 if row["is_point"] else 99)
        crps = worst_score_crps(kept, score_from_risk(np.asarray(row["truth"])))
        assert float(crps) == pytest.approx(row["crps"], rel=0.05, abs=0.003)


def test_from_a_backtest_to_a_forecast(
    backtested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learnt = tmp_path / "stack.json"
    assert main(["stack", str(backtested), "--output", str(learnt)]) == 0
    said = capsys.readouterr().out
    assert "Evaluations of 100 queries" in said
    assert "best elsewhere" in said
    assert main(["stack", str(backtested), "--output", str(learnt), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    weights = content["weights"]["100"]
    assert set(weights) == {*MODELS}
    evaluation, _ = br.sample_split(100)
    one = evaluation.select(["I love"])
    made = br.fit(one, load_stack(learnt), chains=2, warmup=300, draws=300)
    shares = made.weights()["I love"]
    for label, share in shares.items():
        assert share == pytest.approx(weights[label])
    assert br.forecast(made, br.Deployment([5_000])).summary()["median"].notna().all()
    # The same by the command, and as a method of another backtest.
    table, output = tmp_path / "table.csv", tmp_path / "posterior.nc"
    rows = br.sample_table()
    rows[rows["behaviour"] == "I love"].head(100).to_csv(table, index=False)
    words = ["fit", str(table), "--output", str(output), "--model", str(learnt)]
    assert main([*words, "--chains", "2", "--warmup", "300", "--draws", "300"]) == 0
    told = capsys.readouterr().out
    assert "Average of the models of the stack" in told
    assert "from a stack" in told
    loaded = br.load_posterior(output)
    assert isinstance(loaded, br.Average)
    assert loaded.weights()["I love"] == pytest.approx(shares)
    assert loaded.notes == made.notes
    assert "evaluations of 100 queries; here there are 100" in made.notes[0]
    again = br.backtest(
        rows, [str(learnt)], 100, 1_000, repeats=1, behaviours=["I love"], chains=2,
        warmup=300, draws=300, ignore_families=True,
    )  # fmt: skip
    assert set(again.table["method"]) == {"stack"}
    assert set(again.table["status"]) == {"forecast"}


def test_a_stack_has_no_settings_and_serves_what_it_serves(tmp_path: Path) -> None:
    members = tuple(
        StackMember(name, name, catalog.load(name).digest) for name in MODELS
    )
    weights = {100: {"gpd_tail": 1.0, "log_normal": 0.0}}
    one = Stack(members, weights, {}, {})
    evaluation, _ = br.sample_split(100)
    with pytest.raises(InvalidInput, match="no settings of its own"):
        br.fit(evaluation, one, shape=0.1)  # type: ignore[call-overload]
    with pytest.raises(InvalidInput, match="a stack has no settings"):
        br.fit(evaluation, one.save(tmp_path / "stack.json"), shape=0.1)
    counts = br.Evaluation.from_counts(np.zeros(9, int), np.full(9, 5))
    with pytest.raises(NotApplicable, match="models with weight in this stack"):
        br.fit(counts, one)
    changed = StackMember("gpd_tail", "gpd_tail", "0")
    with pytest.raises(NoSuchModel, match="no longer the model gpd_tail"):
        br.fit(evaluation, Stack((changed,), {100: {"gpd_tail": 1.0}}, {}, {}))


def test_a_file_that_a_stack_names_runs_only_if_the_user_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, marker, table = (tmp_path / n for n in ("mine.py", "it ran", "table.csv"))
    source = (catalog.FOLDER / "gumbel_tail.py").read_text("utf-8")
    mine.write_text(f"{source}\nwith open({str(marker)!r}, 'w'):\n    pass\n", "utf-8")
    digest = Source.read(mine).digest
    weights = {100: {"mine": 1.0, "other": 0.0}}
    members = (
        StackMember("mine", str(mine), digest),
        StackMember("other", "../mine", digest),
    )
    path = Stack(members, weights, {}, {}).save(tmp_path / "stack.json")
    rows = br.sample_table()
    rows = rows[rows["behaviour"] == "I love"].head(100)
    rows.to_csv(table, index=False)
    evaluation = br.read_table(table)
    with pytest.raises(NoSuchModel, match=r"load_stack\(.*model_file='mine\.py'"):
        br.fit(evaluation, load_stack(path))
    with pytest.raises(NoSuchModel, match="no shipped model has that name"):
        members[1].load()
    words = [
        "fit",
        str(table),
        "--output",
        str(tmp_path / "p.nc"),
        "--model",
        str(path),
    ]
    assert main(words) == 1
    assert "--model-file mine.py" in capsys.readouterr().err
    with pytest.raises(NoSuchModel, match="--model-file"):
        br.backtest(rows, [str(path)], 50, 50, repeats=1)
    other = tmp_path / "other.py"
    other.write_bytes(mine.read_bytes() + b"# another\n")
    with pytest.raises(InvalidInput, match="not the file of any model of this stack"):
        load_stack(path, model_file=other)
    assert not marker.exists()
    with pytest.raises(NoSuchModel, match="is no longer the model mine"):
        replace(members[0], source=Source.read(other)).load()
    assert not marker.exists()
    named = load_stack(path, model_file=mine)
    assert named == load_stack(path)  # what it says is the same
    assert named.json() == load_stack(path).json()
    assert named.members[0].load().path == mine
    assert marker.exists()
    sizes = ["--chains", "2", "--warmup", "50", "--draws", "50", "--allow-unconverged"]
    assert main([*words, *sizes, "--model-file", str(mine)]) == 0
    with pytest.raises(InvalidInput, match="the file of any model of a stack among"):
        method_tuple(["gpd_tail"], model_file=mine)
    [chosen] = method_tuple([str(path)], model_file=[mine])
    assert isinstance(chosen, StackMethod)
    assert chosen.stack.members[0].source is not None
    assert chosen.identity == method(str(path)).identity


def test_members_see_behaviours_apart_unless_told() -> None:
    """A backtest, which taught their weights, fits them one by one."""
    rng = np.random.default_rng(8)
    evaluation = br.Evaluation.from_scores(
        {name: rng.gumbel(-3, 0.2, 60) for name in ("a", "b")}
    )
    digest = catalog.load("gumbel_tail").digest
    members = (
        StackMember("apart", "gumbel_tail", digest),
        StackMember("pooled", "gumbel_tail", digest, {"pool": True}),
    )
    even = Stack(members, {60: {"apart": 0.5, "pooled": 0.5}}, {}, {})
    made = br.fit(evaluation, even, chains=2, warmup=100, draws=50, target_ess=0.0)
    settings = {each.label: each.posterior.settings["pool"] for each in made.members}
    assert settings == {"apart": False, "pooled": True}
