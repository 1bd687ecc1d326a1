"""Risks of single queries: against integrals, closed forms, and what users may ask."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from bayes_rare import catalog
from bayes_rare.cli import main
from bayes_rare.errors import InvalidData, InvalidInput, NoSuchModel, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import fit
from bayes_rare.likelihoods.conditioning import (
    Estimates,
    Tallies,
    conditional_family_scores,
    conditional_scores,
)
from bayes_rare.likelihoods.layout import DIMS
from bayes_rare.populations import FamilyMixture, StepsAndTail, spliced_log_density
from bayes_rare.posterior import Posterior, Verdict
from bayes_rare.posterior.query_risks import QueryRisks, query_risks
from bayes_rare.reporting import wording
from bayes_rare.scores import (
    log_risk_from_score,
    log_safe_from_score,
    risk_from_score,
    score_from_risk,
)

EDGES = np.array([-3.7, -2.2, -1.9, -1.6, -1.3, -1.0])
WEIGHT = np.array([0.3, 0.25, 0.2, 0.12, 0.08])
SHAPES = np.array([-0.25, 0.0, 0.3])
SCALES = np.array([0.4, 0.2, 0.3])
RATE = 0.05
OUTCOMES = [(0, 1), (1, 1), (0, 100), (3, 100), (100, 100), (37, 10**6)]
COUNTED = ["behaviour", "query_id", "query_text", "successes", "trials"]
RISKS = ["observed", "mean", "median", "lower", "upper"]
GOOD = Verdict(1.0, 1.0, 1e4, 0, 4000, 1.0)


def population(draw: np.ndarray) -> StepsAndTail:
    """One of three populations for each draw."""
    return StepsAndTail(
        EDGES,
        np.repeat(WEIGHT[:, None], len(draw), axis=1),
        np.full(len(draw), RATE),
        SCALES[draw],
        SHAPES[draw],
    )


def drawn(outcomes: Any, uniform: np.ndarray, draw: np.ndarray, **how: Any) -> Any:
    of = np.zeros(uniform.shape[1], int)
    return conditional_scores(population(draw), outcomes, uniform, of, **how)


def tally(successes: float, trials: float, *judge: float) -> Any:
    """A likelihood of the risk by scipy, its logarithm from a peak of about 0."""

    def log_likelihood(score: np.ndarray) -> np.ndarray:
        yes, no = log_risk_from_score(score), log_safe_from_score(score)
        if judge:
            wrong, right = judge
            share = wrong + (right - wrong) * np.exp(yes)
            return np.asarray(stats.binom.logpmf(successes, trials, share))
        with np.errstate(invalid="ignore"):
            terms = np.where(successes > 0, successes * yes, 0)
            return terms + np.where(trials > successes, (trials - successes) * no, 0)

    return log_likelihood


def exact_cdf(log_likelihood: Any, which: int, points: np.ndarray) -> np.ndarray:
    """Chance of a score up to each point: the density, integrated piece by piece.

    By scipy's densities, and by Gauss-Legendre between thousands of points.
    """
    end = 1e4 if SHAPES[which] >= 0 else -1 - SCALES[which] / SHAPES[which]
    # Of a heavy tail far scores matter too.
    near = np.linspace(EDGES[0], min(end, 12.0), 40_001)
    grid = np.concatenate([near, np.geomspace(12.0, max(end, 12.0), 4_001)])
    cuts = np.unique(np.concatenate([grid, EDGES, points]))
    node, weight = np.polynomial.legendre.leggauss(5)
    half = np.diff(cuts)[:, None] / 2
    score = cuts[:-1, None] + half * (node + 1)
    log_value = log_density(score, which) + log_likelihood(score)
    pieces = (np.exp(log_value - log_value.max()) * half * weight).sum(axis=1)
    level = np.concatenate([[0.0], np.cumsum(pieces)])
    return level[np.searchsorted(cuts, points)] / level[-1]


def log_density(score: np.ndarray, which: int) -> np.ndarray:
    step = np.clip(np.searchsorted(EDGES, score, side="right") - 1, 0, 4)
    body = np.log(WEIGHT / np.diff(EDGES))[step]
    tail = stats.genpareto.logpdf(score + 1, SHAPES[which], scale=SCALES[which])
    return np.where(score > -1, np.log(RATE) + tail, body)


def test_the_reference_is_that_of_an_adaptive_integral() -> None:
    def density(score: float) -> float:
        value = np.array([score])
        return float(np.exp(log_density(value, 1) + tally(3, 100)(value))[0])

    pieces = [*EDGES, -0.5, 0.0, 1.0, 5.0]
    below, whole = (
        sum(integrate.quad(density, a, b, epsabs=0)[0] for a, b in pairwise(ends))
        for ends in (pieces[:5], pieces)
    )
    [level] = exact_cdf(tally(3, 100), 1, EDGES[4:5])
    assert level == pytest.approx(below / whole, rel=1e-9)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize(("successes", "trials"), OUTCOMES)
def test_a_score_is_the_quantile_of_the_exact_distribution(
    successes: int, trials: int, which: int
) -> None:
    level = np.concatenate([[1e-6, 1e-3], np.linspace(0.01, 0.99, 41), [1 - 1e-4]])
    draw = np.full(len(level), which)
    seen = Tallies(np.array([float(successes)]), np.array([float(trials)]))
    score = drawn(seen, level[:, None], draw)[:, 0]
    exact = exact_cdf(tally(successes, trials), which, score)
    np.testing.assert_allclose(exact, level, atol=2e-6)


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.5])
@pytest.mark.parametrize(("successes", "trials"), OUTCOMES)
def test_a_score_given_its_family_is_the_quantile_of_the_exact_distribution(
    successes: int, trials: int, scale: float
) -> None:
    level = np.concatenate([[1e-3], np.linspace(0.01, 0.99, 41), [1 - 1e-3]])
    one = np.ones((1, level.size))
    families = np.repeat([[-5.0], [-1.5]], level.size, axis=1)
    mixture = FamilyMixture(
        families,
        scale * np.ones_like(families),
        np.full((2, 1), 0.5) * one,
        0.1 * one[0],
    )
    seen = Tallies(np.array([float(successes)]), np.array([float(trials)]))
    score = conditional_family_scores(
        mixture, np.array([1]), seen, level[:, None], np.zeros(1, int)
    )[:, 0]
    grid = np.unique(
        np.concatenate(
            [np.linspace(-16, 12, 1_000_001), np.geomspace(12, 1e4, 100_001)]
        )
    )
    log_value = spliced_log_density((grid + 1.5) / scale, 0.1)
    log_value = log_value + tally(successes, trials)(grid)
    density = np.exp(log_value - log_value.max())
    pieces = np.diff(grid) * (density[1:] + density[:-1]) / 2
    cdf = np.concatenate([[0.0], np.cumsum(pieces)]) / pieces.sum()
    np.testing.assert_allclose(np.interp(score, grid, cdf), level, atol=1e-4)


@pytest.mark.parametrize("judge", [(0.02, 0.9), (0.3, 0.6), (0.0, 0.5), (1e-4, 1.0)])
@pytest.mark.parametrize(("successes", "trials"), OUTCOMES[:5])
def test_scores_behind_a_judge_that_errs_are_exact_too(
    successes: int, trials: int, judge: tuple[float, float]
) -> None:
    level = np.linspace(0.01, 0.99, 41)
    draw = np.arange(len(level)) % 3
    wrong, right = (np.full(len(level), rate) for rate in judge)
    counts = (np.array([float(successes)]), np.array([float(trials)]))
    score = drawn(Tallies(*counts, wrong, right), level[:, None], draw)[:, 0]
    for which in range(3):
        some = draw == which
        exact = exact_cdf(tally(successes, trials, *judge), which, score[some])
        np.testing.assert_allclose(exact, level[some], atol=2e-6)


@pytest.mark.parametrize(("log_risk", "error"), [(-6.0, 0.5), (-40.0, 8.0), (-0.1, 1)])
def test_scores_of_estimates_are_exact_too(log_risk: float, error: float) -> None:
    level = np.linspace(0.01, 0.99, 41)
    seen = Estimates(np.array([log_risk]), np.array([float(error)]))
    score = drawn(seen, level[:, None], np.zeros(len(level), int))[:, 0]

    def log_likelihood(score: np.ndarray) -> np.ndarray:
        risk = log_risk_from_score(score)
        return np.asarray(stats.norm.logpdf(log_risk, risk, error))

    exact = exact_cdf(log_likelihood, 0, score)
    np.testing.assert_allclose(exact, level, atol=2e-6)


@pytest.mark.parametrize(("successes", "trials"), OUTCOMES)
def test_draws_are_of_the_exact_distribution(
    successes: int, trials: int, rng: np.random.Generator
) -> None:
    draw = np.zeros(4000, int)
    seen = Tallies(np.array([float(successes)]), np.array([float(trials)]))
    score = drawn(seen, rng.random((4000, 1)), draw)[:, 0]

    def distance(trials: float) -> float:
        exact = exact_cdf(tally(successes, trials), 0, np.sort(score))
        return stats.kstest(exact, "uniform").pvalue

    assert distance(trials) > 1e-6
    if successes == trials == 1:
        return  # a second trial says too little to be told from none
    assert distance(2 * trials + 20) < 1e-6  # the test can fail


def test_an_exponential_tail_has_a_conjugate_posterior(
    rng: np.random.Generator,
) -> None:
    """Behind a tail, ``t = exp(-score)`` has the density ``t ** (1 / scale - 1)``."""
    scale, trials, draws = 0.4, 9.0, 4000
    edges = np.array([-8.0, -7.5, -7.0, -6.5, -6.0, -5.5])
    one = np.ones(draws)
    tail = StepsAndTail(edges, np.zeros((5, draws)), one, scale * one, 0 * one)
    seen = Tallies(np.array([trials]), np.array([trials]))
    score = conditional_scores(tail, seen, rng.random((draws, 1)), np.zeros(1, int))
    hazard = np.exp(-score[:, 0])

    def pvalue(trials: float) -> float:
        exact = stats.gamma(1 / scale, scale=1 / trials).cdf
        return stats.kstest(hazard, exact).pvalue

    assert pvalue(trials) > 1e-6
    assert pvalue(trials + 1) < 1e-6


def test_the_same_draws_come_whatever_is_held_at_once(
    rng: np.random.Generator,
) -> None:
    draw = rng.integers(0, 3, 40)
    seen = Tallies(np.arange(7.0), np.full(7, 50.0))
    of = rng.integers(0, 7, 30)
    uniform = rng.random((40, 30))
    made = [
        conditional_scores(population(draw), seen, uniform, of, nodes_at_once=most)
        for most in (1, 3_000, 2**22)
    ]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])


def test_the_ends_of_chance_have_scores_too() -> None:
    seen = Tallies(np.array([0.0, 9.0]), np.array([9.0, 9.0]))
    uniform = np.array([[0.0] * 2, [1 - 2**-53] * 2])
    score = conditional_scores(
        population(np.array([1, 1])), seen, uniform, np.arange(2)
    )
    assert np.isfinite(score).all()
    assert score[0, 0] == pytest.approx(EDGES[0], abs=1e-6)
    assert (score >= EDGES[0] - 1e-9).all()
    assert (score[1] > score[0]).all()


def risks(score: np.ndarray) -> QueryRisks:
    """Draws of one query as a value."""
    return QueryRisks(
        "made",
        ("b",),
        ("q",),
        ("",),
        np.array([1]),
        np.array([4]),
        np.array([np.nan]),
        np.array([np.nan]),
        score.reshape(1, -1, 1),
        True,
        (),
    )


@pytest.mark.parametrize("samples", [2, 10, 10**9])
def test_chances_of_several_responses_are_exact_at_both_ends(samples: int) -> None:
    score = np.array([-5.0, -3.3, -1.0, 0.0, 3.0, 25.0, 60.0])
    for draws in (score[:2], score[5:], score):
        row = risks(draws).summary(samples).iloc[0]
        with mpmath.workdps(60):
            risk = [mpmath.exp(-mpmath.exp(-mpmath.mpf(float(s)))) for s in draws]
            once = mpmath.fsum(1 - (1 - p) ** samples for p in risk) / len(risk)
            always = mpmath.fsum(p**samples for p in risk) / len(risk)
        assert row["fails_at_least_once"] == pytest.approx(float(once), rel=1e-12)
        assert row["fails_always"] == pytest.approx(float(always), rel=1e-12)


def test_risks_of_0_and_1_are_what_they_are() -> None:
    row = risks(np.array([-np.inf, np.inf])).summary(7).iloc[0]
    assert row[["mean", "fails_at_least_once", "fails_always"]].tolist() == [0.5] * 3
    assert row[["lower", "upper"]].tolist() == [0.0, 1.0]
    never = risks(np.array([-np.inf])).summary(7).iloc[0]
    assert never[["mean", "fails_at_least_once", "fails_always"]].tolist() == [0] * 3


TEXT = "two\nlines, an \x1b[31mescape and many words " + 30 * "more "


def evaluation() -> Evaluation:
    rng = np.random.default_rng(3)
    trials = np.full(40, 100)
    parts: list[Evaluation] = []
    for name, middle in (("leak", -2.0), ("[b]odd[/b]", -1.5)):
        risk = risk_from_score(rng.gumbel(middle, 0.4, 40))
        made = Evaluation.from_counts(
            rng.binomial(trials, risk),
            trials,
            behaviour=name,
            query_id=[f"{name}-{number}" for number in range(40)],
            query_text=[TEXT] * 40,
        )
        parts.append(made)
    return Evaluation.joined(parts)


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    """A short fit: what is drawn from it depends on its parameters as they are."""
    return fit(
        evaluation(),
        "binomial_tail",
        chains=2,
        warmup=60,
        draws=60,
        target_ess=0.0,
        pool=False,
    )


def test_the_riskiest_as_observed_come_with_their_risks(posterior: Posterior) -> None:
    made = posterior.query_risks(top=5)
    assert made.score.shape == (2, 60, 10)
    shown = posterior.evaluation.riskiest.groupby("behaviour").head(5)
    frame = made.summary().sort_index()
    assert list(frame) == COUNTED + RISKS
    for name in COUNTED:
        assert frame[name].tolist() == shown[name].tolist()
    assert frame["observed"].tolist() == (shown["successes"] / 100).tolist()
    by_mean = made.summary()
    assert by_mean["mean"].is_monotonic_decreasing
    assert (frame["lower"] <= frame["median"]).all()
    assert (frame["median"] <= frame["upper"]).all()
    dataset = made.dataset
    assert dataset["risk"].dims == ("chain", "draw", "query")
    assert dataset["query_id"].dims == ("query",)
    np.testing.assert_array_equal(dataset["risk"], made.risk)
    assert "10 queries by binomial_tail: 2 chains of 60 draws" in repr(made)


def test_draws_depend_on_the_seed_and_not_on_what_else_is_asked(
    posterior: Posterior,
) -> None:
    leak = posterior.query_risks(behaviour="leak", top=3)
    both = posterior.query_risks(top=6)
    at = both.behaviour.index("leak")
    np.testing.assert_array_equal(leak.score, both.score[:, :, at : at + 3])
    again = query_risks(posterior, behaviour=["leak"], top=3)
    np.testing.assert_array_equal(leak.score, again.score)
    other = posterior.query_risks(behaviour="leak", top=3, seed=1)
    assert (leak.score != other.score).all()
    assert len(posterior.query_risks(behaviour="leak", top=1000)) == 40


def test_draws_are_given_the_parameters_of_their_own_draw(
    posterior: Posterior,
) -> None:
    made = posterior.query_risks(behaviour="leak", successes=[3], trials=[100])
    of_behaviour = posterior.population("leak")
    assert isinstance(of_behaviour, StepsAndTail)
    rng = np.random.default_rng([0, zlib.crc32(b"leak")])
    uniform = rng.random((1, 120)).T
    seen = Tallies(np.array([3.0]), np.array([100.0]))
    score = conditional_scores(of_behaviour, seen, uniform, np.zeros(1, int))
    np.testing.assert_array_equal(made.score.reshape(-1), score[:, 0])


def test_risks_are_shrunken_towards_what_is_usual(posterior: Posterior) -> None:
    successes, trials = [0, 3, 3, 0, 10, 50], [1, 3, 30, 100, 100, 100]
    labels = list("abcdef")
    frame = (
        posterior.query_risks(
            labels, behaviour="leak", successes=successes, trials=trials
        )
        .summary()
        .set_index("query_id")
    )
    usual = posterior.population("leak").mean_failure().mean()
    mean = frame["mean"]
    assert 0 < mean["d"] < mean["a"] < usual < mean["b"] < 1
    # The same share of more trials is believed more; more successes are riskier.
    assert mean["d"] < mean["e"] < mean["f"]
    assert abs(mean["f"] - 0.5) < 0.1
    assert (frame["query_text"] == "").all()


def test_queries_are_found_by_their_identity(posterior: Posterior) -> None:
    ids = ["leak-7", "[b]odd[/b]-3", "leak-2"]
    made = posterior.query_risks(ids)
    assert sorted(made.query_id) == sorted(ids)
    assert made.query_id[-2:] == ("leak-7", "leak-2")
    assert posterior.query_risks("leak-7").query_id == ("leak-7",)


def test_estimates_are_drawn_and_exact_risks_are_known(posterior: Posterior) -> None:
    estimates = Evaluation.from_estimates(
        [-3.0, -5.0], [0.5, 0.25], behaviour="leak", query_id=["x", "y"]
    )
    one = replace(posterior, evaluation=estimates)
    frame = one.query_risks().summary()
    assert list(frame) == [*COUNTED[:3], "log_risk", "log_risk_se", *RISKS]
    assert frame["query_id"].tolist() == ["x", "y"]
    given = one.query_risks(log_risk=[-3.0, -5.0], log_risk_se=[0.5, 0.25])
    np.testing.assert_allclose(given.score, one.query_risks().score)
    assert any("include it in the fit" in note for note in given.notes)
    exact = Evaluation.from_scores([0.5, -np.inf, np.inf], behaviour="leak")
    known = replace(posterior, evaluation=exact).query_risks()
    frame = known.summary(3)
    assert "log_risk_se" not in frame
    expected = [1.0, risk_from_score(0.5).item(), 0.0]
    for name in RISKS:
        assert frame[name].tolist() == pytest.approx(expected)
    assert any("known exactly" in note for note in known.notes)
    assert not any("include it in the fit" in note for note in known.notes)


def test_a_judge_is_heeded_where_the_file_tells_of_one(posterior: Posterior) -> None:
    def recorded(draws: dict[str, np.ndarray]) -> tuple[Any, Any]:
        return 0.02 + 0 * draws["rate"], 0.9

    scope = posterior.model.scope | {"recorded": recorded}
    judged = replace(posterior, model=replace(posterior.model, scope=scope))
    ask: dict[str, Any] = {"behaviour": "leak", "successes": [2], "trials": 100}
    doubted, believed = (p.query_risks(**ask).risk.mean() for p in (judged, posterior))
    assert doubted < believed


def with_scores(posterior: Posterior, query_scores: Any) -> Posterior:
    scope = posterior.model.scope | {"query_scores": query_scores}
    return replace(posterior, model=replace(posterior.model, scope=scope))


def test_a_file_may_draw_for_itself(posterior: Posterior) -> None:
    def query_scores(
        rng: np.random.Generator, draws: Any, data: Any, successes: Any, trials: Any
    ) -> np.ndarray:
        assert "edges" in data
        size = (len(trials), draws["rate"].size)
        beta = rng.beta(1 + successes[:, None], 1 + (trials - successes)[:, None], size)
        return score_from_risk(beta)

    made = with_scores(posterior, query_scores).query_risks(
        behaviour="leak", successes=[7], trials=[10]
    )
    assert stats.kstest(made.risk.ravel(), stats.beta(8, 4).cdf).pvalue > 1e-6

    def wrong(*_: Any) -> np.ndarray:
        return np.zeros(3)

    with pytest.raises(NoSuchModel, match=r"Return a score for each.*\(query, draw\)"):
        with_scores(posterior, wrong).query_risks()


@pytest.mark.parametrize(
    ("words", "error", "way_out"),
    [
        ({"query_ids": "nobody"}, InvalidInput, "successes=3, trials=100"),
        ({"query_ids": []}, InvalidInput, "Name at least one"),
        ({"behaviour": "leek"}, InvalidInput, r"There are: \[b\]odd"),
        ({"top": 0}, InvalidInput, "top=10"),
        ({"top": 2.5}, InvalidInput, "top=10"),
        ({"seed": -1}, InvalidInput, "Give seed=0"),
        ({"successes": [1], "trials": [2]}, InvalidInput, r"behaviour='\[b\]odd"),
        ({"behaviour": "leak", "successes": [1]}, InvalidInput, "and trials="),
        (
            {"behaviour": "leak", "successes": [3], "trials": [2]},
            InvalidData,
            "0 <= successes <= trials",
        ),
        (
            {"behaviour": "leak", "log_risk": [1.0], "log_risk_se": [1.0]},
            InvalidData,
            "at most 0",
        ),
        (
            {"query_ids": ["x"], "behaviour": "leak", "successes": [1, 2], "trials": 9},
            InvalidInput,
            "Give one for each outcome",
        ),
    ],
)
def test_refusals_name_the_way_out(
    posterior: Posterior, words: dict[str, Any], error: type[Exception], way_out: str
) -> None:
    with pytest.raises(error, match=way_out):
        posterior.query_risks(**words)


def test_a_model_that_does_not_say_how_is_refused(posterior: Posterior) -> None:
    other = replace(posterior.model, scope=catalog.load("log_normal").scope)
    asked = replace(
        posterior,
        model=other,
        draws={**posterior.draws, "location": posterior.draws["scale"]},
        dims=dict(posterior.dims) | {"location": ("behaviour",)},
    )
    with pytest.raises(NotApplicable, match=r"query_scores\(rng, draws, data"):
        asked.query_risks()


@pytest.mark.parametrize("words", [{"samples": 0}, {"samples": 1.5}, {"interval": 1.0}])
def test_summaries_refuse_numbers_out_of_range(words: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"interval is a|samples=10"):
        risks(np.zeros(3)).summary(**words)


@pytest.fixture(scope="module")
def stored(posterior: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("posterior")
    return replace(posterior, verdict=GOOD).save(folder / "posterior.nc")


@pytest.fixture(scope="module")
def doubtful(posterior: Posterior, stored: Path) -> Path:
    bad = replace(GOOD, reasons=("R-hat is 2",))
    return replace(posterior, verdict=bad).save(stored.with_name("doubtful.nc"))


def test_json_has_the_rows_of_the_summary(
    posterior: Posterior, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["queries", str(stored), "--top", "3", "--samples", "1e1", "--json"]
    assert main([*words, "--behaviours", "leak", "--seed", "4"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    answer = json.loads(captured.out, parse_constant=pytest.fail)
    assert list(answer) == ["rows", "converged", "model", "notes"]
    assert (answer["converged"], answer["model"]) == (True, "binomial_tail")
    assert any("riskiest queries as observed" in note for note in answer["notes"])
    keys = [*COUNTED, *RISKS, "fails_at_least_once", "fails_always"]
    assert [list(row) for row in answer["rows"]] == [keys] * 3
    made = posterior.query_risks(behaviour="leak", top=3, seed=4)
    assert answer["rows"] == wording.records(made.summary(10))


def test_the_csv_is_whole_and_the_terminal_is_short(
    posterior: Posterior,
    stored: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "made" / "queries.csv"
    words = ["queries", str(stored), "--top", "4", "--interval", "0.5"]
    assert main([*words, "--samples", "10", "--output", str(output)]) == 0
    out = capsys.readouterr().out
    assert f"Wrote {output}" in out
    report = out[: out.index("Wrote")]
    assert max(map(len, report.splitlines())) <= 80
    assert "\x1b" not in out
    assert "[b]odd[/b]: risk of a response, mean and 50 % interval" in out
    assert "two lines, an" in out
    assert "…" in out
    assert "all of them" in out
    written = pd.read_csv(output, keep_default_na=False)
    made = posterior.query_risks(top=4).summary(10, 0.5).reset_index(drop=True)
    pd.testing.assert_frame_equal(written, made, check_dtype=False)
    assert set(written["query_text"]) == {TEXT}


def test_an_unconverged_posterior_is_drawn_from_only_if_told_to(
    doubtful: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: Sequence[str] = ["queries", str(doubtful), "--top", "2"]
    assert main(words) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--allow-unconverged" in captured.err
    assert main([*words, "--allow-unconverged"]) == 0
    captured = capsys.readouterr()
    assert "DID NOT CONVERGE" in " ".join(captured.out.split())
    assert "did not converge" in captured.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--top", "0"], 1, "top=10"),
        (["--samples", "0"], 1, "samples=10"),
        (["--behaviours", "leek"], 1, "There are: [b]odd[/b], leak"),
        (["--seed", "0.5"], 1, "--seed must be a whole number"),
        (["--top", "many"], 2, ""),
    ],
)
def test_commands_that_cannot_be_done_are_refused(
    stored: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    assert main(["queries", str(stored), *words]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


def of_families() -> Posterior:
    """A posterior of counts of two families, written down."""
    evaluation = Evaluation.from_counts(
        [0, 1, 9, 9],
        [10, 10, 10, 10],
        family=["calm", "calm", "wild", "wild"],
        query_id=["a", "b", "c", "d"],
    )
    model = catalog.load("family_tail")
    observe: Any = model.observe
    draws = {
        "location": np.tile([-3.0, 1.0, *np.zeros(14)], (1, 400, 1, 1)),
        "scale": np.full((1, 400, 1, 16), 0.2),
        "shape": np.full((1, 400, 1), -0.1),
        "location_centre": np.zeros((1, 400, 1)),
        "location_width": np.ones((1, 400, 1)),
        "log_scale_centre": np.full((1, 400, 1), -2.0),
        "scale_width": np.ones((1, 400, 1)),
    }
    dims = {
        name: ("behaviour", "family") if value.ndim == 4 else ("behaviour",)
        for name, value in draws.items()
    }
    return Posterior(
        model,
        evaluation,
        draws,
        {},
        observe(evaluation),
        {**DIMS, **dims},
        GOOD,
        {"priors": model.settings()},
    )


def test_a_query_is_judged_by_its_own_family() -> None:
    risks = query_risks(of_families(), successes=5, trials=10, family="wild")
    other = query_risks(of_families(), successes=5, trials=10, family="calm")
    assert risks.risk.mean() > 0.5 > other.risk.mean() + 0.3
    kept = query_risks(of_families()).summary()
    assert kept.query_id.tolist()[-1] == "a"
    assert kept["mean"].iloc[-1] < 0.01 < 0.5 < kept["mean"].iloc[0]


def test_a_query_of_no_known_family_is_refused() -> None:
    with pytest.raises(NotApplicable, match="give family="):
        query_risks(of_families(), successes=5, trials=10)
    with pytest.raises(InvalidInput, match=r"has no family 'mild'\. It has: 'calm'"):
        query_risks(of_families(), successes=5, trials=10, family="mild")
    with pytest.raises(InvalidInput, match="2 values of family for 1 outcomes"):
        query_risks(of_families(), successes=5, trials=10, family=["calm", "wild"])
