"""The commands that import logs of other tools: ``bayes-rare import``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from bayes_rare.cli.options import ImportOptions, Names, several
from bayes_rare.cli.speech import HelpFormatter

if TYPE_CHECKING:
    from bayes_rare.readers.logs.imported import ImportedTable

__all__ = ["app"]

type Logs = Annotated[list[str], several("LOG")]
type Values = Annotated[list[str] | None, several("VALUE")]
type Field = Annotated[str | None, Parameter(metavar="FIELD")]

app = App(
    name="import",
    help="Make an evaluation table from the logs of another tool.",
    help_format="plaintext",
    help_formatter=HelpFormatter(),
    default_parameter=Parameter(negative=()),
)


@app.command(name="inspect")
def inspect(
    logs: Logs,
    /,
    *,
    table: ImportOptions,
    scorer: Names = None,
    behaviour_value: Values = None,
    unscored_value: Values = None,
    score_key: Annotated[str | None, Parameter(metavar="KEY")] = None,
    missing_value: Annotated[str | None, Parameter(metavar="VALUE")] = None,
    behaviour: Field = None,
    family: Field = None,
):
    """Make an evaluation table from Inspect logs.

    A sample is a query, and its epochs are its trials. Samples that failed or have no
    score are not trials; they are counted. Of retried samples the newest attempt
    counts. If the scorer records sum_log_probs, and no --behaviour-value is given, the
    risk is exact.

    Parameters
    ----------
    logs
        .eval and .json logs, quoted glob patterns, or folders.
    table
        Where the table goes.
    scorer
        Name of the score; needed if there are several. Of several names, the first that
        a task has is used; TASK=NAME is for one task.
    behaviour_value
        Values of the score that mean the behaviour was shown, such as C; or a quoted
        bound, '>=0.5', for which the letters C, P, I and N count as 1, 0.5, 0 and 0.
    unscored_value
        Values that mean the response was not scored, such as N.
    score_key
        Which part of the score to use, if it has several.
    missing_value
        Value of a score that does not have this part, such as 0. By default it counts
        as not scored.
    behaviour
        Where the name of the behaviour comes from: task, model, dataset or a metadata
        key. By default the task, with whatever differs between its logs.
    family
        Where the family comes from, in the same way. By default there are no families.
    """
    from bayes_rare.readers.logs.inspect_ai import import_inspect

    _refuse_unwritable(table.output, logs)
    made = import_inspect(
        logs,
        scorer=scorer,
        behaviour_values=behaviour_value or [],
        unscored_values=unscored_value or [],
        score_key=score_key,
        missing_value=missing_value,
        behaviour=behaviour,
        family=family,
        max_dropped=table.max_dropped,
    )
    _finish(made, table.output)


@app.command(name="lm-eval")
def lm_eval(
    logs: Logs,
    /,
    *,
    table: ImportOptions,
    success: Annotated[str | None, Parameter(metavar="REGEX|METRIC")] = None,
    choice: Annotated[str | None, Parameter(metavar="TEXT")] = None,
    filter: Annotated[str | None, Parameter(metavar="NAME")] = None,
    behaviour: Field = None,
    family: Field = None,
):
    """Make an evaluation table from sample logs of lm-evaluation-harness.

    lm_eval writes them with --log_samples. Log-likelihoods and choices are exact risks;
    repeats of generated responses are trials. Of several logs of one task the newest
    counts.

    Parameters
    ----------
    logs
        samples_*.jsonl; results_*.json, for all samples of that run; quoted glob
        patterns, or folders.
    table
        Where the table goes.
    success
        For generated responses, what shows the behaviour: a regular expression to
        search for, or a metric that scores each repeat with 1 (METRIC=0: with 0). A
        word found in no response is refused; write '(?:word)' if that is right.
    choice
        For multiple choice, the text of the choice that is the behaviour.
    filter
        Which filter's lines to read, if there are several: its name, or, in logs from
        before version 0.4.7, its number in the task's list.
    behaviour
        Where the name of the behaviour comes from: task, model or a field of the
        document. By default the task.
    family
        Where the family comes from, in the same way. By default there are no families.
    """
    from bayes_rare.readers.logs.lm_eval import import_lm_eval

    _refuse_unwritable(table.output, logs)
    made = import_lm_eval(
        logs,
        success=success,
        choice=choice,
        filter=filter,
        behaviour=behaviour,
        family=family,
        max_dropped=table.max_dropped,
    )
    _finish(made, table.output)


@app.command(name="garak")
def garak(
    logs: Logs,
    /,
    *,
    table: ImportOptions,
    detector: Names = None,
    threshold: Annotated[float | None, Parameter(metavar="SCORE")] = None,
    behaviour: Annotated[str, Parameter(metavar="FIELD")] = "detector",
    family: Annotated[str, Parameter(metavar="FIELD")] = "probe",
):
    """Make an evaluation table from garak reports.

    A prompt, with all its turns, is a query, and its generations are its trials. A
    generation shows the behaviour if the detector's score reaches the threshold.

    Parameters
    ----------
    logs
        *.report.jsonl, quoted glob patterns, or folders.
    table
        Where the table goes.
    detector
        Detectors to read, one or more, each a behaviour; needed if attempts have
        several.
    threshold
        Score from which an output shows the behaviour. By default garak's own, 0.5,
        checked against the number of outputs that the report says passed.
    behaviour
        Where the name of the behaviour comes from: detector, probe, model, goal or
        intent.
    family
        Where the family comes from, in the same way; none for no families.
    """
    from bayes_rare.readers.logs.garak import import_garak

    _refuse_unwritable(table.output, logs)
    made = import_garak(
        logs,
        detectors=detector or [],
        threshold=threshold,
        behaviour=behaviour,
        family=None if family == "none" else family,
        max_dropped=table.max_dropped,
    )
    _finish(made, table.output)


def _refuse_unwritable(output: Path, logs: Sequence[str]) -> None:
    from bayes_rare import files
    from bayes_rare.readers.logs.imported import beside

    inputs = [path for path in map(Path, logs) if path.is_file()]
    for one in (output, beside(output)):
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
