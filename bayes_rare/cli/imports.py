"""The commands that import logs of other tools: ``bayes-rare import``.

Thin over `bayes_rare.import_inspect` and its like. Nothing heavy is imported here, for
``--help`` is to answer at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from bayes_rare.readers.logs.imported import ImportedTable

__all__ = ["app"]

# At least one value after the flag.
_SEVERAL = (1, None)
type Logs = Annotated[list[str], Parameter(metavar="LOG", consume_multiple=_SEVERAL)]
type Output = Annotated[Path, Parameter(metavar="EVALUATION.parquet")]
type Values = Annotated[
    list[str] | None, Parameter(metavar="VALUE", consume_multiple=_SEVERAL)
]
type Named = Annotated[
    list[str] | None, Parameter(metavar="NAME", consume_multiple=_SEVERAL)
]
type Field = Annotated[str | None, Parameter(metavar="FIELD")]
type Share = Annotated[float, Parameter(metavar="SHARE")]
type Name = Annotated[str | None, Parameter(metavar="NAME")]

app = App(
    name="import",
    help="Make an evaluation table of the logs of another tool.",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
)


@app.command(name="inspect")
def inspect(
    logs: Logs,
    /,
    *,
    output: Output,
    scorer: Named = None,
    behaviour_value: Values = None,
    unscored_value: Values = None,
    score_key: Annotated[str | None, Parameter(metavar="KEY")] = None,
    missing_value: Annotated[str | None, Parameter(metavar="VALUE")] = None,
    behaviour: Field = None,
    family: Field = None,
    max_dropped: Share = 0.05,
):
    """Make an evaluation table of logs of Inspect.

    A query is a sample, and its epochs are its trials; samples that failed or have no
    score are none, and are counted. Of retries the newest attempt counts. Where the
    scorer records sum_log_probs, and no value is named, the risk is known exactly.
    """
    from bayes_rare.readers.logs.imported import beside
    from bayes_rare.readers.logs.inspect_ai import import_inspect

    _refuse_unwritable(output, logs, beside(output))
    made = import_inspect(
        logs,
        scorer=scorer,
        behaviour_values=behaviour_value or [],
        unscored_values=unscored_value or [],
        score_key=score_key,
        missing_value=missing_value,
        behaviour=behaviour,
        family=family,
        max_dropped=max_dropped,
    )
    _finish(made, output)


@app.command(name="lm-eval")
def lm_eval(
    logs: Logs,
    /,
    *,
    output: Output,
    success: Annotated[str | None, Parameter(metavar="REGEX|METRIC")] = None,
    choice: Annotated[str | None, Parameter(metavar="TEXT")] = None,
    filter: Name = None,
    behaviour: Field = None,
    family: Field = None,
    max_dropped: Share = 0.05,
):
    """Make an evaluation table of sample logs of lm-evaluation-harness.

    They are written with --log_samples. Log-likelihoods and choices are risks known
    exactly; repeats of generated responses are trials. Of several logs of one task the
    newest counts.
    """
    from bayes_rare.readers.logs.imported import beside
    from bayes_rare.readers.logs.lm_eval import import_lm_eval

    _refuse_unwritable(output, logs, beside(output))
    made = import_lm_eval(
        logs,
        success=success,
        choice=choice,
        filter=filter,
        behaviour=behaviour,
        family=family,
        max_dropped=max_dropped,
    )
    _finish(made, output)


@app.command(name="garak")
def garak(
    logs: Logs,
    /,
    *,
    output: Output,
    detector: Named = None,
    threshold: Annotated[float | None, Parameter(metavar="SCORE")] = None,
    behaviour: Annotated[str, Parameter(metavar="FIELD")] = "detector",
    family: Annotated[str, Parameter(metavar="FIELD")] = "probe",
    max_dropped: Share = 0.05,
):
    """Make an evaluation table of reports of garak.

    A query is a whole prompt, and its generations are its trials: one that a detector
    scores at or above the threshold shows the behaviour.
    """
    from bayes_rare.readers.logs.garak import import_garak
    from bayes_rare.readers.logs.imported import beside

    _refuse_unwritable(output, logs, beside(output))
    made = import_garak(
        logs,
        detectors=detector or [],
        threshold=threshold,
        behaviour=behaviour,
        family=None if family == "none" else family,
        max_dropped=max_dropped,
    )
    _finish(made, output)


def _refuse_unwritable(output: Path, logs: Sequence[str], record: Path) -> None:
    from bayes_rare import files

    inputs = [path for path in map(Path, logs) if path.is_file()]
    for one in (output, record):
        files.refuse_unwritable(one, *inputs)


def _finish(made: "ImportedTable", output: Path) -> None:
    """Write the table, and print what was left out."""
    from bayes_rare.cli import tables
    from bayes_rare.readers.logs.imported import beside

    made.save(output)
    out = tables.console()
    for part in tables.dropped_report(made.dropped):
        out.print(part)
    out.print(f"\nWrote {output} and {beside(output)}", soft_wrap=True)
