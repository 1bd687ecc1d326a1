"""Integrals over a latent score: by mpmath, by laws, and by simulation."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import mpmath
import numpy as np
import pytensor
import pytensor.tensor
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from bayes_rare import catalog
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.density import Density, density_of
from bayes_rare.likelihoods import quadrature
from bayes_rare.populations import StepsAndTail, gpd_log_survival
from bayes_rare.scores import (
    log_risk_from_score,
    log_safe_from_score,
    risk_from_score,
    score_from_log_risk,
    score_from_risk,
)

mp: Any = mpmath.mp.clone()
mp.dps = 20
pt: Any = pytensor.tensor
pytensor_any: Any = pytensor
compiled: Any = pytensor_any.function

TALLIES = [
    (0, 1),
    (1, 1),
    (3, 10),
    (10, 10),
    (0, 100),
    (1, 100),
    (50, 100),
    (99, 100),
    (100, 100),
    (7, 1_000),
    (0, 8_192),
    (1, 8_192),
    (4_000, 8_192),
    (8_191, 8_192),
    (8_192, 8_192),
    (0, 8_193),
    (8_193, 8_193),
    (0, 10**6),
    (1, 10**6),
    (1_000, 10**6),
    (5 * 10**5, 10**6),
    (10**6 - 1, 10**6),
    (10**6, 10**6),
]
ESTIMATES = [
    (-1e-6, 0.5),
    (-0.01, 0.05),
    (-2.0, 0.01),
    (-2.0, 0.3),
    (-10.0, 1.0),
    (-30.0, 0.02),
    (-100.0, 5.0),
]


@dataclass(frozen=True)
class Case:
    """A population of steps and a tail."""

    threshold: float
    scale: float
    shape: float
    rate: float = 0.02
    trials: float = 100.0

    @property
    def edges(self) -> np.ndarray:
        return quadrature.step_edges(self.threshold, self.trials)

    @property
    def weight(self) -> np.ndarray:
        weight = np.array([0.5, 0.3, 0.1, 0.07, 0.03])
        return (1 - self.rate) * weight

    @property
    def arguments(self) -> list[np.ndarray]:
        """The population as `latent.population_nodes` takes it, of one behaviour."""
        return [
            self.edges[None],
            np.log(self.weight)[None],
            np.log([self.rate]),
            np.array([self.scale]),
            np.array([self.shape]),
        ]

    @property
    def population(self) -> StepsAndTail:
        weight = self.weight[:, None]
        return StepsAndTail(
            self.edges, weight, *np.array([[self.rate], [self.scale], [self.shape]])
        )


CASES = [
    Case(-1.0, 0.3, 0.0),
    Case(-1.0, 0.3, -0.4),
    Case(-1.0, 0.3, 0.3),
    Case(-1.0, 0.003, -0.4),
    Case(-1.0, 3.0, 0.3),
    Case(-2.2, 0.05, 0.0, rate=1e-5, trials=1e6),
    # Saturated: most of the tail, or all the population, has a risk next to 1.
    Case(1.5, 4.0, 0.3, rate=0.5),
    Case(6.0, 1.0, -0.4, rate=0.9),
]


def nodes_of(xp: Any, population: list[Any], breaks: Any, number: int) -> Any:
    """Scores and log weights of `latent.population_nodes`."""
    edges, log_weight, log_rate, scale, shape = population
    return quadrature.population_nodes(
        xp, edges, log_weight, log_rate, scale, shape, breaks, number
    )


def log_integral(log_likelihood: np.ndarray, log_measure: np.ndarray) -> np.ndarray:
    return special.logsumexp(log_likelihood + log_measure, axis=-1)


def log_tallied(case: Case, successes: int, trials: int, most: float) -> float:
    """Log chance of a tally by the nodes that a model would take."""
    s, t = np.array([float(successes)]), np.array([float(trials)])
    if trials <= quadrature.SHARED_TRIALS:
        breaks, number = (
            quadrature.shared_breaks(most)[None, None],
            quadrature.SHARED_NODES,
        )
    else:
        breaks, number = quadrature.sharp_breaks(s, t)[None], quadrature.SHARP_NODES
    score, log_measure = nodes_of(np, case.arguments, breaks, number)
    yes, no = quadrature.log_chances(np, score)
    integral = log_integral(s * yes + (t - s) * no, log_measure)
    return float((quadrature.log_ways(s, t) + integral)[0, 0])


def falls_of(log_likelihood: Any, peak: float) -> list[float]:
    """Scores on both sides of a peak at which a log likelihood has fallen."""
    found = [peak]
    best = log_likelihood(peak)
    for end in (-8.0, 45.0):
        for fall in (0.3, 1.0, 4.0, 12.0, 30.0, 80.0):
            near, far = peak, end
            for _ in range(40):
                middle = (near + far) / 2
                if log_likelihood(middle) < best - fall:
                    far = middle
                else:
                    near = middle
            found.append(near)
    return found


def exact_log_integral(case: Case, log_likelihood: Any, falls: list[float]) -> float:
    """Log of the mean of a likelihood over a population, by tanh-sinh quadrature."""
    total = mp.mpf(0)
    for low, high, weight in zip(
        case.edges[:-1], case.edges[1:], case.weight, strict=True
    ):
        inside = [score for score in falls if low < score < high]
        places = sorted({float(low), *inside, float(high)})
        part = mp.quad(lambda score: mp.exp(log_likelihood(score)), places)
        total += mp.mpf(float(weight)) * part / (mp.mpf(high) - mp.mpf(low))
    excess = np.maximum(np.array(falls) - case.threshold, 0.0)
    depths = -gpd_log_survival(excess, case.scale, case.shape)
    fixed = [0.0, 0.5, 2.0, 5.0, 10.0, 20.0, 35.0, 60.0, 110.0]
    places = sorted({*fixed, *depths[(depths > 0) & (depths < 110)].tolist()})
    xi = mp.mpf(case.shape)

    def in_tail(depth: Any) -> Any:
        rise = depth if case.shape == 0 else mp.expm1(xi * depth) / xi
        return mp.exp(log_likelihood(case.threshold + case.scale * rise) - depth)

    return float(mp.log(total + mp.mpf(case.rate) * mp.quad(in_tail, places)))


@functools.cache
def exact_log_tallied(case: Case, successes: int, trials: int) -> float:
    s, failures = successes, trials - successes
    ways = mp.loggamma(trials + 1) - mp.loggamma(s + 1) - mp.loggamma(failures + 1)

    def log_likelihood(score: Any) -> Any:
        hazard = mp.exp(-score)
        failed = failures * mp.log(-mp.expm1(-hazard)) if failures else 0
        return ways - s * hazard + failed

    def in_floats(score: float) -> float:
        safe = float(log_safe_from_score(score)) if failures else 0.0
        return s * float(log_risk_from_score(score)) + failures * safe

    share = min(max(s / trials, 0.01 / trials), 1 - 0.01 / trials)
    falls = falls_of(in_floats, float(score_from_risk(share)))
    return exact_log_integral(case, log_likelihood, falls)


# The whole grid takes mpmath minutes: two populations always, the others with the slow.
SOME_CASES = [
    case if number < 2 else pytest.param(case, marks=pytest.mark.slow)
    for number, case in enumerate(CASES)
]


@pytest.mark.parametrize("case", SOME_CASES)
@pytest.mark.parametrize("tally", TALLIES)
def test_the_log_chance_of_a_tally_is_exact(case: Case, tally: tuple[int, int]) -> None:
    """To 1e-6 wherever it is above -60, whoever shares the nodes."""
    exact = exact_log_tallied(case, *tally)
    if exact < -60:
        return
    shared = {float(tally[1]), 300.0, 8192.0} if tally[1] <= 300 else {8192.0}
    for most in shared:
        assert log_tallied(case, *tally, most) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("case", SOME_CASES)
@pytest.mark.parametrize("estimate", ESTIMATES)
def test_the_log_density_of_an_estimate_is_exact(
    case: Case, estimate: tuple[float, float]
) -> None:
    log_risk, error = estimate

    def log_likelihood(score: Any) -> Any:
        deviate = (log_risk + mp.exp(-score)) / error
        return -deviate * deviate / 2 - mp.log(error * mp.sqrt(2 * mp.pi))

    def in_floats(score: float) -> float:
        return -0.5 * ((log_risk + math.exp(-score)) / error) ** 2

    peak = float(score_from_log_risk(log_risk))
    exact = exact_log_integral(case, log_likelihood, falls_of(in_floats, peak))
    if exact < -60:
        return
    breaks = quadrature.estimate_breaks(np.array([log_risk]), np.array([error]))[None]
    score, log_measure = nodes_of(np, case.arguments, breaks, quadrature.SHARP_NODES)
    terms = quadrature.log_normal_density(np, log_risk, error, -np.exp(-score))
    found = float(log_integral(terms, log_measure)[0, 0])
    assert found == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("trials", [1, 17, 300])
def test_chances_of_all_tallies_add_up_to_one(case: Case, trials: int) -> None:
    logs = [log_tallied(case, s, trials, trials) for s in range(trials + 1)]
    assert float(special.logsumexp(logs)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_means_over_nodes_are_those_of_the_population(case: Case) -> None:
    """The share of queries above a break, which only the weights have to tell."""
    breaks = np.linspace(-6.0, 12.0, 37)
    score, log_measure = nodes_of(
        np, case.arguments, breaks[None, None], quadrature.SHARED_NODES
    )
    for place in breaks:
        above = np.exp(log_measure[score > place]).sum()
        expected = math.exp(case.population.log_survival(place)[0])
        assert above == pytest.approx(expected, rel=1e-7, abs=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_numpy_and_pytensor_have_one_formula(case: Case) -> None:
    breaks = quadrature.shared_breaks(100.0)[None, None]
    inputs = [pt.dmatrix(), pt.dmatrix(), pt.dvector(), pt.dvector(), pt.dvector()]
    score, log_measure = nodes_of(
        pt, inputs, pt.as_tensor(breaks), quadrature.SHARED_NODES
    )
    outputs = [score, log_measure, *quadrature.log_chances(pt, score)]
    symbolic = compiled(inputs, outputs, mode="FAST_COMPILE")(*case.arguments)
    score, log_measure = nodes_of(np, case.arguments, breaks, quadrature.SHARED_NODES)
    numbers = [score, log_measure, *quadrature.log_chances(np, score)]
    for one, other in zip(symbolic, numbers, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_log_safe_is_that_of_scores_with_a_finite_gradient() -> None:
    score = np.concatenate([np.linspace(-600, 700, 2_601), [1e3, 1e5]])
    variable = pt.dvector()
    value = quadrature.log_safe(pt, variable)
    both = [value, pytensor_any.gradient.grad(pt.sum(value), variable)]
    at_pytensor, slope = compiled([variable], both, mode="FAST_COMPILE")(score)
    exact = log_safe_from_score(score)
    # Absolutely: times the trials of any tally that is still nothing.
    np.testing.assert_allclose(quadrature.log_safe(np, score), exact, 1e-14, 1e-15)
    np.testing.assert_allclose(at_pytensor, exact, 1e-13, 1e-15)
    assert np.isfinite(slope).all()
    likely = score > 30
    np.testing.assert_allclose(slope[likely], -1, rtol=1e-9)


# What is compiled: gradients, far out too.

ORDINARY = {
    "log_scale": -1.0,
    "shape": 0.1,
    "step_offset": 0.4,
    "lowest_step_offset": -0.3,
}
FAR = [
    {
        "log_scale": log_scale,
        "shape": shape,
        "step_offset": offset,
        "lowest_step_offset": offset,
    }
    for log_scale in (-8.0, 3.0)
    for shape in (-1.0, 0.0, 1.0)
    for offset in (-6.0, 6.0)
]


@functools.cache
def compiled_density() -> tuple[Density, list[np.ndarray]]:
    """Tallies of few and of very many trials, and estimates, of one behaviour."""
    rng = np.random.default_rng(11)
    risk = risk_from_score(rng.gumbel(-1.5, 0.4, 60))
    trials = rng.integers(1, 300, 60)
    trials[-6:] = 10**5
    successes = rng.binomial(trials, risk)
    successes[:2], trials[:2] = (0, 1), (1, 1)
    built = catalog.load("binomial_tail").build(
        Evaluation.from_counts(successes, trials), threshold=-1.0
    )
    density = density_of(built)
    return density, [built[name].get_value() for name in density.data]


def filled(density: Density, point: dict[str, float]) -> list[np.ndarray]:
    return [np.full(density.initial[name].shape, point[name]) for name in point]


@pytest.mark.parametrize("point", [ORDINARY, *FAR])
def test_gradients_are_finite(point: dict[str, float]) -> None:
    density, data = compiled_density()
    assert set(density.values) == set(point)
    values = filled(density, {name: point[name] for name in density.values})
    assert np.isfinite(density.log_density(*values, *data))
    gradients = jax.grad(density.log_density, range(len(values)))(*values, *data)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize(
    "point", [ORDINARY, *(FAR[number] for number in (2, 3, 8, 9, 10))]
)
def test_gradients_are_those_of_finite_differences(point: dict[str, float]) -> None:
    """Panels move with the parameters, and gradients take them for fixed."""
    density, data = compiled_density()
    values = filled(density, {name: point[name] for name in density.values})
    gradients = jax.grad(density.log_density, range(len(values)))(*values, *data)
    for index, gradient in enumerate(gradients):
        flat = np.asarray(gradient).ravel()
        for place in range(flat.size):
            # Not across the kink at shape 0 of a series that takes over there.
            step = 1e-4

            def moved(by: float, index: int = index, place: int = place) -> np.ndarray:
                others = [value.copy() for value in values]
                others[index].ravel()[place] += by
                return np.asarray(density.log_density(*others, *data))

            slope = (moved(step) - moved(-step)) / (2 * step)
            assert flat[place] == pytest.approx(float(slope), rel=2e-3, abs=2e-3)


# Where panels end, and where the tail begins.


@given(st.floats(1, quadrature.SHARED_TRIALS))
def test_shared_breaks_are_as_dense_as_the_sharpest_tally_needs(most: float) -> None:
    breaks = quadrature.shared_breaks(most)
    assert (np.diff(breaks) > 0).all()
    assert np.isfinite(breaks).all()
    angle = np.arcsin(np.sqrt(risk_from_score(breaks)))
    # Standard deviations of a share of successes between two breaks, in the middle.
    inner = (angle > 0.3) & (angle < 1.2)
    assert (np.diff(angle[inner]) * 2 * math.sqrt(most) < 2.6).all()


@pytest.mark.parametrize(
    "tally", [tally for tally in TALLIES if tally[1] > quadrature.SHARED_TRIALS]
)
def test_sharp_breaks_span_the_likelihood(tally: tuple[int, int]) -> None:
    s, t = np.array([[float(tally[0])], [float(tally[1])]])
    [breaks] = quadrature.sharp_breaks(s, t)
    assert (np.diff(breaks) >= 0).all()
    with np.errstate(invalid="ignore"):
        log_likelihood = np.asarray(stats.binom.logpmf(s, t, risk_from_score(breaks)))
    ends = log_likelihood[[0, -1]]
    wanted = [s[0] > 0, s[0] < t[0]]
    assert (ends[wanted] < log_likelihood.max() - 30).all()
    assert np.ptp(log_likelihood[1:-1]) < 40 or s[0] == t[0]


@given(st.floats(-4, 6), st.floats(1, 1e6))
def test_steps_end_at_the_threshold_and_begin_out_of_sight(
    threshold: float, trials: float
) -> None:
    edges = quadrature.step_edges(threshold, trials)
    widths = np.diff(edges)
    assert edges.size == quadrature.STEPS + 2
    assert edges[-1] == threshold
    assert (widths > 0).all()
    assert (np.diff(widths[1:]) <= 1e-9).all()
    visible = float(score_from_risk(0.1 / trials))
    assert edges[1] <= max(visible, threshold - widths[1:].sum()) + 1e-6
    # No tally of so many trials tells the queries of the lowest step from safe ones.
    assert risk_from_score(edges[1]) <= 0.1001 / trials or edges[1] < threshold - 1


def tallies_of(scores: np.ndarray, trials: int, rng: np.random.Generator) -> Any:
    drawn = rng.binomial(trials, risk_from_score(scores)).astype(float)
    successes, count = np.unique(drawn, return_counts=True)
    number = np.full(successes.size, float(trials))
    return {"successes": successes, "trials": number, "count": count.astype(float)}


NO_ESTIMATES = {name: np.zeros(0) for name in ("log_risk", "log_risk_se", "count")}


@pytest.mark.parametrize("trials", [100, 10_000])
def test_about_so_many_queries_exceed_the_threshold(
    trials: int, rng: np.random.Generator
) -> None:
    """The body is known better than the tail, and many trials better than few."""
    scores = rng.normal(-1.5, 0.5, 2_000)
    tallies = tallies_of(scores, trials, rng)
    thresholds = [
        quadrature.threshold_of(tallies, NO_ESTIMATES, float(wanted))
        for wanted in (400, 100, 20)
    ]
    assert (np.diff(thresholds) > 0).all()
    for wanted, threshold in zip((400, 100, 20), thresholds, strict=True):
        above = int((scores > threshold).sum())
        assert wanted / 2 < above < wanted * 2


def test_the_threshold_of_estimates_and_of_counts_of_equal_sharpness(
    rng: np.random.Generator,
) -> None:
    scores = rng.normal(-1.5, 0.5, 2_000)
    log_risk = log_risk_from_score(scores)
    estimates = {
        "log_risk": np.minimum(log_risk + rng.normal(0, 0.1, 2_000), 0.0),
        "log_risk_se": np.full(2_000, 0.1),
        "count": np.ones(2_000),
    }
    none = {name: np.zeros(0) for name in ("successes", "trials", "count")}
    threshold = quadrature.threshold_of(none, estimates, 100.0)
    assert 50 < int((scores > threshold).sum()) < 200


@given(st.integers(1, 50), st.floats(2, 60))
def test_the_threshold_knows_only_shares(times: int, wanted: float) -> None:
    tallies = tallies_of(np.linspace(-3, 0.5, 120), 60, np.random.default_rng(3))
    more = tallies | {"count": times * tallies["count"]}
    one = quadrature.threshold_of(tallies, NO_ESTIMATES, wanted)
    assert quadrature.threshold_of(more, NO_ESTIMATES, times * wanted) == pytest.approx(
        one, abs=0.06
    )


# Sampling that stopped at the first success.

STOPPED = Case(-1.0, 0.4, 0.1, rate=0.2)
AT_MOST = 200


def stopped(rng: np.random.Generator, queries: int) -> tuple[np.ndarray, ...]:
    """Risks, and counts of queries sampled until they fail, or 200 times."""
    level = np.log(rng.random((queries, 1)))
    risk = risk_from_score(STOPPED.population.quantile(level)[:, 0])
    waited = rng.geometric(np.maximum(risk, 1e-12))
    return risk, (waited <= AT_MOST).astype(float), np.minimum(waited, AT_MOST) * 1.0


def log_chances_of(
    case: Case, successes: np.ndarray, trials: np.ndarray, *, orders: bool
) -> np.ndarray:
    """Log chances of counts, binomial or, without the orders, geometric."""
    breaks = quadrature.shared_breaks(float(AT_MOST))[None, None]
    score, log_measure = nodes_of(np, case.arguments, breaks, quadrature.SHARED_NODES)
    yes, no = quadrature.log_chances(np, score[0])
    (s, t), place = np.unique([successes, trials], axis=1, return_inverse=True)
    ways = quadrature.log_ways(s, t) if orders else 0.0
    terms = s[:, None] * yes + (t - s)[:, None] * no
    return (ways + log_integral(terms, log_measure[0]))[np.ravel(place)]


def test_stopping_changes_the_likelihood_by_a_constant(
    rng: np.random.Generator,
) -> None:
    """Binomial and geometric chances: one ratio, whatever the population."""
    _, successes, trials = stopped(rng, 300)
    ratios = [
        log_chances_of(case, successes, trials, orders=True)
        - log_chances_of(case, successes, trials, orders=False)
        for case in CASES
    ]
    expected = np.where(successes == 1, np.log(trials), 0.0)
    for ratio in ratios:
        np.testing.assert_allclose(ratio, expected, atol=1e-9)
    # And it is the chance of waiting so long, as simulated.
    _, successes, trials = stopped(rng, 200_000)
    for waited in (1, 3, 30):
        seen = int(((successes == 1) & (trials == waited)).sum())
        chance = np.exp(
            log_chances_of(STOPPED, np.ones(1), np.full(1, float(waited)), orders=False)
        )
        assert stats.binomtest(seen, 200_000, float(chance[0])).pvalue > 1e-6


def slopes(successes: np.ndarray, trials: np.ndarray, name: str) -> np.ndarray:
    """Derivatives of the log likelihood of each query at the truth."""
    step = 1e-3
    low, high = (
        log_chances_of(
            Case(**(vars(STOPPED) | {name: vars(STOPPED)[name] * math.exp(by)})),
            successes,
            trials,
            orders=True,
        )
        for by in (-step, step)
    )
    return (high - low) / (2 * step)


@pytest.mark.parametrize("name", ["scale", "rate"])
def test_the_likelihood_is_unbiased_by_stopping(
    name: str, rng: np.random.Generator
) -> None:
    """Its derivative at the truth is 0 in the mean; at successes/trials it is not."""
    risk, successes, trials = stopped(rng, 40_000)
    found = slopes(successes, trials, name)
    assert stats.ttest_1samp(found, 0.0).pvalue > 1e-6
    # The control: shares of successes, taken for what 200 trials would have shown.
    share = successes / trials
    wrong = slopes(np.round(AT_MOST * share), np.full(40_000, AT_MOST * 1.0), name)
    assert stats.ttest_1samp(wrong, 0.0).pvalue < 1e-6
    # The mean of 1/T is -p log(p) / (1 - p): far above p where p is small.
    assert stats.ttest_rel(share, risk).pvalue < 1e-6
    assert share.mean() > 1.3 * risk.mean()
