"""Fits alone and in batches: the same draws, the right ones, and honest refusals."""

import gzip
import logging
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

from bayes_rare import catalog
from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import batches, fit, fit_many
from bayes_rare.inference.density import starts_of
from bayes_rare.inference.programs import density_and_data
from bayes_rare.posterior import Posterior

# One behaviour, so that the geometry is easy; small, so that a fit takes a second.
SMALL: dict[str, Any] = {
    "chains": 2,
    "warmup": 200,
    "draws": 200,
    "target_ess": 0.0,  # the draws asked for, and no more
}


def sized(**changes: Any) -> dict[str, Any]:
    """The small sizes, with changes."""
    return {**SMALL, **changes}


def evaluation_of(seed: int, queries: int = 200) -> Evaluation:
    rng = np.random.default_rng(seed)
    return Evaluation.from_scores(rng.gumbel(-2, 0.4, queries))


def fitted(result: Posterior | NotApplicable) -> Posterior:
    assert isinstance(result, Posterior), result
    return result


def assert_same(one: Posterior, other: Posterior) -> None:
    for part in ("draws", "statistics", "data"):
        arrays, others = getattr(one, part), getattr(other, part)
        assert arrays.keys() == others.keys()
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, others[name], err_msg=name)


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its Monte Carlo standard error, of draws by (chain, draw, ...)."""
    array_stats = import_module("arviz_stats.base").array_stats  # it is not typed
    columns = values.reshape(*values.shape[:2], -1)
    axes = {"chain_axis": 0, "draw_axis": 1}
    ess = array_stats.ess(columns, method="mean", **axes)
    return columns.mean(axis=(0, 1)), columns.std(axis=(0, 1)) / np.sqrt(ess)


def z_scores(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Differences of means and of second moments, in their standard errors."""
    scale = one.std(axis=(0, 1))
    differences = []
    for power in (1, 2):
        (mean, error), (mean_2, error_2) = (
            moments(((draws - one.mean(axis=(0, 1))) / scale) ** power)
            for draws in (one, other)
        )
        differences.append((mean - mean_2) / np.hypot(error, error_2))
    return np.concatenate(differences)


@pytest.mark.parametrize(
    ("model", "threshold"), [("gpd_tail", {"fraction": 0.1}), ("log_normal", {})]
)
def test_the_same_draws_alone_and_in_any_batch(
    model: str, threshold: dict[str, float], seed: int
) -> None:
    size: dict[str, Any] = {**SMALL, "seed": seed, **threshold}
    # The first two share a padding in one model, the first and the third in the other.
    batch = [evaluation_of(k, queries) for k, queries in enumerate((200, 150, 300))]
    alone = fit(batch[0], model, **size)
    for order in ([0, 1, 2], [2, 1, 0, 2], [0, 0, 0]):
        results = fit_many([batch[k] for k in order], model, **size)
        assert_same(alone, fitted(results[order.index(0)]))
    assert_same(fitted(results[0]), fitted(results[2]))
    name = next(name for name in alone.draws if name.endswith("scale"))
    again = fit(batch[0], model, **sized(**threshold, seed=seed + 1))
    assert (again.draws[name] != alone.draws[name]).all()
    other = fit(batch[1], model, **size)
    assert (other.draws[name] != alone.draws[name]).all()
    chains = alone.draws[name]
    assert (chains[0] != chains[1]).all()


@pytest.mark.parametrize("name", ["binomial_tail", "beta_binomial"])
def test_sampling_starts_where_it_would_start_alone(
    name: str, rng: np.random.Generator
) -> None:
    """Bit for bit, though steps of the body are as wide as the data say."""
    model = catalog.load(name)
    settings = model.settings()
    for trials in (20, 22, 2000):
        counts = rng.binomial(trials, rng.beta(0.5, 20, 60))
        seen = Evaluation.from_counts(counts, np.full(60, trials))
        _, _, initial = density_and_data(model, settings, seen)
        alone = starts_of(model.build(seen, **settings))({})
        assert initial.keys() == alone.keys()
        for value, array in alone.items():
            np.testing.assert_array_equal(initial[value], array, err_msg=value)


