"""Whether a tail fits the evaluation, and what makes it doubtful."""

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare.diagnostics.tail_checks import RISKIEST, TailCheck
from bayes_rare.errors import listed
from bayes_rare.evaluation import Evaluation
from bayes_rare.populations import Population

if TYPE_CHECKING:
    import pandas

__all__ = ["doubts", "quantiles", "together"]

_BAND = (0.05, 0.5, 0.95)
_NOT_DOUBTS = ("extrapolation", "shape_contraction")


def quantiles(
    evaluation: Evaluation, populations: dict[str, Population], seed: int = 0
) -> "pandas.DataFrame":
    """Scores of the riskiest evaluated queries, next to what the model expects.

    Of m queries the level of the i-th riskiest is ``Beta(i, m - i + 1)``; its score is
    the population's quantile there, draw by draw.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for behaviour, population in populations.items():
        if evaluation.kind(behaviour) != "exact":
            continue
        cells = evaluation.scores(behaviour)
        known = np.repeat(cells.score, cells.count.astype(np.int64))[:RISKIEST]
        ranks = cells.censored_above + 1 + np.arange(known.size)
        rng = np.random.default_rng([seed, zlib.crc32(behaviour.encode())])
        level = rng.beta(
            ranks[:, None],
            cells.size - ranks[:, None] + 1,
            (known.size, population.draws),
        )
        drawn = population.quantile(np.log(level))
        ends = np.quantile(drawn, _BAND, axis=1, method="inverted_cdf")
        rows += [
            {
                "behaviour": behaviour,
                "rank": int(rank),
                "observed": float(score),
                "lower": float(low),
                "median": float(middle),
                "upper": float(high),
            }
            for rank, score, low, middle, high in zip(ranks, known, *ends, strict=True)
        ]
    columns = ["behaviour", "rank", "observed", "lower", "median", "upper"]
    return pd.DataFrame(rows, columns=columns)


def doubts(checks: Sequence[TailCheck]) -> list[TailCheck]:
    """Alarms that make a tail doubtful.

    A much larger deployment has a banner of its own. That the data say little about the
    shape holds for many sound tails above ten queries, so it is in the table of checks
    only.
    """
    return [check for check in checks if check.alarm and check.name not in _NOT_DOUBTS]


def together(doubts: Mapping[str, Sequence[TailCheck]]) -> str:
    """Each kind of doubt once, in short, with the behaviours that have it.

    Examples
    --------
    >>> from bayes_rare.diagnostics.tail_checks import few_positive
    >>> together({one: [few_positive(5, 100, 1_000)] for one in ("lie", "leak")})
    'lie, leak: few queries showed it, so the prior largely decides the tail'
    """
    names: dict[str, list[str]] = {}
    for name, against in doubts.items():
        for check in against:
            names.setdefault(check.in_short, []).append(name)
    return ". ".join(
        f"{listed(few, most=100)}: {doubt}" for doubt, few in names.items()
    )
