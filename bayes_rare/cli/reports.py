"""The command that writes the report."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bayes_rare.cli.options import Count, ModelFile, PosteriorFile, Probability, whole
from bayes_rare.cli.speech import import_slowly

__all__ = ["report"]


def report(
    posterior: PosteriorFile,
    /,
    *,
    output: Annotated[Path, Parameter(metavar="REPORT.html")],
    backtest: Annotated[Path | None, Parameter(metavar="BACKTEST.parquet")] = None,
    queries: Count | None = None,
    samples_per_query: Count = 1,
    risk_threshold: Annotated[float, Parameter(metavar="RISK")] = 0.5,
    interval: Probability = 0.9,
    refit: bool = False,
    seed: Count = 0,
    model_file: ModelFile = None,
):
    """Write a report for decision makers: one HTML file that works offline.

    It shows the forecast in sentences and pictures. Its reader can change the size of
    the deployment, the risk threshold and the number of responses to each query.

    Parameters
    ----------
    posterior
        A file that `bayes-rare fit` wrote.
    output
        HTML file to write, atomically; an existing file is replaced.
    backtest
        A file that `bayes-rare backtest` wrote: how well methods forecast held-out
        queries.
    queries
        Number of queries served, 1 to 1e12, that the page shows first. By default the
        largest power of ten that is at most a thousand times the evaluation.
    samples_per_query
        Responses to each query, 1 to 1e6, that the page shows first.
    risk_threshold
        Risk, between 0 and 1, above which queries are counted, that the page shows
        first.
    interval
        Probability of the credible intervals, between 0 and 1.
    refit
        Fit the model again with other thresholds, and show whether it matters.
    seed
        Random seed, a whole number from 0.
    model_file
        Your own model file or files that the posterior was fitted with; a posterior
        never runs a file that it names itself.
    """
    import_slowly("pandas", "xarray", "h5netcdf", "pymc", "matplotlib", "jinja2")
    from bayes_rare import files, reporting
    from bayes_rare.backtesting import load_backtest
    from bayes_rare.cli import tables
    from bayes_rare.posterior import load

    read = [posterior, *([backtest] if backtest else []), *(model_file or [])]
    files.refuse_unwritable(output, *read)
    responses = whole("--samples-per-query", samples_per_query)
    loaded = load.load_posterior(posterior, model_file)
    record = None if backtest is None else load_backtest(backtest)
    with tables.progress_bar("Forecasting") as progress:
        made = reporting.report(
            loaded,
            backtest=record,
            queries=queries,
            samples_per_query=responses,
            risk_threshold=risk_threshold,
            interval=interval,
            refit=refit,
            seed=whole("--seed", seed),
            progress=progress,
        )
    made.save(output)
    for warning in made.warnings:
        print(f"bayes-rare: warning: {warning}", file=sys.stderr)
    tables.console().print(f"Wrote {output}", soft_wrap=True)
