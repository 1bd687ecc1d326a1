"""What every file in models/ promises; a new file is tested by being there."""

import inspect
import pickle
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pymc as pm
import pytest
from pytensor.compile.mode import get_mode
from scipy import stats

from bayes_rare import catalog
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import fit_many
from bayes_rare.inference.density import Density, density_of
from bayes_rare.posterior import Posterior
from bayes_rare.scores import risk_from_score

type Point = Mapping[str, np.ndarray]

POINTS = 5
# Two evaluations of the same behaviours, of other lengths and other padding.
SIZES = (40, 200)


@pytest.fixture(params=catalog.names())
def model(request: pytest.FixtureRequest) -> catalog.Model:
    return catalog.load(request.param)


def of_kind(kind: str) -> list[str]:
    """Names of the models that take this kind of outcome, references left out."""
    models = map(catalog.load, catalog.names())
    return [m.name for m in models if kind in m.accepts and not m.reference_only]


def evaluation_of(model: catalog.Model, queries: int, seed: int) -> Evaluation:
    """Outcomes of three behaviours, of all the kinds that a model takes."""
    if "exact" in model.accepts:
        return scores_of(queries, seed)
    return outcomes_of(queries, seed, estimates="estimates" in model.accepts)


def outcomes_of(queries: int, seed: int, *, estimates: bool) -> Evaluation:
    """Counts from one trial to very many, all zeros and all ones among them."""
    rng = np.random.default_rng(seed)
    parts: list[Evaluation] = []
    for index, behaviour in enumerate("abc"):
        risk = risk_from_score(rng.gumbel(-1.5 + 0.2 * index, 0.4, queries))
        trials = rng.integers(1, 300, queries)
        if estimates and behaviour == "b":
            trials[-5:] = 20_000
        if estimates and behaviour == "c":
            error = rng.uniform(0.1, 1.0, queries)
            estimate = np.minimum(np.log(risk) + error * rng.normal(size=queries), 0)
            parts.append(Evaluation.from_estimates(estimate, error, behaviour="c"))
            continue
        successes = rng.binomial(trials, risk)
        successes[0], trials[0] = 0, 1
        successes[1] = trials[1]
        parts.append(Evaluation.from_counts(successes, trials, behaviour=behaviour))
    return Evaluation.joined(parts)


def scores_of(queries: int, seed: int) -> Evaluation:
    """Skewed scores of three behaviours and of families of their own.

    With ties and with risks of 0 and of 1.
    """
    rng = np.random.default_rng(seed)
    scores, families = {}, {}
    for index, behaviour in enumerate("abc"):
        values = rng.gumbel(-2 + 0.2 * index, 0.3 + 0.1 * index, queries)
        values[:4] = values[4]
        scores[behaviour] = np.concatenate([values, [np.inf], [-np.inf] * index])
        number = rng.integers(index, 4 + index, scores[behaviour].size)
        families[behaviour] = [f"family {each}" for each in number]
    return Evaluation.from_scores(scores, family=families)


def settings_of(model: catalog.Model, **given: Any) -> dict[str, Any]:
    """Settings under which the length of the data grows with the evaluation."""
    share = {"fraction": 0.25} if "fraction" in model.defaults else {}
    return model.settings(**share, **given)


def settings_of_simulation(model: catalog.Model) -> dict[str, Any]:
    """Settings under which a fit has the threshold that `simulate` has."""
    simulated = inspect.signature(model.simulate).parameters
    if "threshold" not in simulated:
        return model.settings()
    return model.settings(threshold=simulated["threshold"].default)


