"""Tail models against ismev, evd and evir in R, on the classical series.

Flat in (scale, shape), the posterior's mode is the maximum-likelihood estimate and its
spread is near the standard errors. The three packages differ from each other in the
third digit, so each series is compared with the nearest.
"""

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize

from bayes_rare import catalog
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import fit_many
from bayes_rare.inference.density import Density, density_of
from bayes_rare.posterior import Posterior

FLAT: dict[str, Any] = {"log_scale_sd": np.inf, "threshold": 0.0}


@dataclass(frozen=True)
class Fit:
    """A maximum-likelihood fit by one package: estimates and standard errors."""

    estimate: dict[str, float]
    error: dict[str, float]


@dataclass(frozen=True)
class Series:
    """Excesses over a threshold, and what R makes of them."""

    name: str
    evaluation: Evaluation
    tails: list[Fit]
    exponential: Fit
    exceeding: int


def read_fit(rows: pd.DataFrame) -> Fit:
    names = rows["parameter"].tolist()
    estimate, error = rows["estimate"].tolist(), rows["se"].tolist()
    return Fit(
        dict(zip(names, estimate, strict=True)), dict(zip(names, error, strict=True))
    )


@cache
def read_series(folder: Path) -> list[Series]:
    table = pd.read_csv(folder / "evt" / "reference_fits.csv")
    series = []
    tails = table[table["model"] == "GPD mle"]
    tails = tails[tails["parameter"].isin(["sigma", "xi", "loglik"])]
    for (dataset, setting), rows in tails.groupby(["dataset", "setting"]):
        with gzip.open(folder / "evt" / f"{dataset}.csv.gz", "rt") as opened:
            values = pd.read_csv(opened)["x"].to_numpy(np.float64)
        same = (table["dataset"] == dataset) & (table["setting"] == setting)
        series.append(
            Series(
                f"{dataset} {setting}",
                # Shifted, so that all have one threshold and share programs.
                Evaluation.from_scores(values - float(str(setting)[2:])),
                [read_fit(package) for _, package in rows.groupby("pkg")],
                read_fit(table[same & (table["model"] == "exponential mle")]),
                int(rows["n_exceed"].iloc[0]),
            )
        )
    assert len(series) == 8
    return series


@pytest.fixture(params=range(8))
def series(request: pytest.FixtureRequest, shared_data: Path) -> Series:
    return read_series(shared_data)[request.param]


def density_without_prior(
    model: str, evaluation: Evaluation
) -> tuple[Density, list[np.ndarray]]:
    """The model's own functions, and the data that they take."""
    loaded = catalog.load(model)
    settings = FLAT | ({"shape_sd": np.inf} if model == "gpd_tail" else {})
    built = loaded.build(evaluation, **loaded.settings(**settings))
    density = density_of(built, {"score_excess"})
    return density, [built[name].get_value() for name in density.data]


def maximum(model: str, evaluation: Evaluation) -> dict[str, float]:
    """Where the model's log likelihood of the excesses is largest, shape above -1."""
    density, data = density_without_prior(model, evaluation)
    names = [name for name in density.values if "rate" not in name]

    @jax.jit
    def quantities(free: jax.Array) -> dict[str, jax.Array]:
        values = dict(zip(names, free, strict=True))
        arguments = [jnp.atleast_1d(values.get(name, 0.0)) for name in density.values]
        cells = density.pointwise(*arguments, *data)["score_excess"]
        found = density.constrain(*arguments, *data)
        return {name: value[0] for name, value in found.items()} | {
            "loglik": cells.sum()
        }

    def at(free: np.ndarray) -> dict[str, float]:
        return {name: float(value) for name, value in quantities(free).items()}

    def loss(free: np.ndarray) -> float:
        found = at(free)
        allowed = found.get("shape", 0.0) > -1 and np.isfinite(found["loglik"])
        return -found["loglik"] if allowed else 1e10

    best = np.zeros(len(names))
    for _ in range(3):  # a simplex that starts afresh does not stay stuck
        best = minimize(
            loss, best, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}
        ).x
    return at(best)


def distance(found: dict[str, float], fit: Fit) -> float:
    """Largest difference of an estimate, in standard errors."""
    names = {"sigma": "scale", "xi": "shape"}
    return max(
        abs(found[ours] - fit.estimate[theirs]) / fit.error[theirs]
        for theirs, ours in names.items()
        if theirs in fit.estimate
    )


def test_excesses_are_those_of_r(series: Series) -> None:
    observe = catalog.load("gpd_tail").observe
    assert observe is not None
    data = observe(series.evaluation, exceedances=None, threshold=0.0)
    assert data["exceeding"][0] == series.exceeding


