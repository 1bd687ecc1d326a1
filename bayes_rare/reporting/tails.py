"""Whether a tail fits what was seen, and what makes one doubtful."""

import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare.evaluation import Evaluation
from bayes_rare.populations import Population
from bayes_rare.posterior import Posterior
from bayes_rare.reporting import wording
from bayes_rare.scores import risk_from_score

if TYPE_CHECKING:
    import pandas

__all__ = ["doubts", "misfit", "quantiles"]

type Shares = Float[np.ndarray, "query draw"]

# Riskiest queries that are held against the model, of each behaviour.
_RISKIEST = 50
_BAND = (0.05, 0.5, 0.95)
# A misfit that a right model shows less often is said aloud.
_RARE_MISFIT = 0.01
# Above this risk scores spread without the risk changing.
_SATURATED_RISK = 0.9
# So few queries that showed a behaviour, or scores above a threshold, say little.
_FEW = 10


def quantiles(
    evaluation: Evaluation, populations: dict[str, Population], seed: int = 0
) -> "pandas.DataFrame":
    """The riskiest queries that were seen, beside what the model expects of them.

    Of m queries the level of the i-th riskiest is ``Beta(i, m - i + 1)``; its score is
    the population's quantile there, draw by draw.

    Parameters
    ----------
    evaluation
        Exact risks; behaviours of other kinds are left out.
    populations
        Distribution of scores by behaviour.
    seed
        Seed of the levels.

    Returns
    -------
    Columns ``behaviour, rank, observed, lower, median, upper``, scores all.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for behaviour, population in populations.items():
        if evaluation.kind(behaviour) != "exact":
            continue
        cells = evaluation.scores(behaviour)
        known = np.repeat(cells.score, cells.count.astype(np.int64))[:_RISKIEST]
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


def misfit(
    population: Population, excesses: Float[np.ndarray, " query"], seed: int = 0
) -> float:
    """How often a right model would fit the riskiest queries as badly or worse.

    Under each draw, the levels of scores above the k-th largest, as shares of its own
    level, are uniform; their Kolmogorov distance from that is held against the distance
    of as many uniform numbers [1]_.

    Parameters
    ----------
    population
        Distribution of scores, draw by draw.
    excesses
        The largest scores, the least of which counts as the threshold; at least two.
    seed
        Seed of the numbers that they are held against.

    Returns
    -------
    A posterior predictive p-value: the share of draws for which that of uniform numbers
    is at least as large.

    References
    ----------
    .. [1] A. Gelman, X.-L. Meng, H. Stern (1996). Posterior predictive assessment of
       model fitness via realized discrepancies. Statistica Sinica 6, 733-807.

    Examples
    --------
    Scores of the very population are no misfit, those of a far heavier tail are:

    >>> from bayes_rare.populations import Normal
    >>> normal = Normal(np.zeros(500), np.ones(500))
    >>> like = normal.quantile(np.log(np.arange(1, 31) / 1000)[:, None])[:, 0]
    >>> misfit(normal, like) > 0.1, misfit(normal, like[-1] + np.arange(30.0)) < 0.01
    (True, True)
    """
    largest = np.sort(excesses)[::-1]
    log_level = population.log_survival(largest[:, None])
    share: Shares = np.exp(log_level[:-1] - log_level[-1])
    rng = np.random.default_rng(seed)
    replicated: Shares = np.sort(rng.random(share.shape), axis=0)
    seen, expected = _distance(share), _distance(replicated)
    return float((expected >= seen).mean())


def _distance(share: Shares) -> Float[np.ndarray, " draw"]:
    """Kolmogorov distance of sorted shares from uniform ones."""
    count = len(share)
    above = np.arange(1, count + 1)[:, None] / count - share
    return np.maximum(above, 1 / count - above).max(axis=0)


def doubts(posterior: Posterior, behaviour: str, population: Population) -> list[str]:
    """What makes the tail of a behaviour doubtful, in sentences; mostly nothing.

    Parameters
    ----------
    posterior
        What was fitted.
    behaviour
        One of its behaviours.
    population
        Its distribution of scores.
    """
    evaluation = posterior.evaluation
    kind = evaluation.kind(behaviour)
    if kind == "counts":
        counts = evaluation.counts
        own = counts[counts["behaviour"] == behaviour]
        positive = int(own.loc[own["successes"] > 0, "count"].sum())
        if positive >= _FEW:
            return []
        return [
            f"only {positive} of {evaluation.sizes[behaviour]:,} queries showed it at "
            "all, so the tail is the prior's as much as the data's"
        ]
    if kind != "exact":
        return []
    found: list[str] = []
    worst = float(risk_from_score(evaluation.worst(behaviour)))
    if worst > _SATURATED_RISK:
        found.append(
            f"the riskiest query seen has a risk of {wording.risk(worst)}, and near "
            "100 % scores spread without the risk changing"
        )
    cells = evaluation.scores(behaviour)
    above = _above(posterior, behaviour)
    if above is not None and above < _FEW:
        found.append(f"it rests on {above} queries above its threshold")
    known = np.repeat(cells.score, cells.count.astype(np.int64))
    known = known[: (above or math.ceil(known.size / 10)) + 1]
    if known.size > _FEW and not cells.censored_above:
        chance = misfit(population, known)
        if chance < _RARE_MISFIT:
            found.append(
                "the riskiest queries do not follow the tail that was fitted (chance "
                f"of as bad a fit: {wording.chance(chance)})"
            )
    return found


def _above(posterior: Posterior, behaviour: str) -> int | None:
    """Scores above the threshold that a tail was fitted to, if the model has one."""
    if "exceeding" not in posterior.data:
        return None
    place = posterior.behaviours.index(behaviour)
    return int(posterior.data["exceeding"][place])
