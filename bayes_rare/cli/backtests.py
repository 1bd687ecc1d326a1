"""The commands that test methods on held-out queries, and compare them."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bayes_rare.cli.options import (
    AsJson,
    BacktestSampling,
    Count,
    Counts,
    EvaluationFile,
    ModelFile,
    Names,
    Risks,
    Share,
    TableOptions,
    optional,
    several,
    whole,
)
from bayes_rare.cli.speech import import_slowly, print_json

__all__ = ["backtest", "compare", "stack"]


def backtest(
    evaluation: EvaluationFile,
    /,
    *,
    methods: Annotated[list[str], several("METHOD")],
    output: Annotated[Path, Parameter(metavar="BACKTEST.parquet")],
    evaluation_sizes: Counts | None = None,
    deployment_sizes: Counts | None = None,
    repeats: Count | None = None,
    table: TableOptions | None = None,
    hold_out_families: Count = 0,
    ignore_families: bool = False,
    split: Annotated[str | None, Parameter(metavar="COLUMN")] = None,
    pool: bool = False,
    trials_per_query: Count | None = None,
    risk_thresholds: Risks = None,
    samples_per_query: Count = 1,
    unseen_share: Share = 0.0,
    unseen_families: Count | None = None,
    sampling: BacktestSampling | None = None,
    workers: Count = 2,
    model_file: ModelFile = None,
    as_json: AsJson = False,
):
    """Backtest forecasting methods on held-out queries.

    A large evaluation is split repeatedly: each method sees some of the queries, and
    forecasts the worst risk, the number of risky queries and the aggregate risk of the
    others. Finished parts are kept in BACKTEST.parquet.parts while it runs: if it is
    stopped, the same command resumes there and gives the same numbers.

    Parameters
    ----------
    evaluation
        The large evaluation, a table as for `bayes-rare fit`.
    methods
        One or more baselines, models (see `bayes-rare models`), model files, or
        functions in files: gumbel_ols gpd_tail:exceedances=20 ./mine.py
        ./mine.py:forecast.
    output
        Parquet file for the scores, written atomically; an existing file is replaced.
    evaluation_sizes
        Number of queries that a method sees, one or more.
    deployment_sizes
        Number of queries that it forecasts, one or more; each is combined with each
        evaluation size.
    repeats
        Random splits of each behaviour. By default 10.
    table
        Which part of the table is read.
    hold_out_families
        Number of families, drawn anew for each split, that are left out of the
        evaluation while the deployment has all families.
    ignore_families
        Hide the families from the methods.
    split
        Column that says "evaluation" or "deployment" for each row, in place of random
        splits; the sizes may then be left out.
    pool
        Fit all behaviours of a split together, on the same queries.
    trials_per_query
        Show the methods counts instead of risks: successes among this many responses
        to each query, drawn from its risk. What is forecast stays exact.
    risk_thresholds
        Further risks above which queries are counted. One threshold is always there:
        the risk that ten queries of the deployment exceed on average.
    samples_per_query
        Responses to each query of a deployment, at least 1.
    unseen_share
        Share of the deployment that, as methods are told, comes from unseen families.
    unseen_families
        Number of unseen families that methods are told of.
    sampling
        How each fit is sampled.
    workers
        Number of processes, which share the cores.
    model_file
        Your own model file or files that a stack among the methods uses; a stack never
        runs a file that it names itself.
    as_json
        Print the comparison as one JSON object on standard output, and nothing else.
    """
    import_slowly("pandas", "pyarrow", "duckdb", "narwhals", "scipy.stats", "joblib")
    from bayes_rare import backtesting, files
    from bayes_rare.cli import tables

    # A method's file may be followed by a function in it, or by settings.
    named = [
        one.partition(".py:")[0] + ".py" if ".py:" in one else one for one in methods
    ]
    files.refuse_unwritable(output, evaluation, *map(Path, named), *(model_file or []))
    with tables.progress_bar("Backtest", time_left=True, plain=True) as progress:
        made = backtesting.backtest(
            evaluation,
            methods,
            [whole("--evaluation-sizes", size) for size in evaluation_sizes or []],
            [whole("--deployment-sizes", size) for size in deployment_sizes or []],
            repeats=optional("--repeats", repeats),
            **(table or TableOptions()).arguments(),
            hold_out_families=whole("--hold-out-families", hold_out_families),
            ignore_families=ignore_families,
            split=split,
            pool=pool,
            trials_per_query=optional("--trials-per-query", trials_per_query),
            risk_thresholds=risk_thresholds or (),
            samples_per_query=whole("--samples-per-query", samples_per_query),
            unseen_share=unseen_share,
            unseen_families=optional("--unseen-families", unseen_families),
            **(sampling or BacktestSampling()).arguments(),
            workers=whole("--workers", workers),
            model_file=model_file,
            output=output,
            progress=progress,
        )
    _print_comparison(made, as_json)
    if not as_json:
        tables.console().print(f"\nWrote {output}", soft_wrap=True)


def compare(
    backtest: Annotated[Path, Parameter(metavar="BACKTEST.parquet")],
    /,
    *,
    pictures: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    as_json: AsJson = False,
):
    """Compare the methods of a backtest.

    Parameters
    ----------
    backtest
        A file that `bayes-rare backtest` wrote.
    pictures
        Folder for coverage.png, pit.png and skill.png; created if it does not exist.
    as_json
        Print one JSON object on standard output, and nothing else.
    """
    import_slowly("pandas", "pyarrow", "scipy.stats")
    from bayes_rare import files
    from bayes_rare.backtesting import coverage, load_backtest
    from bayes_rare.cli import tables

    made = load_backtest(backtest)
    places = {
        name: pictures / f"{name}.png"
        for name in ("coverage", "pit", "skill")
        if pictures is not None
    }
    for place in places.values():
        files.refuse_unwritable(place, backtest)
    compared = _print_comparison(made, as_json)
    if places:
        coverage.plot_coverage(made, path=places["coverage"])
        coverage.plot_pit(made, path=places["pit"])
        compared.plot_skill(path=places["skill"])
    if not as_json:
        for place in places.values():
            tables.console().print(f"Wrote {place}", soft_wrap=True)


def stack(
    backtest: Annotated[Path, Parameter(metavar="BACKTEST.parquet")],
    /,
    *,
    output: Annotated[Path, Parameter(metavar="STACK.json")],
    methods: Names = None,
    as_json: AsJson = False,
):
    """Learn weights of models from a backtest (stacking).

    For each evaluation size, these are the weights whose mixture has the smallest mean
    CRPS for the risk of the worst query. Each model and the mixture are also scored on
    behaviours left out when weights are learned. Use the result with `bayes-rare fit
    --model STACK.json`.

    Parameters
    ----------
    backtest
        A file that `bayes-rare backtest` wrote, of two models or more.
    output
        JSON file to write, atomically; an existing file is replaced.
    methods
        Models to weight, one or more. By default all models of the backtest.
    as_json
        Print the content of that file on standard output, and nothing else.
    """
    import_slowly("pandas", "pyarrow", "scipy.optimize")
    from bayes_rare import files
    from bayes_rare.backtesting import learn_stack, load_backtest
    from bayes_rare.cli import tables

    files.refuse_unwritable(output, backtest)
    learnt = learn_stack.stack(load_backtest(backtest), methods)
    learnt.save(output)
    if as_json:
        print_json(learnt.json())
        return
    out = tables.console()
    for part in tables.stack_report(learnt):
        out.print(part)
    out.print(f"\nWrote {output}", soft_wrap=True)


def _print_comparison(made: Any, as_json: bool) -> Any:
    """Print a comparison as text, or as JSON with its notes on standard error."""
    from bayes_rare.backtesting import comparison
    from bayes_rare.cli import tables

    compared = comparison.compare(made)
    if as_json:
        print_json(compared.json())
        for note in compared.notes:
            print(f"bayes-rare: note: {note}", file=sys.stderr)
        return compared
    out = tables.console()
    for part in tables.comparison_report(compared):
        out.print(part)
    return compared
