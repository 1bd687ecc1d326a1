"""Where the default method of the whole table loses, and under which conditions."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from study import markdown, number

__all__ = ["OURS", "bold", "explanation", "reasons"]

OURS = "average"
POORLY_COVERED = 0.7
"""Coverage of 90 % intervals below which a reason is looked for."""
ODD = 4
"""Spreads above its family from which a query is odd: one in thirty families of 1,000
normal scores has such a query."""


@dataclass(frozen=True)
class Condition:
    """What may make a split hard to forecast.

    Parameters
    ----------
    name
        What tables call it.
    words
        When it holds.
    holds
        In which splits.
    too_low
        Whether it may be the reason of a forecast that is too low (True), too high
        (False), or either (None).
    """

    name: str
    words: str
    holds: Callable[[pd.DataFrame], pd.Series]
    too_low: bool | None = None

    def explains(self, own: pd.DataFrame) -> pd.Series:
        """In which forecasts it may be the reason of the error."""
        either = self.too_low is None
        return self.holds(own) & (either | (own.underestimated == self.too_low))


CONDITIONS = (
    Condition(
        "saturated",
        "the largest risk of the evaluation is above 0.9",
        lambda splits: splits.largest > 0.9,
    ),
    Condition(
        "lone outlier",
        "the riskiest query of the deployment is further from the second than that is "
        "from the tenth, on the score scale",
        lambda splits: splits.gap > splits.next,
        too_low=True,
    ),
    Condition(
        "odd query",
        f"it is more than {ODD} spreads above the median of its family (a spread is "
        "the median absolute deviation, on a normal distribution's scale)",
        lambda splits: splits.odd.where(splits.families > 0, 0.0) > ODD,
        too_low=True,
    ),
    Condition(
        "other family",
        "it comes from another family than the riskiest query of the evaluation",
        lambda splits: ~splits.same_family & (splits.families > 0),
        too_low=True,
    ),
    Condition(
        "outlier seen",
        "the riskiest query of the evaluation is further from the second than that is "
        "from the tenth",
        lambda splits: splits.gap_seen > splits.next_seen,
        too_low=False,
    ),
    Condition(
        "few positive",
        "fewer than ten queries of the evaluation show the behaviour at all",
        lambda splits: splits.positive < 10,
    ),
)

ERRORS = {
    True: " (where the median is below the truth)",
    False: " (where the median is above the truth)",
    None: "",
}

REASONS = """## Where the default loses, and what goes with it

For each behaviour the mean CRPS of `{ours}` and of the best simple method of the cell,
how often the 90 % interval of `{ours}` covers and how often its median is below the
truth; and what the splits are like: the median of the largest risk in the evaluation,
and of the gap on the score scale between the riskiest query of the deployment and the
next; how often the riskiest query is of the family of the evaluation's riskiest; and
the median of how many spreads it lies above its family's median.

Looked for are these conditions:

{conditions}

*Why* is filled in where `{ours}` has the larger CRPS or covers less than {poorly} of
truths. It names each condition that holds, with the error it can explain, in splits
with at least half of the CRPS of `{ours}` there, and that goes with losses: in the cell
as a whole the CRPS of `{ours}` less that of the simple method is larger with the
condition than without. Where there is none such it says *none of these*. The second
table shows all splits of the cell by condition.
"""


def explanation() -> str:
    """What the tables say, and which conditions are looked for."""
    conditions = "\n".join(
        f"- *{one.name}*{ERRORS[one.too_low]}: {one.words}." for one in CONDITIONS
    )
    poorly = f"{POORLY_COVERED:.0%}".replace("%", " %")
    return REASONS.format(ours=OURS, conditions=conditions, poorly=poorly)


def bold(text: str, best: bool) -> str:
    """A figure, bold if it is the best."""
    return f"**{text}**" if best else text


def reasons(worst: pd.DataFrame, rival: str, splits: pd.DataFrame) -> Iterator[str]:
    """By behaviour what the default and its rival are worth, and by condition.

    Parameters
    ----------
    worst
        Forecasts of worst-query risk in one cell.
    rival
        The method that the default is held against.
    splits
        What the splits are like.
    """
    worst = worst.drop(columns="truth").set_index(["behaviour", "repeat"])
    own = worst[worst.method == OURS].assign(rival=worst[worst.method == rival].crps)
    own = own.join(splits.set_index(["behaviour", "repeat"])).reset_index()
    held = {one.name: one.holds(own) for one in CONDITIONS}
    there = {name: holds for name, holds in held.items() if holds.any()}
    costly = {
        one.name: one.explains(own)
        for one in CONDITIONS
        if one.name in there and _costs(own, there[one.name])
    }
    yield markdown(
        [
            _behaviour(str(name), part, rival, costly)
            for name, part in own.groupby("behaviour")
        ]
    )
    none = ~pd.DataFrame(held).any(axis=1)
    table = [_under(name, own[holds], rival) for name, holds in there.items()]
    if none.any():
        table.append(_under("none of these", own[none], rival))
    yield markdown(table)
    absent = [name for name in held if name not in there]
    if absent:
        yield f"No split is of these: {', '.join(absent)}."


def _costs(own: pd.DataFrame, holds: pd.Series) -> bool:
    """Whether the default is worse, beside its rival, where a condition holds."""
    lost = own.crps - own.rival
    return bool(holds.all() or lost[holds].mean() > lost[~holds].mean())


def _behaviour(
    name: str, part: pd.DataFrame, rival: str, costly: Mapping[str, pd.Series]
) -> dict[str, object]:
    ours, theirs = part.crps.mean(), part.rival.mean()
    covers = part.covered_90.mean()
    why = ""
    if ours > theirs or covers < POORLY_COVERED:
        half = part.crps.sum() / 2
        lost = {of: part.crps[holds[part.index]].sum() for of, holds in costly.items()}
        why = ", ".join(of for of in lost if lost[of] >= half) or "none of these"
    families = bool(part.families.max())
    return {
        "behaviour": name,
        f"`{OURS}`": bold(number(ours, 3), ours <= theirs),
        f"`{rival}`": bold(number(theirs, 3), theirs < ours),
        "90 % covers": number(covers),
        "under-estimated": number(part.underestimated.mean()),
        "largest risk": f"{part.largest.median():.2g}",
        "gap": number(part.gap.median(), 3),
        "same family": number(part.same_family.mean() if families else np.nan, 1),
        "spreads": number(part.odd.median() if families else np.nan, 1),
        "why": why,
    }


def _under(name: str, part: pd.DataFrame, rival: str) -> dict[str, object]:
    return {
        "condition": name,
        "splits": len(part),
        f"CRPS of `{OURS}`": number(part.crps.mean(), 3),
        f"of `{rival}`": number(part.rival.mean(), 3),
        "90 % covers": number(part.covered_90.mean()),
        "under-estimated": number(part.underestimated.mean()),
    }