def observed_by(
    model: catalog.Model, evaluation: Evaluation, settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """What `observe` gives, under those of the settings that it takes."""
    assert model.observe is not None
    wanted = inspect.signature(model.observe).parameters
    return model.observe(
        evaluation, **{name: settings[name] for name in settings if name in wanted}
    )


def points_of(built: pm.Model, rng: np.random.Generator) -> list[Point]:
    """The point where sampling starts, and points around it, as its jitter makes."""
    start = built.initial_point()
    return [
        {
            name: np.asarray(value + radius * rng.uniform(-1, 1, np.shape(value)))
            for name, value in start.items()
        }
        for radius in np.linspace(0, 1, POINTS)
    ]


def quantities_by_pymc(
    built: pm.Model, mode: Any = "FAST_COMPILE"
) -> Callable[[Point], dict[str, np.ndarray]]:
    """Log density, its gradient and all that the model names, compiled by PyMC."""
    shown: list[Any] = [*built.free_RVs, *built.deterministics]
    cells: Any = built.logp(built.observed_RVs, sum=False)
    outputs: dict[str, Any] = {
        "log density": built.logp(),
        "gradient": built.dlogp(),
        **{
            variable.name: value
            for variable, value in zip(
                shown, built.replace_rvs_by_values(shown), strict=True
            )
        },
        **{
            f"cells of {variable.name}": value
            for variable, value in zip(built.observed_RVs, cells, strict=True)
        },
    }
    function = built.compile_fn(
        list(outputs.values()), inputs=built.value_vars, mode=mode
    )
    return lambda point: dict(zip(outputs, function(point), strict=True))


def quantities_by_jax(
    density: Density, point: Point, data: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The same from the package's own functions, which take the data as arguments."""
    values = [point[name] for name in density.values]
    arguments = [*values, *(data[name] for name in density.data)]
    gradient = gradient_by_jax(density)(*arguments)
    return {
        "log density": density.log_density(*arguments),
        "gradient": np.concatenate([np.ravel(part) for part in gradient]),
        **density.constrain(*arguments),
        **{
            f"cells of {name}": cells
            for name, cells in density.pointwise(*arguments).items()
        },
    }


@lru_cache
def gradient_by_jax(density: Density) -> Callable[..., tuple[Any, ...]]:
    """One program for all points, and all data of one shape."""
    import jax

    return jax.jit(jax.grad(density.log_density, range(len(density.values))))


def assert_equal(by_jax: Mapping[str, Any], by_pymc: Mapping[str, Any]) -> None:
    assert by_jax.keys() == by_pymc.keys()
    for name, expected in by_pymc.items():
        values = np.asarray(by_jax[name])
        assert values.dtype == np.float64, name
        np.testing.assert_allclose(
            values,
            expected,
            # A gradient is a difference of terms, each as large as the largest.
            rtol=1e-12 if name != "gradient" else 1e-10,
            atol=1e-12 if name != "gradient" else 1e-10 * np.abs(expected).max(),
            err_msg=name,
        )


def test_says_what_it_is(model: catalog.Model) -> None:
    assert model.summary.endswith(".")
    assert "Reference" in model.scope["__doc__"]
    assert "::\n" in model.scope["__doc__"], "the story, as pseudo-code"


def test_crosses_a_process_boundary(model: catalog.Model) -> None:
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert again.defaults == model.defaults


# PyTensor's quick way, in Python, adds at most 32 terms at once. A model may have sums
# that are wider from the start, or only once PyTensor has made one sum of several.
WIDE_SUMS = {"beta_binomial"}
WIDENED_SUMS = {"family_tail"}

# Data that give a dimension its length, and enter the density by nothing else.
LENGTHS = {"shared_count"}


def quick_mode(name: str) -> Any:
    """The quickest way in which PyTensor computes a model's density."""
    if name in WIDE_SUMS:
        return "FAST_RUN"
    quick: Any = get_mode("FAST_COMPILE")
    if name in WIDENED_SUMS:
        return quick.excluding("add_canonizer", "local_add_canonizer", "mul_canonizer")
    return quick


@lru_cache
def compiled(
    name: str,
) -> tuple[pm.Model, Callable[[Point], dict[str, np.ndarray]], Density]:
    """A model of the smaller evaluation, by PyMC and by the package's own functions."""
    model = catalog.load(name)
    built = model.build(evaluation_of(model, SIZES[0], 1), **settings_of(model))
    return built, quantities_by_pymc(built, quick_mode(name)), density_of(built)


def test_density_and_gradient_are_finite_and_the_same_in_pymc_and_in_jax(
    model: catalog.Model, rng: np.random.Generator
) -> None:
    built, by_pymc, density = compiled(model.name)
    data = {name: built[name].get_value() for name in density.data}
    for point in points_of(built, rng):
        expected = by_pymc(point)
        assert np.isfinite(expected["log density"])
        assert np.isfinite(expected["gradient"]).all()
        assert_equal(quantities_by_jax(density, point, data), expected)


def test_no_data_set_is_answered_with_another(
    model: catalog.Model, rng: np.random.Generator
) -> None:
    """One density, made from the first data; PyMC's own, given each data in turn."""
    built, by_pymc, density = compiled(model.name)
    first = {data.name: data.get_value() for data in built.data_vars}
    point = points_of(built, rng)[-1]
    unchanged = by_pymc(point)
    for name, value in first.items():
        if np.issubdtype(value.dtype, np.integer) or name.endswith(
            ("_family", "_place")
        ):
            other = value[::-1].copy()  # an index: its values have to stay in range
        else:
            other = 1.1 * value + 0.05
        built.set_data(name, other)
        changed = by_pymc(point)
        assert_equal(quantities_by_jax(density, point, first | {name: other}), changed)
        built.set_data(name, value)
        matters = any(
            not np.array_equal(changed[quantity], unchanged[quantity])
            for quantity in unchanged
        )
        # Without this, a density that had frozen its data could pass.
        assert matters == (name in density.data and name not in LENGTHS), name


def test_the_density_serves_data_of_other_lengths(
    model: catalog.Model, rng: np.random.Generator
) -> None:
    short, _, density = compiled(model.name)
    long = model.build(evaluation_of(model, SIZES[1], SIZES[1]), **settings_of(model))
    data = {name: long[name].get_value() for name in density.data}
    assert any(
        data[name].shape != short[name].get_value().shape for name in density.data
    )
    point = points_of(long, rng)[-1]
    log_density = long.compile_logp(mode=quick_mode(model.name))
    arguments = [*(point[n] for n in density.values), *data.values()]
    assert float(density.log_density(*arguments)) == pytest.approx(
        float(log_density(point)), rel=1e-12
    )


@pytest.mark.parametrize("queries", SIZES)
def test_observe_gives_the_data_of_build(model: catalog.Model, queries: int) -> None:
    evaluation, settings = evaluation_of(model, queries, 1), settings_of(model)
    built = model.build(evaluation, **settings)
    observed = observed_by(model, evaluation, settings)
    assert observed.keys() == {data.name for data in built.data_vars}
    for name, value in observed.items():
        assert value.dtype == np.float64, name
        np.testing.assert_array_equal(value, built[name].get_value(), err_msg=name)


@pytest.mark.slow
def test_behaviours_apart_have_the_sum_of_their_densities(
    model: catalog.Model, rng: np.random.Generator
) -> None:
    import jax

    evaluation, settings = (
        evaluation_of(model, SIZES[0], 1),
        settings_of(model, pool=False),
    )

    def log_density(chosen: list[str], point: Point) -> float:
        built = model.build(evaluation.select(chosen), **settings)
        density = density_of(built)
        data = [built[name].get_value() for name in density.data]
        values = [point[name] for name in density.values]
        return float(jax.jit(density.log_density)(*values, *data))

    whole = model.build(evaluation, **settings)
    point = points_of(whole, rng)[-1]
    parts = [
        log_density([behaviour], {n: v[[i]] if v.ndim else v for n, v in point.items()})
        for i, behaviour in enumerate(evaluation.behaviours)
    ]
    # A judge is the same for all behaviours: each part has its prior.
    judge: list[Any] = [rv for rv in whole.free_RVs if rv.ndim == 0]
    prior = 0.0
    if judge:
        function = whole.compile_fn(
            whole.logp(judge), inputs=whole.value_vars, on_unused_input="ignore"
        )
        prior = float(function(point))
    expected = sum(parts) - (len(parts) - 1) * prior
    assert log_density(list(evaluation.behaviours), point) == pytest.approx(
        expected, rel=1e-12
    )


@pytest.mark.parametrize(
    ("behaviours", "pool", "shared"),
    [("a", True, False), ("abc", False, False), ("abc", True, True)],
)
def test_only_pooled_behaviours_have_a_spread(
    model: catalog.Model, behaviours: str, pool: bool, shared: bool
) -> None:
    evaluation = evaluation_of(model, SIZES[0], 1).select(list(behaviours))
    built = model.build(evaluation, **settings_of(model, pool=pool))
    spreads = [name for name in built.named_vars if name.endswith("_spread")]
    assert bool(spreads) == shared


def least_p_value(
    model: catalog.Model, rng: np.random.Generator, stretch: float
) -> float:
    """Smallest p-value of simulated scores under their population, stretched."""
    settings = settings_of_simulation(model)
    least = 1.0
    for _ in range(5):
        parameters, evaluation = model.simulate(rng, {"a": 9_000})
        draws = {n: np.asarray(v)[0][..., None] for n, v in parameters.items()}
        data = {
            name: np.asarray(value[0])
            for name, value in observed_by(model, evaluation, settings).items()
        }
        population = model.population(draws | {"scale": stretch * draws["scale"]}, data)
        cells = evaluation.scores("a")
        # What a tail model says is said above its threshold.
        ceiling = draws["rate"][0] if "rate" in draws else 1.0
        for level in ceiling * np.array([0.9, 0.5, 0.1, 0.02]):
            score = float(population.quantile(np.log(level))[0])
            above = int(cells.count[cells.score > score].sum()) + cells.censored_above
            test = stats.binomtest(above, cells.size, level)
            assert np.exp(population.log_survival(score)[0]) == pytest.approx(level)
            least = min(least, test.pvalue)
    return least


@pytest.mark.parametrize("name", of_kind("exact"))
def test_population_is_the_one_that_simulate_draws_from(
    name: str, rng: np.random.Generator
) -> None:
    assert least_p_value(catalog.load(name), rng, stretch=1.0) > 1e-6


@pytest.mark.parametrize("name", of_kind("exact"))
def test_that_test_of_the_population_can_fail(
    name: str, rng: np.random.Generator
) -> None:
    assert least_p_value(catalog.load(name), rng, stretch=1.3) < 1e-6


def least_p_value_of_counts(
    model: catalog.Model, rng: np.random.Generator, shift: int
) -> float:
    """Smallest p-value of simulated counts under a population, theirs or another's."""
    settings = settings_of_simulation(model)
    # Of one that takes exact risks too, counts are to be asked for.
    story: dict[str, Any] = {"trials": 50} if "exact" in model.accepts else {}
    simulated = [model.simulate(rng, {"a": 9_000}, **story) for _ in range(5)]
    least = 1.0
    for index, (_, evaluation) in enumerate(simulated):
        truth = simulated[(index + shift) % len(simulated)][0]
        data = {
            name: np.asarray(value[0])
            for name, value in observed_by(model, evaluation, settings).items()
        }
        draws = {
            name: np.asarray(value)[0][..., None]
            for name, value in truth.items()
            if np.ndim(value)
        }
        population = model.population(draws, data)
        # What a judge that errs records is counted, not what happened.
        alarms, hits = 0.0, 1.0
        if model.recorded is not None:
            alarms, hits = (float(rate) for rate in model.recorded(truth))
        counts = evaluation.counts
        trials = int(counts.trials.iloc[0])
        for most in (0, trials // 20, trials // 4):

            def above(
                score: np.ndarray,
                most: int = most,
                trials: int = trials,
                alarms: float = alarms,
                hits: float = hits,
            ) -> np.ndarray:
                recorded = alarms + (hits - alarms) * risk_from_score(score)
                return np.asarray(stats.binom.sf(most, trials, recorded))

            chance = float(np.clip(population.mean(above)[0], 0.0, 1.0))
            seen = int(counts["count"][counts.successes > most].sum())
            least = min(least, stats.binomtest(seen, 9_000, chance).pvalue)
    return least


@pytest.mark.parametrize("name", of_kind("counts"))
def test_population_is_the_one_that_simulate_draws_counts_from(
    name: str, rng: np.random.Generator
) -> None:
    assert least_p_value_of_counts(catalog.load(name), rng, shift=0) > 1e-6


@pytest.mark.parametrize("name", of_kind("counts"))
def test_that_test_of_the_population_of_counts_can_fail(
    name: str, rng: np.random.Generator
) -> None:
    assert least_p_value_of_counts(catalog.load(name), rng, shift=1) < 1e-6


# Counts say less than exact risks: it takes more queries to tell truths apart, which
# cost a fit nothing.
@pytest.mark.parametrize(
    ("name", "queries"),
    [
        *(
            pytest.param(
                name, 2_000, marks=[pytest.mark.long] if name == "family_tail" else []
            )
            for name in of_kind("exact")
        ),
        *(
            pytest.param(name, 200_000, marks=pytest.mark.long)
            for name in of_kind("counts")
            # A judge and a tail explain one another: other truths fit nearly as well.
            if name not in ("graded", *of_kind("exact"))
        ),
    ],
)
def test_recovers_the_parameters_that_it_simulates_with(
    name: str, queries: int, rng: np.random.Generator
) -> None:
    """Squared errors in posterior standard deviations; other truths must not fit."""
    model = catalog.load(name)
    settings = settings_of_simulation(model)
    # A few families say little of how far apart families are.
    several = "families" in inspect.signature(model.simulate).parameters
    design: dict[str, Any] = {"families": 64} if several else {}
    simulated = [model.simulate(rng, {"a": queries}, **design) for _ in range(40)]
    # Those of the commonest padding: one compiled program serves them all.
    lengths = [
        max(value.size for value in observed_by(model, evaluation, settings).values())
        for _, evaluation in simulated
    ]
    commonest = max(lengths, key=lengths.count)
    alike = [
        pair
        for pair, length in zip(simulated, lengths, strict=True)
        if length == commonest
    ][:12]
    fits = fit_many(
        [evaluation for _, evaluation in alike],
        model,
        chains=2,
        warmup=300,
        draws=300,
        target_ess=0.0,
        **settings,
    )
    pairs = [
        (truth, posterior)
        for (truth, _), posterior in zip(alike, fits, strict=True)
        if isinstance(posterior, Posterior)
    ]
    assert len(pairs) == 12
    for name, one in pairs[0][0].items():
        if np.size(one) > 1:  # weights of steps: a few of them are next to 0
            continue
        truth = np.array([float(np.squeeze(truth[name])) for truth, _ in pairs])
        draws = np.stack([posterior.draws[name].ravel() for _, posterior in pairs])

        def p_value(truth: np.ndarray, draws: np.ndarray = draws) -> float:
            error = (truth - draws.mean(axis=1)) / draws.std(axis=1)
            return float(stats.chi2.sf((error**2).sum(), error.size))

        assert p_value(truth) > 1e-6, name
        assert p_value(np.roll(truth, 1)) < 1e-6, name
