"""Convergence diagnostics by parameter, and the prior next to the posterior."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare.forecasting import prior_predictive
from bayes_rare.posterior import Posterior, extreme_scores

if TYPE_CHECKING:
    import pandas

__all__ = [
    "EXTREME",
    "expected_before",
    "parameters",
    "prior_and_posterior",
    "prior_draws",
    "ranks",
    "single_numbers",
]

type Array = Float[np.ndarray, "..."]
type Chains = Float[np.ndarray, "chain draw"]

EXTREME = "score that one in a million exceeds"
"""A quantity that decides forecasts; it is diagnosed like a parameter."""

# A parameter with more values than this is told by the worst of them.
_MOST_VALUES = 40
_INTERVAL = (0.05, 0.5, 0.95)
_BINS = 20


def single_numbers(
    posterior: Posterior, *, small: bool
) -> dict[tuple[str, str], Chains]:
    """Draws of single numbers, by parameter and by what it is of.

    Without offsets, which are means to an end, and without logarithms of what is there
    itself: they have its ranks.
    """
    found: dict[tuple[str, str], Chains] = {}
    for name, values in posterior.draws.items():
        plain = name.removeprefix("log_")
        if name.endswith("_offset") or (plain != name and plain in posterior.draws):
            continue
        dims = posterior.dims.get(name, ())
        flat = values.reshape(*values.shape[:2], -1)
        if small and flat.shape[2] > _MOST_VALUES:
            continue
        for place in range(flat.shape[2]):
            index = np.unravel_index(place, values.shape[2:]) if dims else ()
            labels = [
                posterior.behaviours[at] if dim == "behaviour" else f"{dim} {at}"
                for dim, at in zip(dims, index, strict=True)
            ]
            found[name, ", ".join(labels)] = flat[..., place]
    return found


def parameters(posterior: Posterior) -> "pandas.DataFrame":
    """R-hat and effective sample sizes of each parameter, the worst first.

    Columns ``parameter, of, mean, sd, rhat, ess_bulk, ess_tail``; with the score that
    one query in a million exceeds, which forecasts rest on. Numbers that never move
    have no row.
    """
    import pandas as pd

    array_stats = import_module("arviz_stats.base").array_stats
    columns = single_numbers(posterior, small=False)
    tails = extreme_scores(
        posterior.model,
        posterior.draws,
        posterior.data,
        posterior.dims,
        posterior.behaviours,
    )
    columns |= {
        (EXTREME, name): values
        for name, values in zip(posterior.behaviours, tails.values(), strict=True)
    }
    moving = {
        key: values
        for key, values in columns.items()
        if (values != values[:1, :1]).any()
    }
    every = np.stack(list(moving.values()), axis=-1)
    axes = {"chain_axis": 0, "draw_axis": 1}
    with np.errstate(all="ignore"):
        table = {
            "parameter": [name for name, _ in moving],
            "of": [of for _, of in moving],
            "mean": every.mean(axis=(0, 1)),
            "sd": every.std(axis=(0, 1)),
            "rhat": array_stats.rhat(_halves(every), **axes),
            "ess_bulk": array_stats.ess(every, method="bulk", **axes),
            "ess_tail": array_stats.ess(
                every, method="tail", prob=(0.05, 0.95), **axes
            ),
        }
    # Where R-hat is no number, something is wrong.
    return pd.DataFrame(table).sort_values(
        "rhat", ascending=False, kind="stable", na_position="first"
    )


def _halves(values: Array) -> Array:
    """The two halves of a single chain as two, which R-hat can compare."""
    if len(values) > 1:
        return values
    half = values.shape[1] // 2
    return np.concatenate([values[:, :half], values[:, half : 2 * half]])


def ranks(
    posterior: Posterior, judged: "pandas.DataFrame", most: int = 12
) -> "pandas.DataFrame":
    """Where the draws of each chain stand among all: flat if all say the same [1]_.

    References
    ----------
    .. [1] A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner (2021).
       Rank-normalization, folding, and localization: an improved R-hat. Bayesian
       Analysis 16, 667-718.
    """
    import pandas as pd

    columns = single_numbers(posterior, small=False)
    worst = [
        key
        for key in zip(judged["parameter"], judged["of"], strict=True)
        if key in columns
    ][:most]
    rows: list[dict[str, Any]] = []
    for name, of in worst:
        values = columns[name, of]
        place = values.ravel().argsort().argsort().reshape(values.shape)
        for chain, own in enumerate(place):
            counts = np.bincount(own * _BINS // values.size, minlength=_BINS)
            rows += [
                {
                    "parameter": name,
                    "of": of,
                    "chain": chain,
                    "bin": number,
                    "share": float(count * _BINS / own.size),
                    "draws": int(own.size),
                }
                for number, count in enumerate(counts)
            ]
    return pd.DataFrame(rows)


def prior_draws(posterior: Posterior, seed: int = 0) -> dict[str, Array]:
    """Draws of the parameters from the prior, as `prior_predictive` has them."""
    return prior_predictive.prior_draws(
        posterior.model,
        posterior.evaluation,
        posterior.settings,
        posterior.data,
        seed=seed,
    )


def prior_and_posterior(
    posterior: Posterior, prior: Mapping[str, Array]
) -> "pandas.DataFrame":
    """What each parameter was expected to be, and what it was found to be."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    places: dict[str, int] = {}
    for (name, of), values in single_numbers(posterior, small=True).items():
        if name not in prior or not _alike(posterior, name, prior[name]):
            continue
        place = places[name] = places.get(name, -1) + 1
        before = prior[name].reshape(prior_predictive.PRIOR_DRAWS, -1)[:, place]
        known, found = (np.quantile(each, _INTERVAL) for each in (before, values))
        if not np.isfinite(known).all() or known[2] <= known[0]:
            continue
        ends = ("lower", "median", "upper")
        rows.append(
            {
                "parameter": name,
                "of": of,
                **{f"prior_{end}": known[at] for at, end in enumerate(ends)},
                **{end: found[at] for at, end in enumerate(ends)},
                "learnt": max(1 - (found[2] - found[0]) / (known[2] - known[0]), 0.0),
            }
        )
    return pd.DataFrame(rows)


def _alike(posterior: Posterior, name: str, values: Array) -> bool:
    """Whether draws from the prior have the shape of those from the posterior."""
    return values.shape[2:] == posterior.draws[name].shape[2:]


def expected_before(
    posterior: Posterior,
    prior: Mapping[str, Array],
    queries: int,
    levels: Float[np.ndarray, " level"],
) -> dict[str, Float[np.ndarray, " level"]]:
    """Prior predictive quantiles of the riskiest query's score.

    Where a tail begins, and the body below it, are those of the evaluation.
    """
    return prior_predictive.expected_scores(
        posterior.model,
        posterior.behaviours,
        prior,
        posterior.data,
        posterior.dims,
        queries,
        levels,
    )
