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
    """Compare the methods of a backtest."""
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
