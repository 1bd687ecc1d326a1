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

    Parameters
    ----------
    logs
        .eval and .json logs, quoted patterns, or folders.
    output
        Parquet file to write, a row a query, with EVALUATION.dropped.json beside it;
        both appear whole or not at all, and replace what was there.
    scorer
        Name of the score; needed where there are several. Of several names the first
        that a task has is read; TASK=NAME is for one task.
    behaviour_value
        Values of the score that are the behaviour, such as C; or a quoted bound,
        '>=0.5', where the letters C, P, I and N are 1, 0.5, 0 and 0.
    unscored_value
        Values that say nothing, such as N: no trials.
    score_key
        Which part of the score, where it has several.
    missing_value
        What a score is taken for that lacks this part, such as 0; without it, it is no
        trial, and counted.
    behaviour
        Where the name of the behaviour is from: task, model, dataset or a key of the
        metadata; by default the task, and what differs between its logs.
    family
        Where the family is from, in the same way.
    max_dropped
        Largest share of lost samples of any behaviour, from 0 to 1.
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

    Parameters
    ----------
    logs
        samples_*.jsonl, results_*.json for all samples of a run, quoted patterns, or
        folders.
    output
        Parquet file to write, a row a query, with EVALUATION.dropped.json beside it;
        both appear whole or not at all, and replace what was there.
    success
        For generated responses, what shows the behaviour: a regular expression that is
        searched in each, or a metric that is 1 (METRIC=0: that is 0) where it scores
        each repeat. A word that is in no response is refused; '(?:word)' is not.
    choice
        For multiple choice, the text of the choice that is the behaviour.
    filter
        Which filter's lines to read, where there are several: its name, or before
        0.4.7 its number in the task's list.
    behaviour
        Where the name of the behaviour is from: task, model or a field of the document;
        by default the task.
    family
        Where the family is from, in the same way.
    max_dropped
        Largest share of lost rows of any behaviour, from 0 to 1.
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

    Parameters
    ----------
    logs
        *.report.jsonl, quoted patterns, or folders.
    output
        Parquet file to write, a row a query, with EVALUATION.dropped.json beside it;
        both appear whole or not at all, and replace what was there.
    detector
        Detectors to read, several after one flag, each a behaviour; needed where
        attempts have several.
    threshold
        Score from which on an output shows the behaviour; by default 0.5, garak's own,
        held against what the reports say has passed.
    behaviour
        Where the name of the behaviour is from: detector, probe, model, goal or intent.
    family
        Where the family is from, in the same way; none for no families.
    max_dropped
        Largest share of lost outputs of any behaviour, from 0 to 1.
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
