"""Mixtures of families and mixes of a deployment: by laws, by mpmath, by simulation."""

import math
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pandas as pd
import pymc
import pytensor.tensor
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayes_rare.errors import InvalidData, InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import (
    Deployment,
    family_mix,
    notes,
    outcomes,
    population_forecast,
)
from bayes_rare.likelihoods.families import (
    draw_families,
    shared_effects,
    shared_families,
)
from bayes_rare.likelihoods.family_scores import family_scores
from bayes_rare.likelihoods.layout import data_variables
from bayes_rare.populations import (
    SPLICE,
    FamilyMixture,
    Normal,
    Origin,
    log_worst_level,
    spliced_log_density,
    spliced_log_survival,
    spliced_quantile,
)
from bayes_rare.populations.gathered import Gathered
from bayes_rare.scores import log_safe_from_score

# Symbolic values have no useful types.
pm: Any = pymc
pt: Any = pytensor.tensor

mp: Any = mpmath.mp.clone()
mp.dps = 40

SHAPES = [-0.4, -0.05, -1e-9, 0.0, 1e-9, 0.1, 0.6]


def mixture(
    families: int = 4, draws: int = 3, seed: int = 0, shape: float = -0.05
) -> FamilyMixture:
    rng = np.random.default_rng(seed)
    size = (families, draws)
    origin = Origin(
        centre=np.full(draws, -2.0),
        width=np.full(draws, 0.3),
        log_scale=np.full(draws, -2.5),
        spread=np.full(draws, 0.4),
        freedom=4.0,
        finest=1e-3,
    )
    return FamilyMixture(
        location=-2 + 0.4 * rng.standard_t(4, size),
        scale=0.1 * np.exp(0.5 * rng.standard_normal(size)),
        weight=rng.dirichlet(np.full(families, 3.0), draws).T,
        shape=shape + 0.1 * rng.standard_normal(draws),
        origin=origin,
    )


# What a mixture is made of: made inside a test, as types are checked at random.
mixtures = st.fixed_dictionaries(
    {
        "families": st.integers(1, 6),
        "seed": st.integers(0, 1000),
        "shape": st.floats(-0.3, 0.4),
    }
)


