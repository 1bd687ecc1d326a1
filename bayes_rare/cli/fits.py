"""The commands that fit: ``demo``, ``models`` and ``fit``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bayes_rare.cli.speech import import_slowly, warn_if_unconverged
from bayes_rare.cli.words import (
    SEVERAL,
    ColumnNames,
    Count,
    EvaluationFile,
    ModelFile,
    Names,
    Text,
    columns_of,
    priors_of,
    whole,
)
from bayes_rare.errors import listed

if TYPE_CHECKING:
    from bayes_rare.inference.stack import Stack

__all__ = ["demo", "fit", "models"]


def demo(*, output: Annotated[Path, Parameter(metavar="DIR")] = Path("demo-output")):
    """Forecast from 1,000 real queries, and hold it against 24,000 others.

    Writes posterior.nc, forecast.csv, scaling.png and report.html, a page to open in a
    browser. Takes about a minute on two cores; the first time longer, as programs are
    compiled.
    """
    import_slowly("pandas", "pyarrow", "bayes_rare.inference")
    from bayes_rare.cli import demonstration

    demonstration.run(output)


def models():
    """List the shipped models, in a line each."""
    from bayes_rare import catalog
    from bayes_rare.cli import tables

    made = tables.table("model", "what it says")
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
    prior: Annotated[
        list[str] | None, Parameter(metavar="NAME=VALUE", consume_multiple=SEVERAL)
    ] = None,
    columns: ColumnNames = None,
    behaviours: Names = None,
    text: Text | None = None,
    chains: Count = 4,
    warmup: Count = 1000,
    draws: Count = 1000,
    seed: Count = 0,
    allow_unconverged: bool = False,
    model_file: ModelFile = None,
):
    """Fit a model to an evaluation, and write its posterior.

    The evaluation is a table with a row for each query: `log_risk`, the natural
    logarithm of its risk, with `log_risk_se` where that is an estimate; or `successes`
    and `trials`; and, where known, `query_id`, `behaviour`, `family`, `query_text` and
    `weight`.
    """
    import_slowly("pandas", "pyarrow", "duckdb", "narwhals")
    from bayes_rare import files
    from bayes_rare.cli import tables
    from bayes_rare.errors import InvalidInput
    from bayes_rare.readers.tables.read_table import read_table

    out = tables.console()
    stacked = model is not None and model.endswith(".json")
    named = [Path(model)] if model and (stacked or model.endswith(".py")) else []
    files.refuse_unwritable(output, evaluation, *named, *(model_file or []))
    if model_file and not stacked:
        raise InvalidInput(
            "--model-file names files of the models of a stack, and --model is no "
            "stack. To fit a model of yours, give its file by --model."
        )
    sizes = {
        "chains": whole("--chains", chains),
        "warmup": whole("--warmup", warmup),
        "draws": whole("--draws", draws),
        "seed": whole("--seed", seed),
    }
    priors = priors_of(prior or [])
    read = read_table(
        evaluation,
        columns=columns_of(columns),
        behaviours=behaviours,
        **vars(text or Text()),
    )
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
    out.print(tables.verdict(posterior))
    posterior.save(output)
    out.print(f"Wrote {output}", soft_wrap=True)
    warn_if_unconverged(posterior)


def _fitted_average(
    evaluation: Any,
    stack: "Stack | None",
    output: Path,
    allow_unconverged: bool,
    progress: Any,
    sizes: dict[str, Any],
    priors: dict[str, Any],
) -> None:
    """Average the models that suit an evaluation, and write and show the average."""
    from bayes_rare import inference
    from bayes_rare.cli import tables
    from bayes_rare.errors import InvalidInput

    if priors:
        raise InvalidInput(
            f"{'a stack' if stack else 'average'} has no settings of its own, got "
            f"--prior {listed(priors)}. Name one model (--model) to set its priors."
        )
    averaged = inference.fit(evaluation, stack, progress=progress, **sizes)
    out = tables.console()
    what = "the models of the stack" if stack else "the models that suit the data"
    out.print(f"Average of {what}, each with its weight:\n")
    out.print(tables.weight_table(averaged))
    out.print()
    if averaged.notes:
        out.print(tables.bullets(averaged.notes))
        out.print()
    if not allow_unconverged:
        averaged.require_convergence(
            "Nothing was written; --allow-unconverged writes it all the same."
        )
    out.print(tables.verdict(averaged))
    averaged.save(output)
    out.print(f"Wrote {output}", soft_wrap=True)
    warn_if_unconverged(averaged)