def test_the_mode_is_the_maximum_likelihood_estimate(series: Series) -> None:
    found = maximum("gpd_tail", series.evaluation)
    nearest = min(series.tails, key=lambda fit: distance(found, fit))
    assert distance(found, nearest) < 0.02, (series.name, found, nearest)
    highest = max(fit.estimate["loglik"] for fit in series.tails)
    assert found["loglik"] > highest - 1e-3, (series.name, found, highest)
    # Nobody has found a higher one: ours is no artefact of the parametrisation.
    assert found["loglik"] < highest + 1e-2, (series.name, found, highest)


def test_the_exponential_mode_is_the_mean_excess(series: Series) -> None:
    found = maximum("gumbel_tail", series.evaluation)
    assert distance(found, series.exponential) < 1e-4, (series.name, found)
    assert found["loglik"] == pytest.approx(
        series.exponential.estimate["loglik"], abs=1e-4
    )


@cache
def flat_posteriors(folder: Path, model: str, seed: int) -> list[Posterior]:
    flat: dict[str, Any] = dict(FLAT)
    if model == "gpd_tail":
        flat["shape_sd"] = np.inf
    evaluations = [series.evaluation for series in read_series(folder)]
    results = fit_many(evaluations, model, draws=4000, seed=seed, **flat)
    return [result for result in results if isinstance(result, Posterior)]


def spread(values: np.ndarray, weights: np.ndarray) -> float:
    """Standard deviation under weights."""
    mean = np.average(values, weights=weights)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))


def spread_by_quadrature(series: Series, fit: Fit, bend: bool) -> dict[str, float]:
    """Spread of the flat posterior by SciPy's density on a grid, shape above -1."""
    above = series.evaluation.scores("behaviour").above(0.0)
    reach = fit.error["sigma"] / fit.estimate["sigma"]
    log_scale = np.log(fit.estimate["sigma"]) + reach * np.linspace(-7, 9, 240)
    shape = np.zeros(1)
    if bend:
        shape = fit.estimate["xi"] + fit.error["xi"] * np.linspace(-7, 12, 241)
        shape = shape[shape > -1]
    grid = np.meshgrid(np.exp(log_scale), shape, indexing="ij")
    log_density: Any = sum(
        count * stats.genpareto.logpdf(score, grid[1], scale=grid[0])
        for score, count in zip(above.score, above.count, strict=True)
    )
    # Flat in the scale; the grid is even in its logarithm.
    weights = np.exp(log_density - log_density.max()) * grid[0]
    return {"sigma": spread(grid[0], weights), "xi": spread(grid[1], weights)}


def spread_by_draws(draws: dict[str, np.ndarray], name: str) -> tuple[float, float]:
    """The same of draws that are flat in the log scale, with its Monte Carlo error."""
    # Of shapes below -1 the likelihood has no bound and a flat prior no posterior.
    weights = draws["scale"] * (draws.get("shape", np.zeros(1)) > -1)
    batches = [
        spread(values, weight)
        for values, weight in zip(
            draws[name].reshape(32, -1), weights.reshape(32, -1), strict=True
        )
    ]
    error = float(np.std(batches, ddof=1)) / np.sqrt(len(batches))
    return spread(draws[name].ravel(), weights.ravel()), error


@pytest.mark.parametrize(
    "model", ["gumbel_tail", pytest.param("gpd_tail", marks=pytest.mark.slow)]
)
def test_the_posterior_is_about_as_wide_as_the_standard_errors(
    model: str, shared_data: Path, seed: int
) -> None:
    """A likelihood of a scale is skewed: wider than its standard errors, up to 1.4."""
    fitted = flat_posteriors(shared_data, model, seed)
    for series, posterior in zip(read_series(shared_data), fitted, strict=True):
        assert posterior.verdict.converged, (series.name, posterior.verdict)
        bend = model == "gpd_tail"
        fit = series.tails[0] if bend else series.exponential
        expected = spread_by_quadrature(series, fit, bend)
        for theirs, ours in {"sigma": "scale", "xi": "shape"}.items():
            if theirs not in fit.error:
                continue
            case = (series.name, theirs)
            ratio = expected[theirs] / fit.error[theirs]
            assert 1.0 < ratio < 1.4, (*case, ratio)
            found, error = spread_by_draws(dict(posterior.draws), ours)
            assert error < 0.05 * found, case  # or the next line asks for nothing
            z = (found - expected[theirs]) / error
            assert abs(z) < 5, (*case, ratio, found / fit.error[theirs], z)
