"""The command line, thin over the Python interface.

Whatever is heavy to import is imported inside the command that needs it, so that
``--help`` answers at once.

=========  ====================================================
exit code  meaning
=========  ====================================================
0          done
1          refused, with one paragraph on standard error
2          usage: the command line itself cannot be understood
3          the fit did not converge
130        interrupted
=========  ====================================================
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, Token

from bayes_rare import __version__
from bayes_rare.errors import BayesRareError, InvalidInput, NotConverged
from bayes_rare.importing import app as importing

__all__ = ["app", "main"]

_DONE, _REFUSED, _USAGE, _UNCONVERGED, _INTERRUPTED = 0, 1, 2, 3, 130


def _number(text: str) -> int | float:
    """A number as it is written: a whole one exactly, 1e4 as a float."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def _one(_: Any, tokens: Sequence[Token]) -> int | float:
    return _number(tokens[0].value)


def _many(_: Any, tokens: Sequence[Token]) -> list[int | float]:
    return [_number(token.value) for token in tokens]


# At least one value after the flag.
_SEVERAL = (1, None)
type Count = Annotated[int | float, Parameter(converter=_one, metavar="N")]
type Counts = Annotated[
    list[int | float],
    Parameter(converter=_many, metavar="N", consume_multiple=_SEVERAL),
]
type Risks = Annotated[
    tuple[float, ...] | None, Parameter(metavar="RISK", consume_multiple=_SEVERAL)
]

