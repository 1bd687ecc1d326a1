"""What enters a density, and the density: by hand, by scipy, and by 60 digits."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import mpmath
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import stats

from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import devices
from bayes_rare.likelihoods.exceedances import (
    BODY_CELLS,
    binomial_logp,
    exceedance_data,
    gpd_logp,
    gpd_logsf,
    observe_exceedances,
    simulate_exceedances,
    tail_population,
)
from bayes_rare.likelihoods.layout import (
    DIMS,
    data_variables,
    padded_length,
    padded_rows,
)
from bayes_rare.likelihoods.normal_scores import (
    cell_data,
    normal_cell_logp,
    normal_logcdf,
)
from bayes_rare.populations import gpd_log_survival

mp: Any = mpmath.mp.clone()
mp.dps = 60


@cache
def in_jax(symbolic: Callable[..., Any], arguments: int) -> Callable[..., Any]:
    """Values and gradients, as the sampler has them: by JAX, in float64."""
    inputs = [pt.dscalar(f"x{index}") for index in range(arguments)]
    function = devices.jaxified_graph()(inputs=inputs, outputs=[symbolic(*inputs)])
    both = jax.value_and_grad(
        lambda *values: function(*values)[0], argnums=tuple(range(arguments))
    )
    return jax.jit(jax.vmap(both))


def value_and_gradient(
    symbolic: Callable[..., Any], *columns: Any
) -> tuple[np.ndarray, np.ndarray]:
    arrays = np.broadcast_arrays(*(np.atleast_1d(c).astype(float) for c in columns))
    value, gradient = in_jax(symbolic, len(columns))(*arrays)
    return np.asarray(value), np.stack(gradient, axis=-1)


# Through 0, on both sides of the switch to a series at 1e-4, and far from it.
SHAPES = [
    *(-0.999999, -0.5, -1.01e-4, -1e-4, -0.99e-4, -1e-9, 0.0, 1e-12, 1e-5),
    *(0.99e-4, 1.01e-4, 1e-3, 0.5, 3.0),
]


def exact_logsf(excess: Any, scale: Any, shape: Any) -> Any:
    depth = excess / scale
    if abs(shape) < mp.mpf("1e-18"):
        return -depth * (1 - shape * depth / 2 + (shape * depth) ** 2 / 3)
    return -mp.log1p(shape * depth) / shape


def exact_logp(excess: Any, scale: Any, shape: Any) -> Any:
    return -mp.log(scale) + (1 + shape) * exact_logsf(excess, scale, shape)


@pytest.mark.parametrize(
    ("symbolic", "exact", "scipys"),
    [
        (gpd_logsf, exact_logsf, stats.genpareto.logsf),
        (gpd_logp, exact_logp, stats.genpareto.logpdf),
    ],
)
@pytest.mark.parametrize("excess", [1e-6, 0.3, 0.9])
def test_gpd_and_its_gradient_are_exact(
    symbolic: Any, exact: Any, scipys: Any, excess: float
) -> None:
    scale = 0.9
    value, gradient = value_and_gradient(symbolic, excess, scale, SHAPES)
    points = [(mp.mpf(excess), mp.mpf(scale), mp.mpf(shape)) for shape in SHAPES]
    np.testing.assert_allclose(
        value, [float(exact(*point)) for point in points], rtol=1e-11, atol=1e-15
    )
    np.testing.assert_allclose(
        gradient,
        [
            [float(mp.diff(exact, point, order)) for order in np.eye(3, dtype=int)]
            for point in points
        ],
        rtol=1e-8,
        atol=1e-11,
    )
    np.testing.assert_allclose(value, scipys(excess, SHAPES, scale=scale), rtol=1e-7)


def test_gpd_is_finite_at_its_upper_end_and_beyond() -> None:
    """A sampler that steps outside is to be turned back, not to be given a NaN."""
    excess = np.array([1.0 - 1e-12, 1.0, 1.0 + 1e-12, 2.0, 1e6])
    for symbolic in (gpd_logsf, gpd_logp):
        value, gradient = value_and_gradient(symbolic, excess, 0.5, -0.5)
        assert np.isfinite(value).all()
        assert np.isfinite(gradient).all()


def test_the_two_gpd_survivals_are_one_function(rng: np.random.Generator) -> None:
    excess, scale = rng.exponential(size=200), rng.uniform(0.5, 2, 200)
    shape = rng.normal(0, 0.1, 200) * np.repeat([1e-9, 1e-4, 1e-3, 1.0], 50)
    shape = np.maximum(shape, -0.9 * scale / excess)
    value, _ = value_and_gradient(gpd_logsf, excess, scale, shape)
    np.testing.assert_allclose(
        value, gpd_log_survival(excess, scale, shape), rtol=1e-11
    )


def test_normal_logcdf_and_its_gradient_are_exact() -> None:
    deviates = [-1e3, -40.0, -20.1, -20.0 - 1e-9, -20.0, -19.9, -5.0, -1.0, 0.0, 3.0]
    value, gradient = value_and_gradient(normal_logcdf, deviates)
    with mp.workdps(250):
        exact = [mp.log(mp.erfc(-mp.mpf(x) / mp.sqrt(2)) / 2) for x in deviates]
        slope = [
            mp.exp(-(mp.mpf(x) ** 2) / 2 - log_cdf) / mp.sqrt(2 * mp.pi)
            for x, log_cdf in zip(deviates, exact, strict=True)
        ]
    np.testing.assert_allclose(value, [float(x) for x in exact], rtol=1e-10)
    np.testing.assert_allclose(value, stats.norm.logcdf(deviates), rtol=1e-10)
    np.testing.assert_allclose(gradient[:, 0], [float(x) for x in slope], rtol=1e-8)
    far, steep = value_and_gradient(normal_logcdf, [-1e8, 1e8])
    np.testing.assert_allclose(far, [-5e15, 0], rtol=1e-8)
    np.testing.assert_allclose(steep[:, 0], [1e8, 0], rtol=1e-8)


def test_a_cell_has_the_density_of_its_members(rng: np.random.Generator) -> None:
    members, location, scale = rng.normal(-2, 1.5, 7), -1.0, 0.7
    squares = float(((members - members.mean()) ** 2).sum())
    value, gradient = value_and_gradient(
        normal_cell_logp, members.mean(), location, scale, 7, squares, 0
    )
    np.testing.assert_allclose(
        value, [stats.norm.logpdf(members, location, scale).sum()], rtol=1e-12
    )
    deviate = (members - location) / scale
    expected = [deviate.sum() / scale, (deviate**2 - 1).sum() / scale]
    np.testing.assert_allclose(gradient[0, 1:3], expected, rtol=1e-12)


@pytest.mark.parametrize("score", [-40.0, -3.0, -1.0, 2.0, 40.0])
def test_a_censored_cell_has_the_chance_of_being_beyond(score: float) -> None:
    value, gradient = value_and_gradient(
        normal_cell_logp, score, -1.0, 0.7, 3.0, 0.0, [-1.0, 1.0]
    )
    expected = [
        3 * stats.norm.logcdf(score, -1, 0.7),
        3 * stats.norm.logsf(score, -1, 0.7),
    ]
    np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-14)
    assert np.isfinite(gradient).all()
    assert gradient[0, 1] <= 0 <= gradient[1, 1]  # a larger mean, a larger score


def test_padding_adds_nothing_to_a_density() -> None:
    value, gradient = value_and_gradient(normal_cell_logp, 0.0, -1.0, 0.7, 0, 0, 0)
    assert value == 0
    assert (gradient[:, 1:3] == 0).all()


def test_binomial_logp_is_scipys_up_to_a_billion() -> None:
    successes = np.array([0, 1, 10, 10, 5e8])
    trials = np.array([5, 1e9, 10, 1e4, 1e9])
    chance = np.array([0.3, 1e-9, 0.99, 1e-3, 0.5])
    value, _ = value_and_gradient(binomial_logp, successes, trials, chance)
    # The logarithm of a factorial of 1e9 is 2e10, known to 4e-6.
    np.testing.assert_allclose(
        value, stats.binom.logpmf(successes, trials, chance), rtol=1e-12, atol=2e-5
    )


def evaluation_of(*scores: Any) -> Evaluation:
    return Evaluation.from_scores(
        {f"b{index}": np.asarray(row, dtype=float) for index, row in enumerate(scores)}
    )


def test_the_threshold_leaves_the_scores_asked_for_above_it() -> None:
    data = exceedance_data(evaluation_of([-1, -2, -3, -4, -5.5]), exceedances=2)
    assert set(data) <= set(DIMS)
    assert data["threshold"] == -3
    assert data["others"] == 4  # the threshold itself is not data
    assert data["exceeding"] == 2
    np.testing.assert_allclose(data["excess"][0, :2], [2, 1])
    np.testing.assert_array_equal(data["multiplicity"][0], [1, 1] + [0] * 14)
    assert not data["censored"].any()
    assert data["largest_excess"] == 2
    np.testing.assert_allclose(data["body_score"][0], [-3, -4, -5.5])
    np.testing.assert_array_equal(data["body_count"][0], [1, 1, 1])


def test_ties_at_the_threshold_are_all_taken_or_all_left() -> None:
    scores = [1, 0, 0, -1, -1, -2, -3]
    two = exceedance_data(evaluation_of(scores), exceedances=2)
    assert two["threshold"] == -1
    assert two["exceeding"] == 3
    np.testing.assert_array_equal(two["multiplicity"][0, :3], [1, 2, 0])
    np.testing.assert_array_equal(two["body_count"][0], [2, 1, 1])
    four = exceedance_data(evaluation_of(scores), exceedances=4)
    assert four["threshold"] == -2
    assert four["exceeding"] == 5


def test_a_fraction_is_a_number_and_a_given_threshold_leaves_every_score() -> None:
    scores = np.linspace(-5, 0, 50)
    tenth = exceedance_data(evaluation_of(scores), fraction=0.1)
    for name, value in exceedance_data(evaluation_of(scores), exceedances=5).items():
        np.testing.assert_array_equal(tenth[name], value)
    given = exceedance_data(
        evaluation_of(scores), threshold=float(tenth["threshold"][0])
    )
    assert given["exceeding"] == 5
    assert (tenth["others"], given["others"]) == (49, 50)


def test_censored_scores_are_counted_at_both_ends() -> None:
    scores = [np.inf, np.inf, 0, -1, -2, -3, -np.inf, -np.inf, -np.inf]
    evaluation = evaluation_of(scores)
    cells = evaluation.scores("b0")
    data = exceedance_data(evaluation, exceedances=3)
    assert data["threshold"] == -1
    assert data["exceeding"] == 3
    assert data["others"] == 8
    np.testing.assert_array_equal(data["censored"][0, :3], [0, 1, 0])
    np.testing.assert_array_equal(data["multiplicity"][0, :3], [1, 2, 0])
    np.testing.assert_allclose(data["excess"][0, :2], [1, cells.highest + 1])
    assert data["largest_excess"] == cells.highest + 1
    np.testing.assert_allclose(data["body_score"][0], [-1, -2, -3, cells.lowest])
    np.testing.assert_array_equal(data["body_count"][0], [1, 1, 1, 3])


def test_behaviours_of_different_sizes_share_arrays(rng: np.random.Generator) -> None:
    data = exceedance_data(
        evaluation_of(rng.normal(size=3_000), rng.normal(size=40)), fraction=0.02
    )
    assert {values.shape[0] for values in data.values()} == {2}
    assert all(values.dtype == np.float64 for values in data.values())
    assert data["excess"].shape == (2, 64)  # 60 exceedances, padded
    np.testing.assert_array_equal(data["multiplicity"].sum(axis=1), [60, 1])
    assert data["body_score"].shape == (2, BODY_CELLS)
    np.testing.assert_array_equal(data["body_count"].sum(axis=1), [2_940, 39])


def test_cells_of_all_scores_keep_count_mean_and_squares(
    rng: np.random.Generator,
) -> None:
    scores = rng.normal(-2, 1, 4_000)
    data = cell_data(evaluation_of([*scores, np.inf, -np.inf, -np.inf], [0.0, 1.0]))
    assert {values.shape for values in data.values()} == {(2, BODY_CELLS)}
    count, squares = data["cell_count"][0], data["cell_squares"][0]
    known = data["cell_censored"][0] == 0
    assert count[known].sum() == 4_000
    assert count[data["cell_censored"][0] == 1] == 1
    assert count[data["cell_censored"][0] == -1] == 2
    mean = count[known] @ data["cell_score"][0][known] / 4_000
    assert mean == pytest.approx(scores.mean(), rel=1e-12)
    between = count[known] @ (data["cell_score"][0][known] - mean) ** 2
    assert squares.sum() + between == pytest.approx(4_000 * scores.var(), rel=1e-10)


@pytest.mark.parametrize(
    ("size", "length"), [(1, 16), (16, 16), (17, 32), (1024, 1024)]
)
def test_rows_are_padded_to_a_few_lengths(size: int, length: int) -> None:
    assert padded_length(size) == length
    table = padded_rows([np.ones(size), np.ones(1)], length)
    assert table.sum() == size + 1


REFUSED: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    ([-1, -2, -3], {}, InvalidInput, "one of exceedances=, fraction= and threshold="),
    ([-1, -2], {"exceedances": 1, "threshold": 0.0}, InvalidInput, "others to None"),
    ([-1, -2], {"exceedances": 0}, InvalidInput, "whole number from 1 on"),
    ([-1, -2], {"fraction": 1.0}, InvalidInput, r"fraction is in \(0, 1\), got 1"),
    ([-1, -2], {"exceedances": 2}, NotApplicable, "at least 3.*or use log_normal"),
    (range(-12, 0), {"exceedances": 12}, NotApplicable, "at least 13.*exceedances=6"),
    ([-1, -1, -1], {"exceedances": 1}, NotApplicable, "with more digits"),
    ([-1, -1, -2, -2], {"exceedances": 1}, NotApplicable, "all tied.*more digits"),
    ([-np.inf, -np.inf], {"exceedances": 1}, NotApplicable, "recorded as exactly 0"),
    ([-1, -2], {"threshold": 0.0}, NotApplicable, "largest is -1. Give a lower"),
    (
        [np.inf, np.inf, -1, -2],
        {"exceedances": 2},
        NotApplicable,
        "2 risks recorded as exactly 1.*ask for more exceedances than that",
    ),
]


@pytest.mark.parametrize(("scores", "choice", "error", "way_out"), REFUSED)
def test_what_has_no_tail_is_refused_with_a_way_out(
    scores: Any, choice: dict[str, Any], error: type[Exception], way_out: str
) -> None:
    with pytest.raises(error, match=way_out):
        exceedance_data(evaluation_of(scores), **choice)


def test_the_ways_out_are_ways_out() -> None:
    exceedance_data(evaluation_of(range(-12, 0)), exceedances=6)
    exceedance_data(evaluation_of([np.inf, np.inf, -1, -2, -3]), exceedances=4)


def test_scores_that_are_all_equal_have_no_spread() -> None:
    with pytest.raises(
        NotApplicable, match="Evaluate more queries, or record log_risk"
    ):
        cell_data(evaluation_of([-1, -1, -1]))


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_the_density_of_exceedances_is_the_one_on_paper(shape: float) -> None:
    scores = [np.inf, 2.0, 1.5, 1.5, 0.0, -1.0, -2.0]
    data = exceedance_data(evaluation_of(scores), exceedances=4)
    excess = np.minimum(data["excess"], 4.0)  # within the upper end of each shape
    with pm.Model(coords={"behaviour": ["b0"]}) as model:
        known = data_variables(data | {"excess": excess})
        observe_exceedances(known, pt.as_tensor([1.1]), pt.as_tensor([shape]))
    with model:
        rate = 0.4
        found = model.compile_logp(model.observed_RVs, mode="FAST_COMPILE")(
            {"rate_logodds__": np.log([rate / (1 - rate)])}
        )
    exceeds = stats.genpareto(shape, scale=1.1)
    expected = (
        stats.binom.logpmf(4, 6, rate)
        + exceeds.logpdf([2.0, 1.5, 1.5]).sum()
        + exceeds.logsf(4.0)
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_predictive_draws_have_the_distribution_of_the_density(seed: int) -> None:
    data = exceedance_data(evaluation_of(np.linspace(-5, 0, 200)), exceedances=10)
    with pm.Model(coords={"behaviour": ["b0"]}):
        observe_exceedances(
            data_variables(data), pt.as_tensor([0.7]), pt.as_tensor([0.2])
        )
        tree = pm.sample_prior_predictive(
            500, random_seed=seed, compile_kwargs={"mode": "FAST_COMPILE"}
        )
    drawn = tree["prior_predictive"]["score_excess"].to_numpy().ravel()
    assert stats.kstest(drawn, stats.genpareto(0.2, scale=0.7).cdf).pvalue > 1e-6
    assert stats.kstest(drawn, stats.genpareto(0.0, scale=0.7).cdf).pvalue < 1e-6
    count = tree["prior_predictive"]["exceedance_count"].to_numpy().ravel()
    assert stats.kstest(count, stats.randint(0, 200).cdf).pvalue > 1e-6


def test_a_simulated_evaluation_has_the_tail_it_was_given(
    rng: np.random.Generator,
) -> None:
    rates, evaluation = simulate_exceedances(
        rng,
        {"one": 20_000, "two": 20_000},
        -1.5,
        np.array([0.4, 1.0]),
        np.array([0.1, -0.3]),
    )
    tails = {"one": (0.1, 0.4), "two": (-0.3, 1.0)}
    for rate, (behaviour, (shape, scale)) in zip(rates, tails.items(), strict=True):
        cells = evaluation.select([behaviour]).scores(behaviour)
        exact = cells.score[(cells.score > -1.5) & (cells.squares == 0)] + 1.5
        above = int(cells.count[cells.score > -1.5].sum()) + cells.censored_above
        assert stats.binomtest(above, 20_000, rate).pvalue > 1e-6
        # The largest are kept one by one: given the least of them, they are a sample.
        least = exact.min()
        within = stats.genpareto(shape, scale=scale + shape * least)
        assert stats.kstest(exact[:-1] - least, within.cdf).pvalue > 1e-6
        assert stats.kstest((exact[:-1] - least) * 1.3, within.cdf).pvalue < 1e-6


def test_a_tail_population_is_made_of_draws_and_body() -> None:
    data = exceedance_data(evaluation_of([-1, -2, -3, -3, -5]), exceedances=1)
    one = {name: np.asarray(values[0]) for name, values in data.items()}
    one["body_count"] = np.append(one["body_count"], 0.0)  # padding
    one["body_score"] = np.append(one["body_score"], 0.0)
    draws = {"rate": np.array([0.2, 0.3]), "scale": np.array([1.0, 2.0])}
    population = tail_population(draws, one, np.zeros(2))
    assert population.threshold == -2
    np.testing.assert_array_equal(population.body_score, [-2, -3, -5])
    np.testing.assert_allclose(
        population.log_survival(0.0), np.log([0.2, 0.3]) - [2.0, 1.0]
    )
