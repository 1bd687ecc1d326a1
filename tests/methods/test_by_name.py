"""Methods by name, by file and by function; each crosses a process boundary."""

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayes_rare import catalog
from bayes_rare.errors import InvalidInput, NoSuchModel, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, Forecast
from bayes_rare.methods import (
    FunctionMethod,
    ModelMethod,
    Sampling,
    by_name,
    functions,
    observed_shares,
)
from bayes_rare.methods.baselines import BASELINES

QUICK = Sampling(chains=2, warmup=200, draws=200)
DEPLOYMENT = Deployment([1_000, 10_000])

MINE = """
from bayes_rare.methods.baselines import evaluation_maximum
from bayes_rare.errors import NotApplicable


def biggest(evaluation, deployment, *, least=0):
    if sum(evaluation.sizes.values()) < least:
        raise NotApplicable(f"give at least {least} queries")
    return evaluation_maximum(evaluation, deployment)
"""

# What their programs take to compile.
DEAR = ("average", "family_tail", "binomial_tail", "graded", "beta_binomial")


@pytest.fixture
def evaluation(rng: np.random.Generator) -> Evaluation:
    return Evaluation.from_scores(rng.gumbel(-2.5, 0.3, 200))


def counted(rng: np.random.Generator) -> Evaluation:
    """Counts of 200 queries, of a few of them positive."""
    risk = np.exp(-np.exp(-rng.gumbel(-1.8, 0.3, 200)))
    return Evaluation.from_counts(rng.binomial(30, risk), np.full(200, 30))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in DEAR else [])
        for name in by_name.names()
    ],
)
def test_every_shipped_method_forecasts_each_size(
    name: str, evaluation: Evaluation, rng: np.random.Generator
) -> None:
    made = by_name.method(name, QUICK)
    if name in catalog.names() and "exact" not in catalog.load(name).accepts:
        evaluation = counted(rng)
    [answer] = made.answers([evaluation], DEPLOYMENT)
    assert answer.refusal == ""
    assert set(answer.forecasts) == {1_000, 10_000}
    assert answer.seconds > 0
    for forecast in answer.forecasts.values():
        assert forecast.behaviours == ("behaviour",)
        # Its populations say all that is scored, and the worst grows with the size.
        population = forecast.populations["behaviour"]
        worst = population.quantile(np.log([[1e-3], [1e-4]]))
        assert (worst[1] >= worst[0]).all()


@pytest.mark.parametrize("name", by_name.names())
def test_a_method_crosses_a_process_boundary(name: str) -> None:
    made = by_name.method(name, QUICK)
    assert pickle.loads(pickle.dumps(made)).identity == made.identity


def test_names_are_the_baselines_the_average_and_the_models() -> None:
    models = [n for n in catalog.names() if not catalog.load(n).reference_only]
    assert by_name.names() == [*BASELINES, "average", *models]
    assert "latent_reference" not in models
    assert by_name.method("latent_reference").name == "latent_reference"


def test_settings_follow_a_name(evaluation: Evaluation) -> None:
    made = by_name.method("gpd_tail:exceedances=20,shape_sd=0.2,pool=false", QUICK)
    assert isinstance(made, ModelMethod)
    assert made.settings == {"exceedances": 20, "shape_sd": 0.2, "pool": False}
    assert made.name == "gpd_tail:exceedances=20,shape_sd=0.2,pool=false"
    line = by_name.method("gumbel_ols:points=5,positions=digamma")
    plain = by_name.method("gumbel_ols")
    guesses = [
        one.answers([evaluation], DEPLOYMENT)[0]
        .forecasts[1_000]
        .populations["behaviour"]
        .quantile(np.log([[1e-4]]))
        .item()
        for one in (line, plain)
    ]
    assert guesses[0] != guesses[1]
    assert line.identity != plain.identity


def test_a_function_of_a_file_is_a_method(mine: Path, evaluation: Evaluation) -> None:
    made = by_name.method(f"{mine}:biggest")
    assert made.name == "mine:biggest"
    again = pickle.loads(pickle.dumps(made))
    assert again.identity == made.identity
    [answer] = again.answers([evaluation], DEPLOYMENT)
    assert answer.forecasts[1_000].method == "evaluation_maximum"
    before = made.identity
    mine.write_text(f"{MINE}\n# changed\n", encoding="utf-8")
    assert by_name.method(f"{mine}:biggest").identity != before


def test_what_a_function_declines_is_its_refusal(evaluation: Evaluation) -> None:
    def picky(*_: Any) -> Forecast:
        raise NotApplicable("too hot")

    [answer] = by_name.method(picky).answers([evaluation], DEPLOYMENT)
    assert (answer.forecasts, answer.refusal) == ({}, "too hot")


def test_a_function_that_fails_is_named(evaluation: Evaluation) -> None:
    def broken(*_: Any) -> Any:
        return 1 / 0

    def wrong(*_: Any) -> Any:
        return 3

    with pytest.raises(InvalidInput, match="broken failed with ZeroDivisionError"):
        by_name.method(broken).answers([evaluation], DEPLOYMENT)
    with pytest.raises(InvalidInput, match="wrong returned int, not a Forecast"):
        by_name.method(wrong).answers([evaluation], DEPLOYMENT)


