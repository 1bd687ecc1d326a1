"""Coverage of intervals, and PIT histograms."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare import plotting
from bayes_rare.backtesting.bootstrap import bootstrap
from bayes_rare.backtesting.cells import CELL, by_cell, checked, codes, groups
from bayes_rare.backtesting.table import Backtest

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = ["coverage_interval", "plot_coverage", "plot_pit"]

_NOMINAL = {0.5: "covered_50", 0.8: "covered_80", 0.9: "covered_90", 0.95: "covered_95"}


def coverage_interval(
    table: "Backtest | pandas.DataFrame",
    *,
    interval: int | float = 0.95,
    resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> "pandas.DataFrame":
    """Coverage of the intervals of each method, with its uncertainty.

    The share of truths in the central 50, 80, 90 and 95 % intervals, with the
    percentile interval of that share where behaviours are resampled, each with all its
    forecasts; with a single behaviour the forecasts are. A share of 0 or 1 has an
    interval of no width, because every resample gives the same share.

    Parameters
    ----------
    table
        The table of a backtest. Forecasts without an interval do not count.
    interval
        Probability of the interval of each share, in (0, 1).
    resamples
        Number of times that behaviours are resampled.
    seed
        Source of randomness.

    Returns
    -------
    pandas.DataFrame
        Columns ``method``, those of the cell, ``nominal, forecasts, behaviours,
        coverage, lower, upper``; methods without intervals have no row.

    Raises
    ------
    InvalidData
        If the table is not that of a backtest.
    InvalidInput
        If the interval or the number of resamples is out of range.

    References
    ----------
    .. [1] A. C. Davison, D. V. Hinkley (1997), section 3.8.
    """
    import pandas as pd

    resample = bootstrap(interval, resamples, seed)
    table = checked(table, ["method", "behaviour", *CELL, *_NOMINAL.values()])
    rows: list[dict[str, Any]] = []
    for cell, part in by_cell(table):
        for method, found in groups(part, ["method"]):
            own = found[found[list(_NOMINAL.values())].notna().all(axis=1)]
            if own.empty:
                continue
            covered = own[list(_NOMINAL.values())].to_numpy(dtype=float)
            lower, upper = resample(covered, codes(own))
            rows += [
                {
                    "method": method[0],
                    **cell._asdict(),
                    "nominal": nominal,
                    "forecasts": len(own),
                    "behaviours": own["behaviour"].nunique(),
                    "coverage": covered[:, place].mean(),
                    "lower": lower[place],
                    "upper": upper[place],
                }
                for place, nominal in enumerate(_NOMINAL)
            ]
    columns = [
        "method",
        *CELL,
        "nominal",
        "forecasts",
        "behaviours",
        "coverage",
        "lower",
        "upper",
    ]
    return pd.DataFrame(rows, columns=columns)


def plot_coverage(
    table: "Backtest | pandas.DataFrame",
    *,
    target: str = "worst_query_risk",
    path: str | Path | None = None,
    interval: int | float = 0.95,
    resamples: int = 10_000,
    seed: int | np.random.Generator = 0,
) -> "Figure":
    """Coverage of intervals, against their stated probability.

    Parameters
    ----------
    table
        A backtest, or its table.
    target
        What is forecast.
    path
        Where to write the picture, if anywhere.
    interval
        Probability of the interval of each share.
    resamples
        Number of times that behaviours are resampled.
    seed
        Source of randomness.
    """
    shares = coverage_interval(table, interval=interval, resamples=resamples, seed=seed)
    figure = plotting.coverage(shares, target=target, interval=interval)
    return plotting.written(figure, path)


def plot_pit(
    table: "Backtest | pandas.DataFrame",
    *,
    target: str = "worst_query_risk",
    path: str | Path | None = None,
) -> "Figure":
    """PIT histograms of the forecasts: flat if they are calibrated.

    Parameters
    ----------
    table
        A backtest, or its table.
    target
        What is forecast.
    path
        Where to write the picture, if anywhere.
    """
    table = checked(table, ["method", *CELL, "pit"])
    return plotting.written(plotting.pit(table, target=target), path)
