"""Ranks of truths that are drawn from the prior, for tests of calibration.

Parameters are drawn from a model's proper prior, data from those, and draws from the
posterior given the data; then the rank of the truth among independent draws is uniform
[1]_. So is that of a worst score yet to come, luck and all.

.. [1] S. Talts, M. Betancourt, D. Simpson, A. Vehtari, A. Gelman (2018). Validating
   Bayesian inference algorithms with simulation-based calibration. arXiv 1804.06788.
.. [2] S. R. Cook, A. Gelman, D. B. Rubin (2006). Validation of software for Bayesian
   models using posterior quantiles. J. Comput. Graph. Stat. 15, section 2.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from bayes_rare import catalog
from bayes_rare.inference import fit_many
from bayes_rare.populations import log_worst_level
from bayes_rare.posterior import Posterior

QUERIES = 60
DEPLOYED = 1e6
RANKED = 64
"""Draws that a truth is ranked among, thinned so far that they are independent."""

LEVEL = 1e-4
"""Chance that a right program fails, in all tests of one design together."""


@dataclass(frozen=True)
class Ranks:
    """Ranks of the truths in (0, 1) by quantity, and what happened to the data sets."""

    uniform: Mapping[str, np.ndarray]
    refused: int
    unconverged: int

    def p_values(self) -> dict[str, float]:
        """Two tests of each quantity: of place, Kolmogorov's, and of spread.

        That of spread is of the sum of squares of normal scores of the ranks [2]_,
        which finds draws that are too close together, or too far apart, sooner.
        """
        found = {}
        for name, ranks in self.uniform.items():
            found[f"{name}, place"] = float(stats.kstest(ranks, "uniform").pvalue)
            squares = (stats.norm.ppf(ranks) ** 2).sum()
            below = stats.chi2.cdf(squares, ranks.size)
            above = stats.chi2.sf(squares, ranks.size)
            found[f"{name}, spread"] = 2 * float(min(below, above))
        return found

    def failures(self) -> dict[str, float]:
        """Tests whose p-value is too small for that many tests."""
        found = self.p_values()
        return {name: p for name, p in found.items() if p < LEVEL / len(found)}


def rank(draws: np.ndarray, truth: float, rng: np.random.Generator) -> float:
    """Rank of the truth among thinned draws, spread over its cell and its equals."""
    thin = draws.ravel()[:: max(draws.size // RANKED, 1)][:RANKED]
    equals = (thin == truth).sum() + 1  # scores of what cannot happen are -inf
    return ((thin < truth).sum() + rng.random() * equals) / (thin.size + 1)


def simulated_ranks(
    model: catalog.Model,
    sets: int,
    behaviours: int,
    seed: int,
    queries: int = QUERIES,
    simulation: Mapping[str, Any] | None = None,
    levels: tuple[float, ...] = (),
    **sizes: Any,
) -> Ranks:
    """Ranks over data sets simulated by the model itself, all fitted in one batch.

    Ranked are the parameters, the scores of all queries at some ``levels``, which data
    of a weak word on each parameter say the most of, and a worst score yet to come.
    """
    rng = np.random.default_rng([seed, sets, behaviours])
    design = dict.fromkeys("abcdefgh"[:behaviours], queries)
    known = inspect.signature(model.simulate).parameters
    settings: dict[str, Any] = (
        {"threshold": known["threshold"].default} if "threshold" in known else {}
    )
    story = simulation or {}
    pairs = [model.simulate(rng, design, **story) for _ in range(sets)]
    results = fit_many(
        [evaluation for _, evaluation in pairs], model, seed=seed, **sizes, **settings
    )
    uniform: dict[str, list[float]] = {}
    unconverged = refused = 0
    for (truth, _), posterior in zip(pairs, results, strict=True):
        # Too few exceedances. The choice is made by the data alone, and given the data
        # a truth is a draw from the posterior: ranks stay uniform.
        if not isinstance(posterior, Posterior):
            refused += 1
            continue
        unconverged += posterior.verdict.max_rhat > 1.05
        for name, value in truth.items():
            if name == "scale":  # ranks as its logarithm does
                continue
            draws = posterior.draws[name].reshape(-1, np.size(value))
            for index, place in enumerate(np.ndindex(np.shape(value))):
                label = f"{name}{[*place]}" if np.ndim(value) else name
                uniform.setdefault(label, []).append(
                    rank(draws[:, index], float(value[place]), rng)
                )
        for index, behaviour in enumerate(design):
            drawn = posterior.population(behaviour)
            true = model.population(
                {k: v[index][..., None] for k, v in truth.items() if np.ndim(v)},
                {k: np.asarray(v[index]) for k, v in posterior.data.items()},
            )
            for level in levels:
                scores, score = (
                    p.quantile(np.full(p.draws, np.log(level))) for p in (drawn, true)
                )
                uniform.setdefault(f"score at {level}[{index}]", []).append(
                    rank(scores, float(score[0]), rng)
                )
            luck, its_luck = rng.random(drawn.draws), rng.random(1)
            worst = drawn.quantile(log_worst_level(np.log(luck), DEPLOYED))
            truly = true.quantile(log_worst_level(np.log(its_luck), DEPLOYED))
            uniform.setdefault(f"worst score[{index}]", []).append(
                rank(worst, float(truly[0]), rng)
            )
    return Ranks(
        {name: np.array(values) for name, values in uniform.items()},
        refused,
        unconverged,
    )


SIZES: dict[str, Any] = {
    "chains": 2,
    "warmup": 400,
    "draws": 480,
    "target_ess": 0.0,
}


def of_kind(kind: str) -> list[str]:
    """Names of the models that take this kind of outcome, references left out."""
    models = map(catalog.load, catalog.names())
    return [m.name for m in models if kind in m.accepts and not m.reference_only]