def test_the_default_model_is_that_of_each_evaluation_alone() -> None:
    plain = evaluation_of(1, 60)
    counted = Evaluation.from_counts([0, 3, 1], [10, 10, 10])
    apart = Evaluation.from_scores(np.linspace(-3, -1, 4), family=list("aabb"))
    chosen = [batches._chosen(None, each).name for each in (plain, counted, apart)]
    assert chosen == ["gpd_tail", "binomial_tail", "family_tail"]


@pytest.mark.parametrize(
    "model", ["gumbel_tail", pytest.param("gpd_tail", marks=pytest.mark.slow)]
)
def test_chains_in_step_agree_with_chains_in_turn(model: str, seed: int) -> None:
    size: dict[str, Any] = {
        "target_ess": 0.0,
        "warmup": 300,
        "draws": 500,
        "seed": seed,
    }
    mapped, stepped = (
        fit(evaluation_of(1), model, way=way, **size) for way in ("map", "vmap")
    )
    other = fit(evaluation_of(2), model, way="map", **size)
    for name in ("log_scale", "rate"):
        z = z_scores(mapped.draws[name], stepped.draws[name])
        assert np.abs(z).max() < 5, (name, z)
    # The control: another data set's draws are not within Monte Carlo error.
    assert (
        np.abs(z_scores(mapped.draws["log_scale"], other.draws["log_scale"])).max() > 5
    )


@pytest.mark.slow
@pytest.mark.usefixtures("fast_pytensor")
@pytest.mark.parametrize("model", ["gumbel_tail", "gpd_tail", "log_normal"])
def test_another_sampler_finds_the_same_posterior(model: str, seed: int) -> None:
    """PyMC's own NUTS on the model that the posterior hands out."""
    import pymc as pm

    scores = np.random.default_rng(4).gumbel([[-2], [-1.8], [-2.3]], 0.4, (3, 300))
    evaluation = Evaluation.from_scores(dict(zip("abc", scores, strict=True)))
    ours = fit(evaluation, model, draws=2000, seed=seed)
    with ours.pymc_model():
        theirs = pm.sample(
            2000,
            tune=1500,
            chains=4,
            cores=1,  # a fork of a process with JAX in it may hang
            target_accept=0.95,
            random_seed=seed,
            progressbar=False,
            quiet=True,
        )
    for name, draws in ours.draws.items():
        z = z_scores(draws, theirs["posterior"][name].to_numpy())
        assert np.abs(z).max() < 5, (name, z)


def test_sampling_goes_on_until_there_are_enough_effective_draws(seed: int) -> None:
    size: dict[str, Any] = {**SMALL, "seed": seed}
    first = fit(evaluation_of(1), "gpd_tail", **size)
    longest = fit(evaluation_of(1), "gpd_tail", **sized(seed=seed, target_ess=math.inf))
    assert longest.draws["scale"].shape[:2] == (2, 800)  # four times, and no more
    assert longest.provenance["draws_kept"] == 800
    assert longest.provenance["draws"] == 200
    for part in ("draws", "statistics"):
        for name, values in getattr(first, part).items():
            np.testing.assert_array_equal(
                getattr(longest, part)[name][:, :200], values, err_msg=name
            )
    later = longest.draws["scale"].reshape(2, 4, 200)
    assert (later[:, 1:] != later[:, :-1]).all()  # new draws, not the same again
    between = fit(evaluation_of(1), "gpd_tail", **sized(seed=seed, target_ess=400.0))
    assert between.verdict.min_ess >= 400
    assert between.draws["scale"].shape[1] in (400, 600, 800)


