"""The commands that fit: ``demo``, ``models`` and ``fit``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bayes_rare.cli.options import (
    EvaluationFile,
    ModelFile,
    SamplingOptions,
    TableOptions,
    priors_of,
    several,
)
from bayes_rare.cli.speech import import_slowly, warn_if_unconverged
from bayes_rare.errors import InvalidInput, listed

if TYPE_CHECKING:
    from bayes_rare.inference.stack import Stack
    from bayes_rare.posterior import Average, Posterior

__all__ = ["demo", "fit", "models"]


def demo(*, output: Annotated[Path, Parameter(metavar="DIR")] = Path("demo-output")):
    """Forecast from 1,000 real queries, and check against 24,000 held-out ones.

    Writes posterior.nc, forecast.csv, scaling.png and report.html, a page to open in a
    browser. Takes about a minute on two cores, and longer the first time, when programs
    are compiled.

    Parameters
    ----------
    output
        Folder to write to; created if it does not exist.
    """
    import_slowly("pandas", "pyarrow", "bayes_rare.inference")
    from bayes_rare.cli import demonstration

    demonstration.run(output)


def models():
    """List the shipped models, one line each."""
    from bayes_rare import catalog
    from bayes_rare.cli import tables

    made = tables.table("model", "description")
    made.columns[1].justify = "left"
    for name, summary in catalog.summaries().items():
        made.add_row(name, summary)
    tables.console().print(made)


def fit(
    evaluation: EvaluationFile,
    /,
    *,
    output: Annotated[Path, Parameter(metavar="POSTERIOR.nc")],
    model: Annotated[str | None, Parameter(metavar="NAME|FILE.py|STACK.json")] = None,
    prior: Annotated[list[str] | None, several("NAME=VALUE")] = None,
    table: TableOptions | None = None,
    sampling: SamplingOptions | None = None,
    allow_unconverged: bool = False,
    model_file: ModelFile = None,
):
    """Fit a model to an evaluation, and write its posterior.

    The evaluation is a table with one row per query. Its columns are either `log_risk`,
    the natural logarithm of the risk (with its standard error `log_risk_se` if it is an
    estimate), or `successes` and `trials`; and optionally `query_id`, `behaviour`,
    `family`, `query_text` and `weight`.

    Parameters
    ----------
    evaluation
        A .csv, .tsv, .parquet, .jsonl, .ndjson or .json file, or a quoted glob pattern
        for several; text files may be compressed (.gz).
    output
        NetCDF file to write, atomically; an existing file is replaced.
    model
        A shipped model (see `bayes-rare models`), your own model file, or a stack from
        `bayes-rare stack`. By default `average`: all models that suit the data,
        weighted by their predictive performance.
    prior
        Priors and other settings of the model, such as shape_sd=0.2 exceedances=20
        pool=false. A value is a number, inf, true, false or none. By default as in the
        model file.
    table
        Which part of the table is read.
    sampling
        How the posterior is sampled.
    allow_unconverged
        Write the posterior even if the fit did not converge; it is marked as such.
    model_file
        Your own model file or files that a stack uses; a stack never runs a file that
        it names itself.
    """
    import_slowly("pandas", "pyarrow", "duckdb", "narwhals")
    from bayes_rare import files
    from bayes_rare.cli import tables
    from bayes_rare.readers.tables.read_table import read_table

    out = tables.console()
    stacked = model is not None and model.endswith(".json")
    named = [Path(model)] if model and (stacked or model.endswith(".py")) else []
    files.refuse_unwritable(output, evaluation, *named, *(model_file or []))
    if model_file and not stacked:
        raise InvalidInput(
            "--model-file gives the files of your own models in a stack, but --model "
            "is not a stack. To fit your own model: --model FILE.py."
        )
    sizes = (sampling or SamplingOptions()).arguments()
    priors = priors_of(prior or [])
    read = read_table(evaluation, **(table or TableOptions()).arguments())
    out.print(f"Read {evaluation}:\n", soft_wrap=True)
    out.print(tables.evaluation_table(read))
    if read.record is not None:
        for part in tables.dropped_report(read.record):
            out.print(part)
    out.print()
    import_slowly("bayes_rare.inference")
    from bayes_rare import inference
    from bayes_rare.inference.stack import load_stack

    with tables.progress_bar("Sampling") as progress:
        stack = load_stack(model, model_file) if model and stacked else None
        if stack or model in (None, "average"):
            mixed = (stack, output, allow_unconverged, progress)
            _fitted_average(read, *mixed, sizes, priors)
            return
        posterior = inference.fit(read, model, progress=progress, **sizes, **priors)
    out.print(f"Model {posterior.model.name}.", posterior.model.summary)
    tail = tables.tail_table(posterior)
    if tail is not None:
        out.print()
        out.print(tail)
        out.print()
    if not allow_unconverged:
        posterior.require_convergence(
            "Nothing was written; --allow-unconverged writes it all the same."
        )
    _save(posterior, output)


def _save(fitted: "Posterior | Average", output: Path) -> None:
    """Write a fit and say so, with whether it converged."""
    from bayes_rare.cli import tables

    out = tables.console()
    out.print(tables.verdict(fitted))
    fitted.save(output)
    out.print(f"Wrote {output}", soft_wrap=True)
    warn_if_unconverged(fitted)


def _fitted_average(
    evaluation: Any,
    stack: "Stack | None",
    output: Path,
    allow_unconverged: bool,
    progress: Any,
    sizes: dict[str, Any],
    priors: dict[str, Any],
) -> None:
    """Average the models that suit an evaluation; print and write the average."""
    from bayes_rare import inference
    from bayes_rare.cli import tables

    if priors:
        raise InvalidInput(
            f"{'a stack' if stack else 'an average'} has no priors of its own, got "
            f"--prior {listed(priors)}. To set priors, choose one model: --model NAME."
        )
    averaged = inference.fit(evaluation, stack, progress=progress, **sizes)
    out = tables.console()
    what = "the models of the stack" if stack else "the models that suit the data"
    out.print(f"Average of {what}, with the weight of each model:\n")
    out.print(tables.weight_table(averaged))
    out.print()
    if averaged.notes:
        out.print(tables.bullets(averaged.notes))
        out.print()
    if not allow_unconverged:
        averaged.require_convergence(
            "Nothing was written; --allow-unconverged writes it all the same."
        )
    _save(averaged, output)
