"""The results of a backtest, as the report shows them."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayes_rare.backtesting import Backtest, comparison, coverage
from bayes_rare.reporting import wording
from bayes_rare.reporting.pictures import Picture, picture

if TYPE_CHECKING:
    import pandas

__all__ = ["TrackRecord", "track_record"]

# The forecast that a report is about; a backtest may lack it.
_TARGET = "worst_query_risk"


@dataclass(frozen=True, eq=False)
class TrackRecord:
    """What a backtest found.

    Parameters
    ----------
    cells
        Each target and pair of sizes with the rows of its methods, the best first.
    own
        Results of the report's own model, in sentences; empty if it did not take part.
    verdicts, others
        Which method is best, in sentences: of the riskiest query, and of the rest.
    notes
        What a reader should know.
    pictures
        Skill, coverage, and where the truths lay; those that there are.
    """

    cells: list[tuple[str, list[dict[str, Any]]]]
    own: list[str]
    verdicts: list[str]
    others: list[str]
    notes: list[str]
    pictures: list[Picture]


def track_record(backtest: Backtest, model: str) -> TrackRecord:
    """What a backtest found, with its pictures."""
    compared = comparison.compare(backtest)
    cells = [(str(cell), wording.records(rows)) for cell, rows, _ in compared.cells()]
    said = compared.verdicts()
    return TrackRecord(
        cells=cells,
        own=list(_own(compared, model)),
        verdicts=[line for line in said if line.startswith(_TARGET)],
        others=[line for line in said if not line.startswith(_TARGET)],
        notes=list(compared.notes),
        pictures=_pictures(backtest, compared),
    )


def _own(compared: comparison.Comparison, model: str) -> Generator[str]:
    """How often a model's intervals held, and how far its medians were off."""
    for cell, rows, _ in compared.cells():
        own = rows[rows["method"] == model]
        if cell.target != _TARGET or own.empty:
            continue
        [row] = wording.records(own)
        off = row["mean_abs_log10_error"]
        held = row["coverage_90"]
        inside = (
            "gave no intervals"
            if held is None
            else "had the true value inside its 90 % interval in "
            f"{round(100 * held)} % of {row['forecasts']:,} forecasts"
        )
        error = (
            ""
            if off is None
            else f", and its median was off by a factor of {10**off:.2g} on average"
        )
        yield (
            f"Forecasting {cell.deployment_size:,} queries from "
            f"{cell.evaluation_size:,}, {model} {inside}{error}."
        )


def _pictures(backtest: Backtest, compared: comparison.Comparison) -> list[Picture]:
    found: list[Picture] = []
    if len(compared.methods) > 1:
        found.append(
            picture(
                compared.plot_skill(),
                "Difference between the mean CRPS of each method and of a reference, "
                "with intervals.",
                "The CRPS measures how far a forecast is from what happened, in score "
                "units: smaller is better.",
            )
        )
    table: pandas.DataFrame = backtest.table
    own = table[table["target"] == _TARGET]
    if own["pit"].notna().any():
        found.append(
            picture(
                coverage.plot_coverage(backtest, target=_TARGET),
                "Share of true values inside the intervals of each method, against the "
                "stated probability of the intervals.",
                "Dots on the dashed lines: the intervals contain the true value as "
                "often as stated.",
            )
        )
        found.append(
            picture(
                coverage.plot_pit(backtest, target=_TARGET),
                "PIT histograms of each method: where the true values lie within its "
                "forecasts.",
                "A calibrated method has a flat histogram. High bars on the right: "
                "true values were riskier than forecast.",
            )
        )
    return found