def test_refusals_are_results_in_a_batch_and_errors_alone() -> None:
    good = evaluation_of(1)
    high = np.concatenate([np.full(12, np.inf), np.linspace(-3, -1, 100)])
    refused = {
        "Evaluate more queries, or use": Evaluation.from_scores([-2.0, -1.5, -1.0]),
        "with more digits": Evaluation.from_scores(np.full(50, -2.0)),
        "ask for more exceedances": Evaluation.from_scores(high),
    }
    results = fit_many([*refused.values(), good], "gpd_tail", **SMALL)
    for (way_out, evaluation), result in zip(refused.items(), results[:3], strict=True):
        assert isinstance(result, NotApplicable)
        assert way_out in str(result)
        with pytest.raises(NotApplicable, match=way_out):
            fit(evaluation, "gpd_tail", **SMALL)
    assert_same(fitted(results[3]), fitted(fit_many([good], "gpd_tail", **SMALL)[0]))
    # The way out is one: more exceedances than there are risks of 1.
    fit(refused["ask for more exceedances"], "gpd_tail", exceedances=30, **SMALL)


def test_a_threshold_that_leaves_too_few_exceedances_is_refused() -> None:
    evaluation = evaluation_of(1)
    top = np.sort(evaluation.scores("behaviour").score)[::-1]
    with pytest.raises(NotApplicable, match="gpd_tail needs at least 5"):
        fit(evaluation, "gpd_tail", threshold=float(top[4]), **SMALL)
    fit(evaluation, "gpd_tail", threshold=float(top[5]), **SMALL)


def test_a_data_set_that_no_threshold_can_part_spoils_no_batch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Known scores on both sides of the bound below which the risks of 0 lie.
    low = np.concatenate([rng.normal(-7.0, 1.0, 30), np.full(30, -np.inf)])
    good, bad = fit_many(
        [evaluation_of(1), Evaluation.from_scores(low)], "gumbel_tail", **SMALL
    )
    assert isinstance(good, Posterior)
    assert isinstance(bad, NotApplicable)
    assert "say so by resolution=" in str(bad)


@pytest.mark.parametrize(
    ("threshold", "way_out"),
    [
        (-100.0, "Give a higher threshold"),
        (100.0, "Give a lower threshold"),
        (-math.inf, "a finite score"),
    ],
)
def test_a_threshold_beyond_the_scores_is_refused(
    threshold: float, way_out: str
) -> None:
    with pytest.raises((NotApplicable, InvalidInput), match=way_out):
        fit(evaluation_of(1), "gumbel_tail", threshold=threshold, **SMALL)


def test_too_few_queries_are_not_sent_in_circles() -> None:
    few = Evaluation.from_scores([-1.0, -2.0, -3.0])
    with pytest.raises(NotApplicable, match="or use log_normal") as refusal:
        fit(few, "gpd_tail", **SMALL)
    assert "exceedances=" not in str(refusal.value)


def test_only_the_behaviours_asked_for_are_fitted() -> None:
    rng = np.random.default_rng(1)
    scores = dict(zip("abc", rng.gumbel(-2, 0.4, (3, 200)), strict=True))
    evaluation = Evaluation.from_scores(scores)
    chosen = fit(evaluation, "gumbel_tail", behaviours=["b"], **SMALL)
    assert chosen.behaviours == ("b",)
    assert chosen.draws["scale"].shape == (2, 200, 1)
    alone = Evaluation.from_scores({"b": scores["b"]})
    assert_same(chosen, fit(alone, "gumbel_tail", **SMALL))
    with pytest.raises(InvalidInput, match="a, b, c"):
        fit(evaluation, "gumbel_tail", behaviours=["d"], **SMALL)


@pytest.mark.parametrize(
    ("wrong", "way_out"),
    [
        ({"chains": 0}, "chains is a whole number from 1 on, got 0"),
        ({"draws": 3}, "draws is a whole number from 4 on, got 3"),
        ({"warmup": 19}, "warmup is a whole number from 20 on, got 19"),
        ({"shape_sdd": 1.0}, "has no prior 'shape_sdd'.*shape_sd"),
        ({"exceedances": 0}, "whole number from 1 on, got 0"),
        ({"fraction": 1.0}, "fraction is in"),
        ({"fraction": 0.1, "threshold": -1.0}, "set the others to None"),
    ],
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, Any], way_out: str) -> None:
    with pytest.raises(InvalidInput, match=way_out):
        fit(evaluation_of(1), "gpd_tail", **sized(**wrong))


