"""The commands that hold methods against what they have not seen."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bayes_rare.cli.speech import import_slowly, print_json
from bayes_rare.cli.words import (
    SEVERAL,
    AsJson,
    ColumnNames,
    Count,
    Counts,
    EvaluationFile,
    ModelFile,
    Names,
    Risks,
    Share,
    Text,
    columns_of,
    optional,
    whole,
)

__all__ = ["backtest", "compare", "stack"]


def backtest(
    evaluation: EvaluationFile,
    /,
    *,
    methods: Annotated[
        list[str], Parameter(metavar="METHOD", consume_multiple=SEVERAL)
    ],
    output: Annotated[Path, Parameter(metavar="BACKTEST.parquet")],
    evaluation_sizes: Counts | None = None,
    deployment_sizes: Counts | None = None,
    repeats: Count | None = None,
    behaviours: Names = None,
    columns: ColumnNames = None,
    text: Text | None = None,
    hold_out_families: Count = 0,
    ignore_families: bool = False,
    split: Annotated[str | None, Parameter(metavar="COLUMN")] = None,
    pool: bool = False,
    trials_per_query: Count | None = None,
    risk_thresholds: Risks = None,
    samples_per_query: Count = 1,
    unseen_share: Share = 0.0,
    unseen_families: Count | None = None,
    chains: Count = 4,
    warmup: Count = 500,
    draws: Count = 500,
    seed: Count = 0,
    workers: Count = 2,
    model_file: ModelFile = None,
    as_json: AsJson = False,
):
    """Hold forecasting methods against queries that they have not seen.

    A larger evaluation is split again and again into queries that methods see and
    queries whose worst risk, number of risky ones and aggregate risk they must
    forecast. While it runs, finished parts lie in BACKTEST.parquet.parts: killed, the
    same command goes on from there, and ends with the same numbers.

    Parameters
    ----------
    evaluation
        The larger evaluation, a table as for `bayes-rare fit`.
    methods
        Baselines, models (see `bayes-rare models`), model files, or functions in files,
        several after one flag: gumbel_ols gpd_tail:exceedances=20 ./mine.py
        ./mine.py:forecast.
    output
        Parquet file to write the scores to; it appears whole or not at all, and
        replaces what was there.
    evaluation_sizes
        Numbers of queries that methods see, several after one flag.
    deployment_sizes
        Numbers of queries that they forecast, each with each of the former.
    repeats
        Random splits of each behaviour; by default 10.
    behaviours
        Behaviours to take, several after one flag; by default all. They are fitted one
        by one.
    columns
        Columns of the table that have other names: log_risk=log_p,family=template_id.
    text
        How the text of the table is written.
    hold_out_families
        Families, drawn anew for each split, that no evaluation has a query of, while
        deployments come from all.
    ignore_families
        Do not tell methods the families.
    split
        Column that says "evaluation" or "deployment" of each row, in place of random
        splits; sizes may then be left out.
    pool
        Fit all behaviours of a split together, on the same queries.
    trials_per_query
        Let methods see counts: successes among so many responses to each query, drawn
        from its risk. What is forecast stays exact.
    risk_thresholds
        Further risks above which queries are counted, beside the one that ten queries
        of the deployment exceed on average.
    samples_per_query
        Responses to each query of a deployment, from 1.
    unseen_share
        Share of the deployment that methods are told is from families not seen.
    unseen_families
        How many such families they are told there are.
    chains
        Markov chains of each fit, from 1.
    warmup
        Steps of each chain that adapt and are thrown away, from 20.
    draws
        Steps of each chain that are kept, from 4; up to four times as many where they
        say too little.
    seed
        Seed of splits, counts, fits and luck, a whole number from 0.
    workers
        Processes at once, which share the cores.
    model_file
        File of a model of yours that a stack among the methods weighs, or files,
        several after one flag: a stack runs no file that it names by itself.
    as_json
        Print the comparison as one JSON object on standard output, and nothing else.
    """
    import_slowly("pandas", "pyarrow", "duckdb", "narwhals", "scipy.stats", "joblib")
    from bayes_rare import backtesting, files
    from bayes_rare.cli import tables

    # What follows the path of a method's file: the function in it, or settings.
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
            behaviours=behaviours,
            columns=columns_of(columns),
            **vars(text or Text()),
            hold_out_families=whole("--hold-out-families", hold_out_families),
            ignore_families=ignore_families,
            split=split,
            pool=pool,
            trials_per_query=optional("--trials-per-query", trials_per_query),
            risk_thresholds=risk_thresholds or (),
            samples_per_query=whole("--samples-per-query", samples_per_query),
            unseen_share=unseen_share,
            unseen_families=optional("--unseen-families", unseen_families),
            chains=whole("--chains", chains),
            warmup=whole("--warmup", warmup),
            draws=whole("--draws", draws),
            seed=whole("--seed", seed),
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
        Folder to write coverage.png, pit.png and skill.png to; made if it is missing.
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
    """Learn from a backtest how much weight each of its models deserves.

    The weights are those of the mixture of least CRPS of the worst query, for each
    evaluation size. Printed beside them is what they are worth on behaviours that had
    no say in them. `bayes-rare fit --model STACK.json` takes the result.

    Parameters
    ----------
    backtest
        A file that `bayes-rare backtest` wrote, of two models or more.
    output
        JSON file to write; it appears whole or not at all, and replaces what was there.
    methods
        Models to weigh, several after one flag; by default all of the backtest.
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
    """A backtest's comparison: text, or JSON with what to know on standard error."""
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
