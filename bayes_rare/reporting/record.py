"""How a backtest went, as a page tells it."""

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
        How the model of the report did, in sentences; none if it did not take part.
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
            "gives no intervals"
            if held is None
            else f"held the truth in its 90 % interval in {round(100 * held)} % of "
            f"{row['forecasts']:,} forecasts"
        )
        error = (
            ""
            if off is None
            else f", and its median was off by a factor of {10**off:.2g} on average"
        )
        yield (
            f"From {cell.evaluation_size:,} queries to {cell.deployment_size:,}, "
            f"{model} {inside}{error}."
        )


def _pictures(backtest: Backtest, compared: comparison.Comparison) -> list[Picture]:
    found: list[Picture] = []
    if len(compared.methods) > 1:
        found.append(
            picture(
                compared.plot_skill(),
                "Difference of the mean CRPS of each method to one of them, with "
                "intervals.",
                "The CRPS is the distance of a forecast from what happened, in score "
                "units: smaller is better.",
            )
        )
    table: pandas.DataFrame = backtest.table
    own = table[table["target"] == _TARGET]
    if own["pit"].notna().any():
        found.append(
            picture(
                coverage.plot_coverage(backtest, target=_TARGET),
                "Share of truths inside the intervals of each method, against what "
                "the intervals claim.",
                "Dots on the dashed lines: intervals hold as often as they say.",
            )
        )
        found.append(
            picture(
                coverage.plot_pit(backtest, target=_TARGET),
                "Histograms of where the truths lay in the forecasts of each method.",
                "Flat is right. Heaps at the right end: truths were riskier than "
                "forecast.",
            )
        )
    return found
