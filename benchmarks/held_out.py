"""Tables of what methods forecast of held-out queries; for the other benchmarks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

__all__ = ["clustered", "print_ratio", "print_worst"]


def clustered(rows: pd.DataFrame) -> str:
    """Share covered, and its 95 % interval from the spread between behaviours."""
    means = rows.groupby("behaviour").covered_90.mean()
    error = means.std() / np.sqrt(len(means)) if len(means) > 1 else np.nan
    low, high = means.mean() - 1.96 * error, means.mean() + 1.96 * error
    return f"{means.mean():.3f} ({low:.2f} to {high:.2f})"


def print_worst(rows: pd.DataFrame, ours: str, rivals: Sequence[str]) -> float:
    """Print CRPS, coverage and errors by method; return the ratio to the best rival."""
    worst = rows[rows.target == "worst_query_risk"]
    table = worst.groupby("method").agg(
        crps=("crps", "mean"),
        error=("abs_log10_error", "mean"),
        underestimated=("underestimated", "mean"),
    )
    covered = {
        name: clustered(part[part.covered_90.notna()])
        for name, part in worst.groupby("method")
        if part.covered_90.notna().any()
    }
    table["covers 90 %"] = pd.Series(covered)
    print(table.round(3).to_string())
    ratio = print_ratio(worst, ours, rivals)
    odd = worst[worst.status != "forecast"]
    print(f"refused or not converged: {len(odd)} of {len(worst)}")
    by = worst.pivot_table(index="behaviour", columns="method", values="crps")
    covers = worst[worst.method == ours].groupby("behaviour").covered_90.mean()
    print(by.assign(covers=covers).round(3).to_string(), "\n", flush=True)
    return ratio


def print_ratio(worst: pd.DataFrame, ours: str, rivals: Sequence[str]) -> float:
    """Print the mean CRPS over that of the best rival, and their clustered difference.

    The difference is that of means by behaviour, with a 95 % interval from the spread
    between behaviours.
    """
    means = worst.groupby("method").crps.mean()
    best = means[list(rivals)].idxmin()
    ratio = float(means[ours] / means[best])
    by = worst.pivot_table(index="behaviour", columns="method", values="crps")
    less = by[ours] - by[best]
    error = 1.96 * less.std() / np.sqrt(len(less)) if len(less) > 1 else np.nan
    print(
        f"CRPS of {ours} over {best}: {ratio:.3f}; difference {less.mean():.4f} "
        f"({less.mean() - error:.4f} to {less.mean() + error:.4f})"
    )
    return ratio