def programs(
    caplog: pytest.LogCaptureFixture, evaluations: list[Evaluation], draws: int
) -> int:
    """How many sampling programs a batch compiles, by JAX's own log."""
    caplog.clear()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        fit_many(evaluations, "log_normal", **sized(draws=draws))
    return sum(
        record.getMessage().startswith("Compiling jit(walk)")
        for record in caplog.records
    )


def test_a_batch_compiles_one_program_a_padding(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Numbers of draws that no other test has: programs are kept for the next batch.
    alike = [evaluation_of(k, queries) for k, queries in enumerate((130, 200, 256))]
    assert programs(caplog, alike, draws=21) == 1
    assert programs(caplog, alike, draws=21) == 0
    assert programs(caplog, [*alike, evaluation_of(9, 300)], draws=22) == 2


def test_everything_is_float64() -> None:
    posterior = fit(evaluation_of(1), "gpd_tail", log_likelihood=True, **SMALL)
    arrays = {
        **posterior.draws,
        **posterior.data,
        **posterior.pointwise,
        **posterior.statistics,
    }
    kinds = {name: values.dtype for name, values in arrays.items()}
    assert kinds.pop("diverging") == np.bool_
    assert np.issubdtype(kinds.pop("n_steps"), np.integer)
    assert set(kinds.values()) == {np.dtype(np.float64)}, kinds
    assert posterior.pointwise.keys() == {"score_excess"}


def test_risks_next_to_one_are_answered_without_nan() -> None:
    rng = np.random.default_rng(3)
    scores = rng.gumbel(-1, 0.5, 200)
    nearly = -np.log(-np.log1p(-np.array([1e-7, 6e-8, 3e-10, 1e-15])))
    for top in ([nearly[0]], nearly[:2], nearly, [*nearly, np.inf, np.inf]):
        evaluation = Evaluation.from_scores(np.concatenate([scores, top]))
        for model in ("gumbel_tail", "gpd_tail", "log_normal"):
            posterior = fit(evaluation, model, **SMALL)
            for name, draws in (
                *posterior.draws.items(),
                *posterior.statistics.items(),
            ):
                assert np.isfinite(draws).all(), (model, name)
            worst = posterior.population().quantile(-np.log(1e9))
            assert np.isfinite(worst).all()
            assert posterior.verdict.min_bfmi > 0


def series_of(folder: Path, name: str) -> np.ndarray:
    with gzip.open(folder / "evt" / f"{name}.csv.gz", "rt") as opened:
        return pd.read_csv(opened)["x"].to_numpy(np.float64)


@pytest.mark.parametrize(
    "model", ["gumbel_tail", pytest.param("gpd_tail", marks=pytest.mark.slow)]
)
def test_classical_series_are_sampled_without_a_divergence(
    model: str, shared_data: Path, seed: int
) -> None:
    """Under the default priors, which were made for scores and not for these."""
    table = pd.read_csv(shared_data / "evt" / "reference_fits.csv")
    rows = table[table["model"] == "GPD mle"][["dataset", "setting"]].drop_duplicates()
    assert len(rows) >= 8
    # Shifted so that all have one threshold and can share programs.
    evaluations = [
        Evaluation.from_scores(series_of(shared_data, dataset) - float(setting[2:]))
        for dataset, setting in rows.itertuples(index=False)
    ]
    results = fit_many(evaluations, model, threshold=0.0, seed=seed)
    for (dataset, setting), result in zip(
        rows.itertuples(index=False), results, strict=True
    ):
        posterior = fitted(result)
        verdict = posterior.verdict
        assert verdict.divergences == 0, (dataset, setting, verdict)
        assert verdict.converged, (dataset, setting, verdict)
        assert posterior.provenance["target_accept"] == 0.9, "no retry was needed"