def spliced(deviate: float, shape: float) -> Any:
    """Survival of the spliced distribution, by its definition."""
    if deviate <= SPLICE:
        return mp.ncdf(-mp.mpf(deviate))
    excess = (mp.mpf(deviate) - 1) * mp.npdf(1) / mp.ncdf(-1)
    if shape == 0:
        return mp.ncdf(-1) * mp.exp(-excess)
    bend = 1 + mp.mpf(shape) * excess
    return mp.ncdf(-1) * bend ** (-1 / mp.mpf(shape)) if bend > 0 else mp.mpf(0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("deviate", [-8.0, -3.0, 0.0, 0.999, 1.0, 1.001, 2.0, 2.6])
def test_spliced_survival_is_exact(deviate: float, shape: float) -> None:
    value = float(spliced_log_survival(deviate, shape))
    exact = spliced(deviate, shape)
    expected = float(mp.log(exact)) if exact else -math.inf
    assert value == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(st.floats(-40, -1e-9), st.floats(-0.5, 0.5))
def test_spliced_quantile_inverts_the_survival(level: float, shape: float) -> None:
    score = spliced_quantile(level, shape)
    # Near an upper end, survival falls by more than a rounded score can tell.
    again = float(spliced_log_survival(score, shape))
    assert again == pytest.approx(level, rel=1e-9, abs=1e-5)


@given(st.floats(-5, 6), st.floats(-0.15, 0.5))
def test_spliced_density_is_the_slope_of_the_survival(
    deviate: float, shape: float
) -> None:
    if abs(deviate - SPLICE) < 1e-4:
        return
    step = 1e-6
    ends = np.array([deviate - step, deviate + step])
    below, above = np.exp(spliced_log_survival(ends, shape))
    slope = (below - above) / (2 * step)
    density = math.exp(float(spliced_log_density(deviate, shape)))
    assert density == pytest.approx(slope, rel=1e-3, abs=1e-8)


def test_the_density_is_continuous_where_the_tail_begins() -> None:
    ends = np.array([SPLICE - 1e-9, SPLICE + 1e-9])
    left, right = spliced_log_density(ends, 0.2)
    assert left == pytest.approx(right, abs=1e-7)


@given(mixtures, st.floats(-30, -1e-3))
def test_quantile_is_the_root_of_the_survival(
    made: dict[str, Any], level: float
) -> None:
    population = mixture(**made)
    score = population.quantile(level)
    below = population.log_survival(score - 1e-7)
    above = population.log_survival(score + 1e-7)
    assert (below >= level - 1e-6).all()
    assert (above <= level + 1e-6).all()


@given(mixtures)
def test_survival_is_the_weighted_mean_of_the_families(made: dict[str, Any]) -> None:
    population = mixture(**made)
    score = -1.7
    deviate = (score - population.location) / population.scale
    parts = np.exp(spliced_log_survival(deviate, population.shape))
    with np.errstate(divide="ignore"):  # beyond the end of every family
        expected = np.log((population.weight * parts).sum(axis=0))
    np.testing.assert_allclose(
        population.log_survival(score), expected, rtol=1e-10, atol=1e-15
    )


@given(mixtures)
def test_a_mixture_is_complete(made: dict[str, Any]) -> None:
    population = mixture(**made)
    np.testing.assert_allclose(population.log_survival(-1e5), 0.0, atol=1e-15)
    assert np.isneginf(population.log_survival(np.inf)).all()
    assert np.isneginf(population.quantile(0.0)).all()
    levels = np.log([[0.999], [0.5], [1e-3], [1e-6], [1e-12]])
    scores = population.quantile(levels)
    assert np.isfinite(scores).all()
    assert (np.diff(scores, axis=0) >= 0).all()


def test_one_family_of_many_draws_is_the_spliced_distribution(
    rng: np.random.Generator,
) -> None:
    location, scale = rng.normal(size=7), np.exp(rng.normal(size=7))
    shape = rng.normal(0, 0.1, 7)
    alone = FamilyMixture(location[None], scale[None], np.ones((1, 7)), shape)
    level = np.log([[0.7], [0.01], [1e-9]])
    np.testing.assert_allclose(
        alone.quantile(level), location + scale * spliced_quantile(level, shape)
    )


def test_a_family_without_weight_is_not_there() -> None:
    population = mixture(families=3)
    most = np.array([[0.4], [0.0], [0.6]])
    mixed = population.mixed(most)
    kept = FamilyMixture(
        population.location[[0, 2]],
        population.scale[[0, 2]],
        np.broadcast_to(most[[0, 2]], (2, 3)),
        population.shape,
    )
    levels = np.array([[-0.5], [-8.0], [-25.0]])
    np.testing.assert_allclose(mixed.quantile(levels), kept.quantile(levels))


@given(mixtures, st.sampled_from([1.0, 1e3, 1e9]))
def test_mean_failure_of_a_mixture_is_exact(
    made: dict[str, Any], samples: float
) -> None:
    """Against a sum over many levels of each family."""
    population = mixture(**made)
    depth = np.linspace(0, 45, 200_001)
    middle = (depth[1:] + depth[:-1]) / 2
    mass = np.exp(-depth[:-1]) - np.exp(-depth[1:])
    total = 0.0
    for location, scale, weight in zip(
        population.location[:, 0],
        population.scale[:, 0],
        population.weight[:, 0],
        strict=True,
    ):
        deviate = spliced_quantile(-middle, population.shape[0])
        score = location + scale * deviate
        failure = -np.expm1(samples * log_safe_from_score(score))
        total += weight * float(mass @ failure)
    assert float(population.mean_failure(samples)[0]) == pytest.approx(total, rel=1e-4)


@given(mixtures, st.floats(-12, -0.1))
def test_partial_means_of_a_mixture_add_up(made: dict[str, Any], level: float) -> None:
    """The mean of 1 over all but the riskiest is the fraction that is left."""
    population = mixture(**made)
    ones = population.mean(np.ones_like, level)
    np.testing.assert_allclose(ones, -np.expm1(level), rtol=1e-5)


def worst_by_simulation(
    population: FamilyMixture, queries: int, runs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Worst score and its family, of deployments that are drawn query by query."""
    family = rng.choice(population.families, (runs, queries), p=population.weight[:, 0])
    level = -rng.standard_exponential((runs, queries))
    score = population.location[family, 0] + population.scale[
        family, 0
    ] * spliced_quantile(level, population.shape[0])
    at = score.argmax(axis=1)
    rows = np.arange(runs)
    return score[rows, at], family[rows, at]


def worst_p_values(stretch: float, rng: np.random.Generator) -> tuple[float, float]:
    """Of the worst score against its distribution, and of the family that holds it."""
    population = mixture(families=3, draws=1, seed=5, shape=0.1)
    score, family = worst_by_simulation(population, 300, 4_000, rng)
    said = FamilyMixture(
        population.location,
        population.scale * np.array([[1.0], [stretch], [1.0]]),
        population.weight,
        population.shape,
    )
    survival = np.exp(said.log_survival(score[:, None]))[:, 0]
    uniform = np.exp(300 * np.log1p(-survival))
    many = FamilyMixture(
        location=np.repeat(said.location, 4_000, axis=1),
        scale=np.repeat(said.scale, 4_000, axis=1),
        weight=np.repeat(said.weight, 4_000, axis=1),
        shape=np.repeat(said.shape, 4_000),
    )
    share = outcomes.family_contributions(many, 300, rng).mean(axis=1)
    seen = np.bincount(family, minlength=3)
    kept = 4_000 * share >= 5  # the chi-squared law wants so many
    counts, expected = seen[kept], share[kept]
    test = stats.chisquare(counts, counts.sum() * expected / expected.sum())
    return float(stats.kstest(uniform, "uniform").pvalue), float(test.pvalue)


def test_the_worst_and_its_family_are_those_of_simulated_deployments(
    rng: np.random.Generator,
) -> None:
    assert min(worst_p_values(1.0, rng)) > 1e-6


def test_that_test_of_the_worst_can_fail(rng: np.random.Generator) -> None:
    assert max(worst_p_values(1.3, rng)) < 1e-6


def test_contributions_sum_to_one_and_follow_the_riskiest() -> None:
    population = mixture(families=5, draws=50, seed=2)
    rng = np.random.default_rng(0)
    for queries in (1, 10**3, 10**12):
        share = outcomes.family_contributions(population, queries, rng)
        np.testing.assert_allclose(share.sum(axis=0), 1.0)
    one = outcomes.family_contributions(population, 1, rng).mean(axis=1)
    np.testing.assert_allclose(one, population.weight.mean(axis=1), atol=0.08)


def test_new_families_are_drawn_from_their_population_and_stay_the_same() -> None:
    population = mixture(families=2, draws=4_000)
    new = np.full(10, 0.05)
    mixed = population.mixed(new=new, labels=("a", "b", *["new"] * 10))
    assert mixed.families == 12
    np.testing.assert_allclose(mixed.weight.sum(axis=0), 1.0)
    np.testing.assert_allclose(mixed.weight[2:], 0.05)
    effect = (mixed.location[2:] + 2.0) / 0.3
    assert stats.kstest(effect.ravel(), stats.t(4).cdf).pvalue > 1e-6
    assert stats.kstest(effect.ravel(), stats.norm.cdf).pvalue < 1e-6
    log_scale = (np.log(mixed.scale[2:] - 1e-3) + 2.5) / 0.4
    assert stats.kstest(log_scale.ravel(), stats.norm.cdf).pvalue > 1e-6
    again = population.mixed(new=new, labels=mixed.labels)
    np.testing.assert_array_equal(again.location, mixed.location)


def test_a_mixture_of_no_known_origin_has_no_new_families() -> None:
    one = np.ones((1, 2))
    alone = FamilyMixture(one, one, one, np.zeros(2))
    with pytest.raises(ValueError, match="population"):
        alone.mixed(new=np.array([0.5]))


def seen(rng: np.random.Generator, queries: int = 60) -> Evaluation:
    """Behaviour a met with families x, y, z; behaviour b with x and z alone."""
    return Evaluation.from_scores(
        {"a": rng.normal(-2, 0.2, queries), "b": rng.normal(-2, 0.2, queries)},
        family={
            "a": ["x", "y", "z"] * (queries // 3),
            "b": ["x", "z"] * (queries // 2),
        },
    )


def test_weights_of_families_replace_the_mix_of_the_evaluation(
    rng: np.random.Generator,
) -> None:
    population, evaluation = mixture(families=3), seen(rng)
    mix = family_mix.checked_mix({"z": 3, "x": 1})
    made = family_mix.deployed(population, evaluation, "a", mix, 0.0, None)
    assert isinstance(made, FamilyMixture)
    assert made.labels == ("x", "y", "z")
    np.testing.assert_allclose(made.weight[:, 0], [0.25, 0.0, 0.75])


def test_a_family_met_under_another_behaviour_only_is_new(
    rng: np.random.Generator,
) -> None:
    population, evaluation = mixture(families=2), seen(rng)
    mix = family_mix.checked_mix({"x": 1, "y": 1})
    made = family_mix.deployed(population, evaluation, "b", mix, 0.2, 4)
    assert isinstance(made, FamilyMixture)
    assert made.labels == ("x", "z", "y", *[family_mix.UNSEEN] * 4)
    np.testing.assert_allclose(
        made.weight[:, 0], [0.4, 0.0, 0.4, 0.05, 0.05, 0.05, 0.05]
    )


def test_all_queries_may_be_from_families_not_met(rng: np.random.Generator) -> None:
    made = family_mix.deployed(mixture(families=3), seen(rng), "a", None, 1.0, 5)
    assert isinstance(made, FamilyMixture)
    assert (made.weight[:3] == 0).all()
    np.testing.assert_allclose(made.weight[3:], 0.2)


def test_a_population_that_knows_no_families_stays_as_it_is(
    rng: np.random.Generator,
) -> None:
    plain = Normal(np.zeros(2), np.ones(2))
    mix = family_mix.checked_mix({"x": 1})
    assert family_mix.deployed(plain, seen(rng), "a", mix, 0.5, 3) is plain


@pytest.mark.parametrize(
    ("families", "way_out"),
    [
        ({"x": -1}, "number from 0 on"),
        ({"x": math.nan}, "number from 0 on"),
        ({"x": "much"}, "number from 0 on"),
        ({"x": 0.0}, "leave families out"),
        (pd.DataFrame({"family": ["x", "x"], "weight": [1, 2]}), "their sum, once"),
        ([1, 2], "columns family and weight"),
    ],
)
def test_impossible_weights_are_refused(families: Any, way_out: str) -> None:
    with pytest.raises(InvalidInput, match=way_out):
        Deployment(10, families=families)


def test_an_unknown_family_is_refused_with_those_that_there_are(
    rng: np.random.Generator,
) -> None:
    mix = family_mix.checked_mix({"x": 1, "w": 3})
    with pytest.raises(InvalidInput, match=r"'w'.*'x', 'y', 'z'.*unseen_share=0.75"):
        family_mix.deployed(mixture(families=3), seen(rng), "a", mix, 0.0, None)


def test_too_many_new_families_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 2000"):
        Deployment(10, unseen_share=0.5, unseen_families=10_000)


def test_a_deployment_keeps_its_mix_at_every_size() -> None:
    made = Deployment(
        [10, 100], families={"b": 1, "a": 3}, unseen_share=0.5, unseen_families=2
    )
    assert made.families == (("a", 0.75), ("b", 0.25))
    assert made.of_size(10) == Deployment(
        10, families={"a": 0.75, "b": 0.25}, unseen_share=0.5, unseen_families=2
    )
    assert "families={'a': 0.75, 'b': 0.25}" in repr(made)


def test_weights_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_text("family,weight\n007,1\nNA,3\n", encoding="utf-8")
    assert family_mix.read_mix(path) == {"007": 0.25, "NA": 0.75}
    with pytest.raises(InvalidData, match="no file"):
        family_mix.read_mix(tmp_path / "other.csv")
    path.write_text("name,weight\nx,1\n", encoding="utf-8")
    with pytest.raises(InvalidData, match="no column 'family'"):
        family_mix.read_mix(path)


def false_alarms(tilt: float, rng: np.random.Generator) -> int:
    """How many of 1,000 evaluations with 20 uneven families are said to be odd."""
    alarms = 0
    size = rng.integers(2, 30, 20)
    family = np.repeat(np.arange(20), size)
    labels = [f"family {number:02d}" for number in family]
    for _ in range(1_000):
        score = rng.normal(size=family.size) + tilt * rng.normal(size=20)[family]
        found = family_mix.concentration(
            Evaluation.from_scores(score, family=labels), "behaviour"
        )
        assert found is not None
        alarms += found.p_value <= family_mix.FALSE_ALARMS
    return alarms


def test_false_alarms_are_as_rare_as_is_said(rng: np.random.Generator) -> None:
    alarms = false_alarms(0.0, rng)
    test = stats.binomtest(
        alarms, 1_000, family_mix.FALSE_ALARMS, alternative="greater"
    )
    assert test.pvalue > 1e-6


def test_families_that_differ_are_found(rng: np.random.Generator) -> None:
    assert false_alarms(1.0, rng) > 500


def test_a_method_that_ignores_families_says_where_that_misleads(
    rng: np.random.Generator,
) -> None:
    family = np.repeat([f"f{number}" for number in range(10)], 20)
    score = rng.normal(-3, 0.1, 200) + (family == "f3")
    evaluation = Evaluation.from_scores(score, family=family.tolist())
    [note] = notes.on_concentration(evaluation)
    assert "20 of the 20 riskiest queries are from 1 family of 10 ('f3'" in note
    assert "family_tail" in note
    populations = {"behaviour": Normal(np.array([-3.0]), np.array([0.5]))}
    made = population_forecast("mine", evaluation, populations, Deployment(10))
    assert note in made.notes
    alike = Evaluation.from_scores(rng.normal(size=200), family=family.tolist())
    assert notes.on_concentration(alike) == []
    assert notes.on_concentration(Evaluation.from_scores(score)) == []


def test_good_and_turing_say_how_much_is_not_met() -> None:
    """Of 50 equal families and 100 queries, the estimate is right on average."""
    rng = np.random.default_rng(1)
    guesses, truths = [], []
    for _ in range(400):
        family = rng.integers(0, 50, 100)
        evaluation = Evaluation.from_scores(
            np.arange(100.0), family=[str(number) for number in family]
        )
        guesses.append(family_mix.unseen_guess(evaluation, "behaviour")[0])
        truths.append(1 - np.unique(family).size / 50)
    error = np.array(guesses) - np.array(truths)
    assert abs(error.mean()) < 5 * error.std() / 20


def joint_forecast() -> Any:
    rng = np.random.default_rng(0)
    scores = {"a": rng.normal(-2, 0.2, 60), "b": rng.normal(-2, 0.2, 60)}
    draws = np.zeros(1000)
    populations = {
        "a": Normal(draws - 2.0, draws + 0.5),
        "b": Normal(draws - 2.0, draws + 0.5),
        "c": Normal(draws - 1.0, draws + 0.5),
    }
    return population_forecast(
        "mine",
        Evaluation.from_scores(scores | {"c": scores["a"] + 1}),
        populations,
        Deployment([1, 1000]),
    )


def test_the_worst_of_several_by_both_kinds_of_luck() -> None:
    table = joint_forecast().joint_worst(["a", "b"])
    by_luck = table.set_index(["queries", "luck"])["median"]
    # Of two alike with one luck, the worst is as the worst of one; with luck of their
    # own, as the worst of twice as many queries.
    one = Normal(np.array([-2.0]), np.array([0.5]))
    for queries in (1, 1000):
        for luck, served in (("shared", queries), ("independent", 2 * queries)):
            score = one.quantile(log_worst_level(np.log(0.5), served))
            risk = math.exp(-math.exp(-float(score[0])))
            assert by_luck[queries, luck] == pytest.approx(risk, rel=0.1)


def test_which_of_two_is_worse() -> None:
    made = joint_forecast()
    alike = made.worse("a", "b")
    assert alike["chance"].between(0.46, 0.54).all()
    assert (alike.query("luck == 'shared'")["chance"] == 0.5).all()
    apart = made.worse("c", "a")
    assert (apart["population"] == 1.0).all()
    assert (apart.query("luck == 'shared'")["chance"] == 1.0).all()
    # P(N(1, 0.5) > N(0, 0.5)) of single queries.
    single = apart.query("luck == 'independent' and queries == 1")["chance"].item()
    assert single == pytest.approx(stats.norm.cdf(1 / math.hypot(0.5, 0.5)), abs=0.02)
    np.testing.assert_allclose(
        made.worse("a", "c").query("queries == 1")["chance"],
        1 - apart.query("queries == 1")["chance"],
        atol=0.03,
    )


def test_joint_answers_refuse_what_was_not_forecast() -> None:
    made = joint_forecast()
    with pytest.raises(InvalidInput, match="There are: a, b, c"):
        made.worse("a", "d")
    with pytest.raises(InvalidInput, match="no behaviour is named"):
        made.joint_worst([])
    with pytest.raises(InvalidInput, match="interval"):
        made.joint_worst(interval=1.0)


def test_a_method_without_families_has_no_contributions() -> None:
    with pytest.raises(NotApplicable, match="family_tail"):
        joint_forecast().family_contributions()


def test_the_data_of_families_lose_no_query(rng: np.random.Generator) -> None:
    score = np.concatenate([rng.normal(-2, 0.2, 500), [np.inf, -np.inf, -np.inf]])
    family = [f"f{number}" for number in rng.integers(0, 7, 503)]
    data = family_scores(Evaluation.from_scores(score, family=family))
    _, sizes = np.unique(family, return_counts=True)
    np.testing.assert_array_equal(data["family_count"][0, :7], sizes)
    assert (data["family_count"][0, 7:] == 0).all()
    assert data["cell_count"].sum() == 500
    assert (data["zeros"].sum(), data["ones"].sum()) == (2, 1)
    for number in range(7):
        mine = np.array([label == f"f{number}" for label in family])
        there = (data["cell_family"][0] == number) & (data["cell_count"][0] > 0)
        np.testing.assert_allclose(
            np.sort(data["cell_score"][0, there]),
            np.sort(score[mine & np.isfinite(score)]),
        )


def test_large_families_are_kept_in_cells_and_small_ones_whole(
    rng: np.random.Generator,
) -> None:
    score = np.concatenate([rng.normal(-2, 0.2, 20_000), rng.normal(-3, 0.2, 9)])
    family = ["large"] * 20_000 + ["small"] * 9
    data = family_scores(Evaluation.from_scores(score, family=family))
    assert data["cell_score"].shape[1] <= 5_120
    assert data["cell_count"].sum() == 20_009
    small = data["cell_family"][0] == 1
    assert (data["cell_count"][0, small] == 1).sum() == 9
    total = (data["cell_count"] * data["cell_score"]).sum()
    assert total == pytest.approx(score.sum(), rel=1e-9)


def test_two_thousand_families_of_one_query_are_data(rng: np.random.Generator) -> None:
    data = family_scores(
        Evaluation.from_scores(
            rng.normal(-2, 0.3, 2_000), family=[f"{number}" for number in range(2_000)]
        )
    )
    assert data["family_count"].shape == (1, 2_048)
    assert (data["scale_weight"] == 0).all()
    assert all(np.isfinite(value).all() for value in data.values())


def test_behaviours_share_families_of_the_same_name() -> None:
    scores = {"a": np.arange(3.0), "b": np.arange(4.0)}
    labels = {"a": ["y", "x", "y"], "b": ["w", "y", "z", "z"]}
    shared = shared_families(Evaluation.from_scores(scores, family=labels))
    families = family_scores(Evaluation.from_scores(scores, family=labels))
    own = {"a": ["x", "y"], "b": ["w", "y", "z"]}
    assert shared["shared_place"].shape == families["family_count"].shape
    place = {
        (behaviour, name): shared["shared_place"][row, number]
        for row, (behaviour, names) in enumerate(own.items())
        for number, name in enumerate(names)
    }
    assert place["a", "y"] == place["b", "y"]
    assert len({*place.values()}) == 4
    for (behaviour, name), number in place.items():
        row = "ab".index(behaviour)
        count = shared["shared_count"][row, int(number)]
        assert count == labels[behaviour].count(name)
    assert shared["shared_count"].sum() == 7


@pytest.mark.parametrize(
    ("behaviours", "labels"), [(["a"], ["x", "y"]), (["a", "b"], None)]
)
def test_one_behaviour_or_no_families_share_nothing(
    behaviours: list[str], labels: list[str] | None
) -> None:
    scores = dict.fromkeys(behaviours, np.arange(2.0))
    family = None if labels is None else dict.fromkeys(behaviours, labels)
    assert not shared_families(Evaluation.from_scores(scores, family=family))


def test_what_is_shared_leaves_each_behaviour_as_it_is(
    rng: np.random.Generator,
) -> None:
    width = np.array([0.3, 0.8])
    centres = {"location_centre": width, "location_width": width}
    scales = {"log_scale_centre": np.array([-2.0, 1.0]), "scale_width": width}
    many = {"scale_common": np.asarray(0.7), "shared_scale": rng.normal(size=4_096)}
    made = draw_families(rng, 4_000, 2, {**centres, **scales, **many}, 4.0)
    log_scale = made["log_scale"][:, :4_000]
    np.testing.assert_allclose(log_scale.mean(axis=1), [-2.0, 1.0], atol=0.06)
    np.testing.assert_allclose(log_scale.std(axis=1), width, rtol=0.04)
    assert np.corrcoef(log_scale)[0, 1] == pytest.approx(0.7, abs=0.03)


def test_what_is_shared_has_the_prior_that_is_drawn_from() -> None:
    """The density of the parameters is that of the story, whatever the offsets are."""
    scores = {"a": np.arange(3.0), "b": np.arange(4.0)}
    labels = {"a": ["y", "x", "y"], "b": ["x", "y", "z", "z"]}
    evaluation = Evaluation.from_scores(scores, family=labels)
    data = shared_families(evaluation)
    centre, width = np.array([-2.0, 1.0]), np.array([0.3, 0.8])
    with pm.Model() as model:
        known = data_variables(data)
        expected, apart = shared_effects(
            "scale", known, centre=pt.constant(centre), width=pt.constant(width)
        )
        pm.Deterministic("expected", expected)
        pm.Deterministic("apart", apart)
    common, effect = 0.6, np.linspace(-1.0, 1.0, 16)
    found = model.compile_fn(
        [model["expected"], model["apart"]],
        inputs=[model["scale_common"], model["shared_scale"]],
    )({"scale_common": common, "shared_scale": effect})
    place = data["shared_place"].astype(int)
    want = centre[:, None] + width[:, None] * math.sqrt(common) * effect[place]
    np.testing.assert_allclose(found[0], want)
    np.testing.assert_allclose(found[1], width * math.sqrt(1 - common))


def test_a_single_score_is_refused() -> None:
    with pytest.raises(NotApplicable, match="a spread needs two"):
        family_scores(Evaluation.from_scores([0.5, 0.5], family=["a", "b"]))


def test_an_average_in_another_mix_keeps_its_number_of_draws() -> None:
    """Behaviours are forecast side by side, whatever each one's weights are."""
    evaluation = Evaluation.from_scores(
        np.linspace(-3, -1, 40), family=[f"{number % 4}" for number in range(40)]
    )
    known = mixture(families=4, draws=3)
    plain = Normal(np.zeros(5), np.ones(5))
    both = Gathered((known, plain))
    mix = (("1", 1.0),)
    moved = family_mix.deployed(both, evaluation, "behaviour", mix, 0.0, None)
    assert moved.draws == 8
    alone = family_mix.deployed(known, evaluation, "behaviour", mix, 0.0, None)
    level = np.log(0.01)
    np.testing.assert_array_equal(
        moved.quantile(level), np.resize(alone.quantile(level), 8)
    )
    unmoved = family_mix.deployed(both, evaluation, "behaviour", None, 0.0, None)
    assert isinstance(unmoved, Gathered)
