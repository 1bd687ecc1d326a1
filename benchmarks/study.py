"""What studies share: arguments, backtests, timing, and tables of their results."""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm

import bayes_rare as br
from bayes_rare import catalog

__all__ = [
    "backtested",
    "clustered",
    "markdown",
    "number",
    "of_table",
    "print_ratio",
    "print_worst",
    "pymc_sampled",
    "study",
    "timed",
]


def study(doc: str | None, *parts: str) -> argparse.ArgumentParser:
    """Arguments of a study: its first line as description, and which part to run."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    if parts:
        parser.add_argument("what", choices=parts)
    return parser


def of_table(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The same with the arguments of a backtest of a table."""
    parser.add_argument("table", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    return parser


@contextmanager
def _outputs(given: argparse.Namespace) -> Iterator[Path]:
    """The output, or a temporary one if none is named."""
    with tempfile.TemporaryDirectory() as folder:
        yield given.output or Path(folder) / "backtest.parquet"


def backtested(given: argparse.Namespace, name: str, **options: object) -> pd.DataFrame:
    """The table of a backtest, kept as OUTPUT-NAME.parquet if an output is named."""
    with _outputs(given) as base:
        made = br.backtest(
            given.table,
            repeats=given.repeats,
            seed=given.seed,
            workers=given.workers,
            output=base.with_name(f"{base.stem}-{name}.parquet"),
            **options,
        )
        return made.table


def timed[T](call: Callable[[], T]) -> tuple[float, T]:
    """Seconds of a call, and its result."""
    start = time.perf_counter()
    made = call()
    return time.perf_counter() - start, made


def pymc_sampled(
    model: str,
    evaluation: br.Evaluation,
    *,
    chains: int,
    warmup: int,
    draws: int,
    seed: int = 0,
    **options: object,
) -> tuple[float, object]:
    """Seconds of one call of PyMC's own NumPyro sampler, and its draws."""
    logging.getLogger("pymc").setLevel(logging.ERROR)
    with catalog.load(model).build(evaluation):
        return timed(
            lambda: pm.sample(
                nuts_sampler="numpyro",
                chains=chains,
                tune=warmup,
                draws=draws,
                progressbar=False,
                random_seed=seed,
                **options,
            )
        )


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as a table in markdown, their keys as its head.

    Parameters
    ----------
    rows
        All with the same keys.
    """
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def number(value: float, digits: int = 2) -> str:
    """A number as tables show it, and a hyphen where there is none."""
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


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
