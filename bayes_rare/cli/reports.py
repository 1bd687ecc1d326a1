"""The command that writes a page for those who decide."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bayes_rare.cli.speech import import_slowly
from bayes_rare.cli.words import Count, ModelFile, PosteriorFile, Probability, whole

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
    """Write a page for the person who decides: one HTML file that needs no network.

    It says the forecast in sentences and pictures; whoever reads it moves the size of
    the deployment, the threshold and the responses to each query, and it follows.
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