app = App(
    name="bayes-rare",
    help="Forecasts of a language model's worst-case risk at deployment scale.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
app.command(importing)


@app.command
def demo(*, output: Annotated[Path, Parameter(metavar="DIR")] = Path("demo-output")):
    """Forecast from 1,000 real queries, and hold it against 24,000 others.

    Writes posterior.nc, forecast.csv, scaling.png and report.html, a page to open in a
    browser. Takes about a minute on two cores; the first time longer, as programs are
    compiled.

    Parameters
    ----------
    output
        Folder to write to; made if it is missing.
    """
    _import("pandas", "pyarrow", "bayes_rare.inference")
    from bayes_rare import demo

    demo.run(output)


@app.command
def models():
    """List the shipped models, in a line each."""
    from bayes_rare import catalog, printing

    made = printing.table("model", "what it says")
    made.columns[1].justify = "left"
    for name, summary in catalog.summaries().items():
        made.add_row(name, summary)
    printing.console().print(made)


@app.command
def fit(
    evaluation: Annotated[Path, Parameter(metavar="EVALUATION")],
    /,
    *,
    output: Annotated[Path, Parameter(metavar="POSTERIOR.nc")],
    model: Annotated[str | None, Parameter(metavar="NAME|FILE.py")] = None,
    prior: Annotated[
        list[str] | None, Parameter(metavar="NAME=VALUE", consume_multiple=_SEVERAL)
    ] = None,
    columns: Annotated[str | None, Parameter(metavar="NAME=COLUMN,...")] = None,
    behaviours: Annotated[
        list[str] | None, Parameter(metavar="NAME", consume_multiple=_SEVERAL)
    ] = None,
    chains: Count = 4,
    warmup: Count = 1000,
    draws: Count = 1000,
    seed: Count = 0,
    allow_unconverged: bool = False,
):
    """Fit a model to an evaluation, and write its posterior.

    The evaluation is a table with a row for each query: `log_risk`, the natural
    logarithm of its risk, with `log_risk_se` where that is an estimate; or `successes`
    and `trials`; and, where known, `query_id`, `behaviour`, `family`, `query_text` and
    `weight`.

    Parameters
    ----------
    evaluation
        A .csv, .tsv, .parquet, .jsonl, .ndjson or .json file, or a quoted pattern of
        several; text may be packed (.gz).
    output
        NetCDF file to write; it appears whole or not at all, and replaces what was
        there.
    model
        A shipped model (see `bayes-rare models`), the path of a file of yours, or
        `average`, the default: all that suit the data, weighted by what they forecast.
    prior
        Priors and other settings of the model, such as shape_sd=0.2 exceedances=20
        pool=false; a value is a number, inf, true, false or none. By default those of
        the model's file.
    columns
        Columns of the table that have other names: log_risk=log_p,family=template_id.
    behaviours
        Behaviours to fit, several after one flag; by default all.
    chains
        Markov chains, from 1.
    warmup
        Steps of each chain that adapt and are thrown away, from 20.
    draws
        Steps of each chain that are kept, from 4; up to four times as many where they
        say too little.
    seed
        Seed of every random number, a whole number from 0.
    allow_unconverged
        Write the posterior, marked, even if the fit did not converge.
    """
    _import("pandas", "pyarrow", "duckdb", "narwhals")
    from bayes_rare import files, printing
    from bayes_rare.readers.tables import read_table

    out = printing.console()
    files.refuse_unwritable(output, evaluation)
    sizes = {
        "chains": _whole("--chains", chains),
        "warmup": _whole("--warmup", warmup),
        "draws": _whole("--draws", draws),
        "seed": _whole("--seed", seed),
    }
    priors = _priors(prior or [])
    read = read_table(evaluation, columns=_columns(columns), behaviours=behaviours)
    out.print(f"Read {evaluation}:\n", soft_wrap=True)
    out.print(printing.evaluation_table(read))
    if read.record is not None:
        for part in printing.dropped_report(read.record):
            out.print(part)
    out.print()
    _import("bayes_rare.inference")
    from bayes_rare import inference

    with printing.progress_bar("Sampling") as progress:
        if model in (None, "average"):
            _fitted_average(read, output, allow_unconverged, progress, sizes, priors)
            return
        posterior = inference.fit(read, model, progress=progress, **sizes, **priors)
    out.print(f"Model {posterior.model.name}.", posterior.model.summary)
    tail = printing.tail_table(posterior)
    if tail is not None:
        out.print()
        out.print(tail)
        out.print()
    if not allow_unconverged:
        posterior.require_convergence(
            "Nothing was written; --allow-unconverged writes it all the same."
        )
    out.print(printing.verdict(posterior))
    posterior.save(output)
    out.print(f"Wrote {output}", soft_wrap=True)
    _warn_if_unconverged(posterior)


def _fitted_average(
    evaluation: Any,
    output: Path,
    allow_unconverged: bool,
    progress: Any,
    sizes: dict[str, Any],
    priors: dict[str, Any],
) -> None:
    """Average the models that suit an evaluation, and write and show the average."""
    from bayes_rare import inference, printing
    from bayes_rare.errors import InvalidInput

    if priors:
        raise InvalidInput(
            f"average has no settings of its own, got --prior {', '.join(priors)}. "
            "Name one model (--model) to set its priors."
        )
    averaged = inference.fit(evaluation, progress=progress, **sizes)
    out = printing.console()
    out.print("Average of the models that suit the data, each with its weight:\n")
    out.print(printing.weight_table(averaged))
    out.print()
    if not allow_unconverged:
        averaged.require_convergence(
            "Nothing was written; --allow-unconverged writes it all the same."
        )
    out.print(printing.verdict(averaged))
    averaged.save(output)
    out.print(f"Wrote {output}", soft_wrap=True)
    _warn_if_unconverged(averaged)


@app.command
def forecast(
    posterior: Annotated[Path, Parameter(metavar="POSTERIOR.nc")],
    /,
    *,
    queries: Counts,
    risk_thresholds: Risks = None,
    samples_per_query: Count = 1,
    families: Annotated[Path | None, Parameter(metavar="WEIGHTS.csv")] = None,
    unseen_share: Annotated[float, Parameter(metavar="SHARE")] = 0.0,
    unseen_families: Count | None = None,
    interval: Annotated[float, Parameter(metavar="PROBABILITY")] = 0.9,
    seed: Count = 0,
    output: Annotated[Path | None, Parameter(metavar="FORECAST.csv")] = None,
    as_json: Annotated[bool, Parameter("--json")] = False,
):
    """Forecast what a deployment may show.

    Parameters
    ----------
    posterior
        A file that `bayes-rare fit` wrote.
    queries
        Numbers of queries served, several after one flag: 1e4 1e6 1e9. Whole numbers
        from 1 to 1e12.
    risk_thresholds
        Risks, between 0 and 1, above which queries are counted; by default 0.01 0.5.
    samples_per_query
        Responses sampled for each query, from 1.
    families
        Table with the columns family and weight: what families the queries are from.
        By default the mix of the evaluation.
    unseen_share
        Share of the queries that come from families which the evaluation has not met,
        between 0 and 1.
    unseen_families
        How many such families there are; give both or neither.
    interval
        Probability that the intervals hold, between 0 and 1.
    seed
        Seed of the luck of the draw, a whole number from 0.
    output
        CSV file to write the whole table to; it appears whole or not at all, and
        replaces what was there.
    as_json
        Print one JSON object on standard output, and nothing else.
    """
    _import("pandas", "xarray", "h5netcdf", "pymc")
    from bayes_rare import averages, files, forecasting, printing
    from bayes_rare.mixes import read_mix

    if output is not None:
        files.refuse_unwritable(output, posterior)
    deployment = forecasting.Deployment(
        queries,
        _whole("--samples-per-query", samples_per_query),
        None if families is None else read_mix(families),
        unseen_share,
        _optional("--unseen-families", unseen_families),
    )
    loaded = averages.load(posterior)
    made = forecasting.forecast(
        loaded,
        deployment,
        risk_thresholds=risk_thresholds or forecasting.RISK_THRESHOLDS,
        seed=_whole("--seed", seed),
    )
    summary = made.summary(interval)
    rows = printing.records(summary)
    if output is not None:
        with files.replacing(output) as written:
            summary.to_csv(written, index=False)
    if as_json:
        _print_json(
            {
                "rows": rows,
                "converged": made.converged,
                "model": made.method,
                "notes": list(dict.fromkeys(made.notes)),
            }
        )
    else:
        out = printing.console()
        for part in printing.forecast_report(made, rows, interval):
            out.print(part)
        out.print("What to bear in mind:")
        out.print(printing.bullets(made.notes))
        if output is not None:
            out.print(f"\nWrote {output}", soft_wrap=True)
    _warn_if_unconverged(loaded)


@app.command
def families(
    posterior: Annotated[Path, Parameter(metavar="POSTERIOR.nc")],
    /,
    *,
    queries: Counts,
    families: Annotated[Path | None, Parameter(metavar="WEIGHTS.csv")] = None,
    unseen_share: Annotated[float, Parameter(metavar="SHARE")] = 0.0,
    unseen_families: Count | None = None,
    top: Count = 5,
    seed: Count = 0,
    output: Annotated[Path | None, Parameter(metavar="FAMILIES.csv")] = None,
    picture: Annotated[Path | None, Parameter(metavar="FAMILIES.png")] = None,
    as_json: Annotated[bool, Parameter("--json")] = False,
):
    """List which families are likely to hold the riskiest query.

    Parameters
    ----------
    posterior
        A file that `bayes-rare fit` wrote, of a model that knows families.
    queries
        Numbers of queries served, several after one flag: 1e4 1e6 1e9. Whole numbers
        from 1 to 1e12.
    families
        Table with the columns family and weight: what families the queries are from.
        By default the mix of the evaluation.
    unseen_share
        Share of the queries that come from families which the evaluation has not met,
        between 0 and 1.
    unseen_families
        How many such families there are; give both or neither.
    top
        How many families are printed of each behaviour and number of queries.
    seed
        Seed of the luck of the draw, a whole number from 0.
    output
        CSV file to write the whole table to; it appears whole or not at all, and
        replaces what was there.
    picture
        Picture to write, .png, .svg or .pdf.
    as_json
        Print one JSON object on standard output, and nothing else.
    """
    _import("pandas", "xarray", "h5netcdf", "pymc")
    from bayes_rare import averages, files, forecasting, printing
    from bayes_rare.mixes import read_mix

    for place in (output, picture):
        if place is not None:
            files.refuse_unwritable(place, posterior)
    deployment = forecasting.Deployment(
        queries,
        families=None if families is None else read_mix(families),
        unseen_share=unseen_share,
        unseen_families=_optional("--unseen-families", unseen_families),
    )
    most, start = _whole("--top", top), _whole("--seed", seed)
    loaded = averages.load(posterior)
    made = forecasting.forecast(loaded, deployment, targets=(), seed=start)
    table = made.family_contributions(seed=start)
    if output is not None:
        with files.replacing(output) as written:
            table.to_csv(written, index=False)
    if picture is not None:
        made.plot_families(picture, seed=start)
    rows = printing.records(table)
    if as_json:
        _print_json(
            {
                "rows": rows,
                "converged": made.converged,
                "model": made.method,
                "notes": list(dict.fromkeys(made.notes)),
            }
        )
    else:
        out = printing.console()
        for part in printing.families_report(rows, most):
            out.print(part)
        out.print(printing.bullets(made.notes))
        for place in (output, picture):
            if place is not None:
                out.print(f"\nWrote {place}", soft_wrap=True)
    _warn_if_unconverged(loaded)


@app.command
def queries(
    posterior: Annotated[Path, Parameter(metavar="POSTERIOR.nc")],
    /,
    *,
    top: Count = 20,
    samples: Count = 1,
    interval: Annotated[float, Parameter(metavar="PROBABILITY")] = 0.9,
    behaviours: Annotated[
        list[str] | None, Parameter(metavar="NAME", consume_multiple=_SEVERAL)
    ] = None,
    seed: Count = 0,
    allow_unconverged: bool = False,
    output: Annotated[Path | None, Parameter(metavar="QUERIES.csv")] = None,
    as_json: Annotated[bool, Parameter("--json")] = False,
):
    """List the riskiest queries, each with its risk given what was seen of it.

    Parameters
    ----------
    posterior
        A file that `bayes-rare fit` wrote.
    top
        How many queries of each behaviour, at most; the riskiest as observed. An
        evaluation keeps a hundred.
    samples
        Responses to each query, from 1; for several, also the chances that one of them
        shows the behaviour and that all do.
    interval
        Probability that the intervals hold, between 0 and 1.
    behaviours
        Behaviours to list, several after one flag; by default all.
    seed
        Seed of the draws, a whole number from 0.
    allow_unconverged
        Go on, with a warning, even if the fit did not converge.
    output
        CSV file to write the whole table to; it appears whole or not at all, and
        replaces what was there.
    as_json
        Print one JSON object on standard output, and nothing else.
    """
    _import("pandas", "xarray", "h5netcdf", "pymc")
    from bayes_rare import averages, files, printing

    if output is not None:
        files.refuse_unwritable(output, posterior)
    most, start = _whole("--top", top), _whole("--seed", seed)
    responses = _whole("--samples", samples)
    loaded = averages.load(posterior)
    if not allow_unconverged:
        loaded.require_convergence(
            "Nothing was drawn; --allow-unconverged draws from it all the same."
        )
    made = loaded.query_risks(behaviour=behaviours, top=most, seed=start)
    summary = made.summary(responses, interval)
    rows = printing.records(summary)
    if output is not None:
        with files.replacing(output) as written:
            summary.to_csv(written, index=False)
    if as_json:
        _print_json(
            {
                "rows": rows,
                "converged": made.converged,
                "model": made.model,
                "notes": list(made.notes),
            }
        )
    else:
        out = printing.console()
        for part in printing.queries_report(made, rows, responses, interval):
            out.print(part)
        out.print(printing.bullets(made.notes))
        if output is not None:
            out.print(f"\nWrote {output}", soft_wrap=True)
    _warn_if_unconverged(loaded)


@app.command
def backtest(
    evaluation: Annotated[Path, Parameter(metavar="EVALUATION")],
    /,
    *,
    methods: Annotated[
        list[str], Parameter(metavar="METHOD", consume_multiple=_SEVERAL)
    ],
    output: Annotated[Path, Parameter(metavar="BACKTEST.parquet")],
    evaluation_sizes: Counts | None = None,
    deployment_sizes: Counts | None = None,
    repeats: Count | None = None,
    behaviours: Annotated[
        list[str] | None, Parameter(metavar="NAME", consume_multiple=_SEVERAL)
    ] = None,
    columns: Annotated[str | None, Parameter(metavar="NAME=COLUMN,...")] = None,
    hold_out_families: Count = 0,
    ignore_families: bool = False,
    split: Annotated[str | None, Parameter(metavar="COLUMN")] = None,
    pool: bool = False,
    trials_per_query: Count | None = None,
    risk_thresholds: Risks = None,
    samples_per_query: Count = 1,
    unseen_share: Annotated[float, Parameter(metavar="SHARE")] = 0.0,
    unseen_families: Count | None = None,
    chains: Count = 4,
    warmup: Count = 500,
    draws: Count = 500,
    seed: Count = 0,
    workers: Count = 2,
    as_json: Annotated[bool, Parameter("--json")] = False,
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
    as_json
        Print the comparison as one JSON object on standard output, and nothing else.
    """
    _import("pandas", "pyarrow", "duckdb", "narwhals", "scipy.stats", "joblib")
    from bayes_rare import backtesting, printing

    with printing.progress_bar("Backtest", time_left=True, plain=True) as progress:
        made = backtesting.backtest(
            evaluation,
            methods,
            [_whole("--evaluation-sizes", size) for size in evaluation_sizes or []],
            [_whole("--deployment-sizes", size) for size in deployment_sizes or []],
            repeats=_optional("--repeats", repeats),
            behaviours=behaviours,
            columns=_columns(columns),
            hold_out_families=_whole("--hold-out-families", hold_out_families),
            ignore_families=ignore_families,
            split=split,
            pool=pool,
            trials_per_query=_optional("--trials-per-query", trials_per_query),
            risk_thresholds=risk_thresholds or (),
            samples_per_query=_whole("--samples-per-query", samples_per_query),
            unseen_share=unseen_share,
            unseen_families=_optional("--unseen-families", unseen_families),
            chains=_whole("--chains", chains),
            warmup=_whole("--warmup", warmup),
            draws=_whole("--draws", draws),
            seed=_whole("--seed", seed),
            workers=_whole("--workers", workers),
            output=output,
            progress=progress,
        )
    _print_comparison(made, as_json)
    if not as_json:
        printing.console().print(f"\nWrote {output}", soft_wrap=True)


@app.command
def compare(
    backtest: Annotated[Path, Parameter(metavar="BACKTEST.parquet")],
    /,
    *,
    pictures: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    as_json: Annotated[bool, Parameter("--json")] = False,
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
    _import("pandas", "pyarrow", "scipy.stats")
    from bayes_rare import comparison, files, printing
    from bayes_rare.backtesting import load_backtest

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
        comparison.plot_coverage(made, path=places["coverage"])
        comparison.plot_pit(made, path=places["pit"])
        compared.plot_skill(path=places["skill"])
    if not as_json:
        for place in places.values():
            printing.console().print(f"Wrote {place}", soft_wrap=True)


@app.command
def report(
    posterior: Annotated[Path, Parameter(metavar="POSTERIOR.nc")],
    /,
    *,
    output: Annotated[Path, Parameter(metavar="REPORT.html")],
    backtest: Annotated[Path | None, Parameter(metavar="BACKTEST.parquet")] = None,
    queries: Count | None = None,
    samples_per_query: Count = 1,
    risk_threshold: Annotated[float, Parameter(metavar="RISK")] = 0.5,
    interval: Annotated[float, Parameter(metavar="PROBABILITY")] = 0.9,
    refit: bool = False,
    seed: Count = 0,
):
    """Write a page for the person who decides: one HTML file that needs no network.

    It says the forecast in sentences and pictures; whoever reads it moves the size of
    the deployment, the threshold and the responses to each query, and it follows.

    Parameters
    ----------
    posterior
        A file that `bayes-rare fit` wrote.
    output
        HTML file to write; it appears whole or not at all, and replaces what was there.
    backtest
        A file that `bayes-rare backtest` wrote: how methods did on what they had not
        seen.
    queries
        Queries served, 1 to 1e12, at which the page opens; by default the power of ten
        that is at most a thousand times the evaluation.
    samples_per_query
        Responses to each query, 1 to 1e6, at which it opens.
    risk_threshold
        Risk, between 0 and 1, above which a query counts, at which it opens.
    interval
        Probability that the intervals hold, between 0 and 1.
    refit
        Fit the model again with other thresholds, and show whether it matters.
    seed
        Seed of the risks of single queries, of the checks and of further fits, a whole
        number from 0.
    """
    _import("pandas", "xarray", "h5netcdf", "pymc", "matplotlib", "jinja2")
    from bayes_rare import averages, files, printing, reporting
    from bayes_rare.backtesting import load_backtest

    files.refuse_unwritable(output, posterior, *([backtest] if backtest else []))
    responses = _whole("--samples-per-query", samples_per_query)
    loaded = averages.load(posterior)
    record = None if backtest is None else load_backtest(backtest)
    with printing.progress_bar("Forecasting") as progress:
        made = reporting.report(
            loaded,
            backtest=record,
            queries=queries,
            samples_per_query=responses,
            risk_threshold=risk_threshold,
            interval=interval,
            refit=refit,
            seed=_whole("--seed", seed),
            progress=progress,
        )
    made.save(output)
    for warning in made.warnings:
        print(f"bayes-rare: warning: {warning}", file=sys.stderr)
    printing.console().print(f"Wrote {output}", soft_wrap=True)


def main(tokens: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    tokens
        Words of the command line; those of this process where not given.
    """
    try:
        app(
            sys.argv[1:] if tokens is None else tokens,
            exit_on_error=False,
            result_action="return_none",
        )
        sys.stdout.flush()
    except CycloptsError:
        return _USAGE  # it has said what is wrong
    except NotConverged as error:
        return _refuse(error, _UNCONVERGED)
    except BayesRareError as error:
        return _refuse(error)
    except BrokenPipeError:
        # The reader has gone: what is still to be flushed goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _REFUSED
    except OSError as error:
        return _refuse(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return _DONE


def _import(*names: str) -> None:
    """Import what is slow to import, so that an interruption ends it at once.

    A library that is interrupted while it is imported may swallow the interruption or
    fail in a way of its own.
    """

    def end(*_: Any) -> None:
        os._exit(_INTERRUPTED)

    before = signal.getsignal(signal.SIGINT)
    mine = threading.current_thread() is threading.main_thread()
    mine = mine and before is signal.default_int_handler
    if mine:
        signal.signal(signal.SIGINT, end)
    try:
        for name in names:
            import_module(name)
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)


def _refuse(error: Exception, code: int = _REFUSED) -> int:
    """Say what was refused, in one paragraph."""
    print(f"bayes-rare: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _warn_if_unconverged(posterior: Any) -> None:
    if not posterior.verdict.converged:
        print(
            f"bayes-rare: warning: the fit of {posterior.name} did not converge "
            f"({'; '.join(posterior.verdict.reasons)}). What is made from it may be "
            "wrong.",
            file=sys.stderr,
        )


def _print_comparison(made: Any, as_json: bool) -> Any:
    """A backtest's comparison: text, or JSON with what to know on standard error."""
    from bayes_rare import comparison, printing

    compared = comparison.compare(made)
    if as_json:
        _print_json(compared.json())
        for note in compared.notes:
            print(f"bayes-rare: note: {note}", file=sys.stderr)
        return compared
    out = printing.console()
    for part in printing.comparison_report(compared):
        out.print(part)
    return compared


def _print_json(content: dict[str, Any]) -> None:
    import json

    print(json.dumps(content, allow_nan=False, indent=1))


def _whole(name: str, value: int | float) -> int:
    """A count, which must be whole; its range is known to whom it is given."""
    if value < 0 or value % 1:  # NaN is not 0 either
        raise InvalidInput(f"{name} is a whole number from 0 on, got {value}.")
    return int(value)


def _optional(name: str, value: int | float | None) -> int | None:
    return None if value is None else _whole(name, value)


def _columns(text: str | None) -> dict[str, str] | None:
    """Names of columns from ``a=b,c=d``."""
    if text is None:
        return None
    return dict(_pair("--columns", part, "log_risk=log_p") for part in text.split(","))


def _priors(texts: Sequence[str]) -> dict[str, Any]:
    """Settings of a model from ``name=value``."""
    pairs = [_pair("--prior", text, "shape_sd=0.2") for text in texts]
    from bayes_rare import catalog

    return {name: catalog.setting(name, text) for name, text in pairs}


def _pair(flag: str, text: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (equals and name.strip() and value.strip()):
        raise InvalidInput(f"{flag} takes pairs such as {example}, got {text!r}.")
    return name.strip(), value.strip()