def test_a_model_that_does_not_serve_refuses() -> None:
    few = Evaluation.from_scores([0.0, 1.0, 2.0])
    [answer] = by_name.method("gpd_tail", QUICK).answers([few], DEPLOYMENT)
    assert answer.forecasts == {}
    assert "behaviour" in answer.refusal


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        ("gumbel_olds", NoSuchModel, "no method 'gumbel_olds'. Shipped: .*gumbel_ols"),
        ("gpd_tail:exeedances=20", InvalidInput, "no prior 'exeedances'"),
        ("gpd_tail:exceedances=many", InvalidInput, "exceedances=many: a value is"),
        ("gpd_tail:exceedances=20,", InvalidInput, "settings follow a name as"),
        ("gumbel_ols:point=5", InvalidInput, "no setting 'point'.*points"),
        ("./nowhere.py", NoSuchModel, "no model './nowhere.py'"),
        ("./nowhere.py:forecast", NoSuchModel, "there is no file nowhere.py"),
        (lambda *_: None, InvalidInput, "is not a method with a name"),
    ],
)
def test_what_is_no_method_is_refused(
    named: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        by_name.method(named)


def test_a_missing_function_is_named(mine: Path, evaluation: Evaluation) -> None:
    with pytest.raises(NoSuchModel, match="defines no function smallest"):
        by_name.method(f"{mine}:smallest").answers([evaluation], DEPLOYMENT)


def test_no_two_methods_have_one_name() -> None:
    with pytest.raises(InvalidInput, match="two methods are called 'gumbel_ols'"):
        by_name.methods(["gumbel_ols", "gumbel_ols"])
    with pytest.raises(InvalidInput, match="no method is named"):
        by_name.methods([])
    pair = by_name.methods({"first": "gumbel_ols", "second": "gumbel_ols:points=5"})
    assert [one.name for one in pair] == ["first", "second"]
    assert [one.name for one in by_name.methods("gumbel_ols")] == ["gumbel_ols"]


def test_observed_shares_stand_in_for_risks() -> None:
    counted = Evaluation.from_counts(
        [0, 3, 10, 3], [10, 10, 10, 10], family=["x", "y", "x", "y"]
    )
    plain = observed_shares(counted, 0)
    cells = plain.scores("behaviour")
    np.testing.assert_allclose(np.exp(-np.exp(-cells.score)), [0.3])
    assert (cells.count.tolist(), cells.censored_above, cells.censored_below) == (
        [2.0],
        1,
        1,
    )
    assert plain.families == ("x", "y")
    assert observed_shares(plain) is plain
    # By default with half a success and half a failure more.
    shares = np.exp(-np.exp(-observed_shares(counted).scores("behaviour").score))
    np.testing.assert_allclose(shares, np.array([10.5, 3.5, 0.5]) / 11)


def test_a_baseline_takes_a_pseudocount() -> None:
    plain, usual = by_name.methods(["gumbel_ols:pseudocount=0", "gumbel_ols"])
    assert plain.identity != usual.identity
    counted = Evaluation.from_counts(np.arange(40) % 12, np.full(40, 50))
    few, more = (one.answers([counted], Deployment(1e4)) for one in (plain, usual))
    assert few[0].refusal or few[0].forecasts
    assert more[0].forecasts
    with pytest.raises(InvalidInput, match="0 gives successes/trials"):
        by_name.methods("gumbel_ols:pseudocount=-1")


def test_baselines_see_shares_and_functions_see_counts() -> None:
    rng = np.random.default_rng(0)
    counted = Evaluation.from_counts(rng.binomial(1_000, 0.2, 300), np.full(300, 1_000))
    kinds: list[str] = []

    def mine(evaluation: Evaluation, _: Deployment) -> Forecast:
        kinds.append(evaluation.kind("behaviour"))
        raise NotApplicable("no")

    FunctionMethod("mine", mine).answers([counted], DEPLOYMENT)
    assert kinds == ["counts"]  # it declined at the first size
    [answer] = by_name.method("gumbel_ols").answers([counted], DEPLOYMENT)
    assert answer.refusal == ""
    [answer] = by_name.method("gpd_tail", QUICK).answers([counted], DEPLOYMENT)
    assert "has counts" in answer.refusal


def test_what_a_function_was_given_is_part_of_what_it_is() -> None:
    def line(points: int) -> functions.Function:
        def mine(evaluation: Evaluation, deployment: Deployment) -> Forecast:
            return BASELINES["gumbel_ols"](evaluation, deployment, points=points)

        return mine

    made = [by_name.method(line(points)).identity for points in (5, 5, 6)]
    assert made[0] == made[1] != made[2]
    given = [
        by_name.method(partial(BASELINES["gumbel_ols"], points=points), name="line")
        for points in (5, 5, 6)
    ]
    assert given[0].identity == given[1].identity != given[2].identity


def test_a_path_may_have_colons_of_its_own(
    tmp_path: Path, evaluation: Evaluation
) -> None:
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    made = by_name.method(f"{folder / 'mine.py'}:biggest")
    assert made.name == "mine:biggest"
    assert made.answers([evaluation], DEPLOYMENT)[0].refusal == ""
