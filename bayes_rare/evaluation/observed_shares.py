"""Counts treated as exact risks, for methods that need exact risks."""

import numpy as np

from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation.evaluation import Evaluation
from bayes_rare.scores import score_from_risk

__all__ = [
    "PSEUDOCOUNT",
    "observed_shares",
]

PSEUDOCOUNT = 0.5
"""Added to successes and to failures when counts are treated as risks.

Jeffreys' prior. Without it, counts of 0 and of all trials would be risks of 0 and 1,
whose scores are infinite.
"""


def observed_shares(
    evaluation: Evaluation, pseudocount: int | float = PSEUDOCOUNT
) -> Evaluation:
    """The evaluation with shares of successes in place of counts, as exact risks.

    ``(successes + a) / (trials + 2 a)``.

    Parameters
    ----------
    evaluation
        An evaluation; exact and estimated risks are left unchanged.
    pseudocount
        The number a, from 0 on.

    Raises
    ------
    NotApplicable
        If queries with counts have unequal weights, which exact risks cannot have.
    """
    if not len(evaluation.tallied["count"]):
        return evaluation
    counted = {n for n in evaluation.behaviours if evaluation.kind(n) == "counts"}
    weighted = sorted(counted & {*evaluation.weighted})
    if weighted:
        raise NotApplicable(
            f"behaviour {weighted[0]!r} has unequal weights "
            f"({evaluation.effective_sizes[weighted[0]]:.0f} effective queries of "
            f"{evaluation.sizes[weighted[0]]}), which exact risks cannot have. Use a "
            "model for counts."
        )
    if len(evaluation.estimated["count"]):
        estimated, others = (
            [n for n in evaluation.behaviours if (evaluation.kind(n) == kind) == same]
            for kind, same in (("estimates", True), ("estimates", False))
        )
        shares = observed_shares(evaluation.select(others), pseudocount)
        return Evaluation.joined([evaluation.select(estimated), shares])
    exact, tallied = evaluation.exact, evaluation.tallied
    share = (tallied["successes"] + pseudocount) / (tallied["trials"] + 2 * pseudocount)

    def labels(names: tuple[str, ...], column: str) -> list[str]:
        codes = np.repeat(exact[column], exact["count"].astype(np.int64))
        counted = np.repeat(tallied[column], tallied["count"])
        return [names[code] for code in np.concatenate([codes, counted])]

    return Evaluation.from_scores(
        np.concatenate(
            [
                np.repeat(exact["score"], exact["count"].astype(np.int64)),
                np.repeat(score_from_risk(share), tallied["count"]),
            ]
        ),
        behaviour=labels(evaluation.behaviours, "behaviour"),
        family=labels(evaluation.labels, "family") if evaluation.families else None,
        resolution=evaluation.resolution,
    )
