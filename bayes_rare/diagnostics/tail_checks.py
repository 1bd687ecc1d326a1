"""What makes the tail of a forecast doubtful, each with how often it is a false alarm.

====================  ============================================================
saturation            the riskiest query seen is so risky that scores spread and
                      risks do not
threshold_stability   tails that begin higher are not what the lowest one implies
exceedances           the tail rests on few queries
extrapolation         deployment and evaluation differ a lot in size
shape_contraction     the data took little of the prior's variance of the shape
shape_shift           the data put the shape far from where the prior had it
misfit                the riskiest queries do not follow the tail that was fitted
====================  ============================================================

Five of them look at the data or the posterior, and are raised now and then by an
evaluation whose tail is what the model takes it for: `FALSE_ALARMS` says how often.
Exceedances and extrapolation are rules on the design: sound evaluations of that design
all raise them, or none does. They say that the prior rules, not that it is wrong.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayes_rare.diagnostics import threshold_scan
from bayes_rare.populations import Population

__all__ = [
    "FALSE_ALARMS",
    "FAR",
    "FEW",
    "RISKIEST",
    "UNSEEN_CHANCE",
    "TailCheck",
    "exceedances",
    "extrapolation",
    "false_alarms",
    "few_positive",
    "misfit",
    "misfit_chance",
    "saturation",
    "shape_contraction",
    "shape_shift",
    "threshold_stability",
]

type Scores = Float[np.ndarray, " query"]

type Draws = Float[np.ndarray, " draw"]

type Shares = Float[np.ndarray, "query draw"]

FAR = 1000
"""A deployment of more than so many times the evaluation is far from it."""

FEW = 10
"""So few queries above a threshold, or that showed a behaviour, say little."""

RISKIEST = 50
"""Most queries that are held against a tail which has no threshold."""

UNSEEN_CHANCE = 0.05
"""What 95 % confidence leaves to what was not seen."""

FALSE_ALARMS = {
    "saturation": {100: 0.076, 300: 0.0745, 1000: 0.072},
    "threshold_stability": {100: 0.0095, 300: 0.011, 1000: 0.0095},
    "shape_contraction": {100: 0.085, 300: 0.0985, 1000: 0.0895},
    "shape_shift": {100: 0.0, 300: 0.0005, 1000: 0.0},
    "misfit": {100: 0.0, 300: 0.0, 1000: 0.0},
}
"""Share of sound evaluations that raise a check, by their number of queries.

``python benchmarks/tail_checks.py rates``: 2,000 evaluations of each size, drawn from
the priors and the tail of gpd_tail, which is fitted to them with 10 exceedances.
"""

# Above this risk scores spread without the risk changing.
_SATURATED_RISK = 0.9

# A misfit that a right model shows less often is said aloud.
_RARE_MISFIT = 0.01

# Of the variance of the prior of the shape, what data must take away to have a say.
_LITTLE_LEARNT = 0.02

# Standard deviations of the prior: a mean of the posterior that is further off from
# that of the prior is seen less often than a draw of the prior is, 5 %.
_FAR_SHIFT = 2.0


@dataclass(frozen=True)
class TailCheck:
    """One thing that may make the tail of a behaviour doubtful, and whether it does.

    Parameters
    ----------
    name
        What was looked at.
    value
        What was found.
    limit
        Where the alarm begins.
    alarm
        Whether the value is on the wrong side of the limit.
    false_alarms
        Share of simulated sound evaluations that raise the alarm, those of the number
        of queries in `FALSE_ALARMS` that is nearest; of a rule on the design, which all
        of them raise or none, 1 or 0. None where that was not simulated.
    sentence
        What was found, in words, without a full stop.
    in_short
        What an alarm says, in few words and without the figures.
    """

    name: str
    value: float
    limit: float
    alarm: bool
    false_alarms: float | None
    sentence: str
    in_short: str

    @property
    def is_rule(self) -> bool:
        """Whether it looks at the design alone, so that the data cannot speak."""
        return self.name in ("exceedances", "extrapolation")


def false_alarms(name: str, queries: int | float) -> float:
    """How often a sound evaluation of about so many queries raises a check.

    Parameters
    ----------
    name
        One of `FALSE_ALARMS`.
    queries
        Queries that were evaluated; the nearest size by ratio counts.

    Examples
    --------
    >>> false_alarms("misfit", 800) == FALSE_ALARMS["misfit"][1000]
    True
    """
    rates = FALSE_ALARMS[name]
    return rates[min(rates, key=lambda size: abs(math.log(size / queries)))]


def saturation(worst_risk: float, queries: int) -> TailCheck:
    """Whether the riskiest query seen is so risky that its score says little.

    Near 1 a score is ``-log(1 - p)``: every further nine of the risk adds 2.3, and what
    a record rounds, or a model cannot exceed, looks like an upper end of the tail [1]_.

    Parameters
    ----------
    worst_risk
        Risk of the riskiest query seen.
    queries
        Queries that were evaluated.

    References
    ----------
    .. [1] L. Zhou (2026). Tail-shape estimation in LLM evaluation is fragile: a
       protocol for diagnosing false positives. arXiv 2606.16511.
    """
    alarm = worst_risk > _SATURATED_RISK
    more = (
        ". Near 1 scores spread without the risk changing: read risks, not scores, and "
        "doubt the shape of the tail"
    )
    return TailCheck(
        "saturation",
        float(worst_risk),
        _SATURATED_RISK,
        alarm,
        false_alarms("saturation", queries),
        f"the riskiest query seen has risk {worst_risk:.4g}{more if alarm else ''}",
        "risks come near 1, where scores spread without the risk changing",
    )


def threshold_stability(scores: Scores, queries: int) -> TailCheck | None:
    """Whether it matters where the tail is taken to begin.

    `bayes_rare.diagnostics.threshold_scan.threshold_deviance` of the riskiest fifth, at
    most 200, against what 1 % of sound tails exceed. It looks at the data alone,
    whatever was fitted.

    Parameters
    ----------
    scores
        The largest scores, from the largest down.
    queries
        Queries that were evaluated.

    Returns
    -------
    None if there are fewer than 100 queries, or fewer scores than are needed.
    """
    steps = threshold_scan.ladder(queries)
    if len(steps) < 2 or scores.size <= steps[-1]:
        return None
    lowest = steps[-1]
    excesses = scores[:lowest] - scores[lowest]
    if not excesses[0] > 0:  # all tied
        return None
    value = float(threshold_scan.threshold_deviance(excesses, steps[:-1]))
    limit = threshold_scan.LIMITS[lowest]
    alarm = value > limit
    agree = "does not go on as" if alarm else "goes on as"
    matters = "it matters where the tail is taken to begin"
    more = f", so {matters}" if alarm else ""
    return TailCheck(
        "threshold_stability",
        value,
        limit,
        alarm,
        false_alarms("threshold_stability", queries),
        f"above higher thresholds the tail {agree} that of the {lowest} riskiest "
        f"queries (deviance {value:.3g}, limit {limit:.3g}){more}",
        matters,
    )


def exceedances(above: int) -> TailCheck:
    """Whether a tail rests on few queries above its threshold.

    Parameters
    ----------
    above
        How many.
    """
    alarm = above < FEW
    few = ", which leave it to its prior" if alarm else ""
    return TailCheck(
        "exceedances",
        float(above),
        float(FEW),
        alarm,
        float(alarm),
        f"the tail rests on {above} queries above its threshold{few}",
        "few queries are above the threshold, and leave the tail to its prior",
    )


def few_positive(positive: int, queries: int, responses: int) -> TailCheck:
    """Whether few queries showed the behaviour at all, where outcomes are counts.

    Parameters
    ----------
    positive
        Queries with at least one success.
    queries
        Queries that were evaluated.
    responses
        Responses to them. Whatever the risks, none of n shows the behaviour with a
        chance of at most ``(1 - their mean) ** n``.
    """
    alarm = positive < FEW
    found = f"{positive} of {queries:,} queries showed the behaviour at all"
    in_short = "few queries showed it at all, and leave the tail to the prior"
    if not positive:
        in_short = "no response showed it, so the prior and the number of trials rule"
        least = -math.expm1(math.log(UNSEEN_CHANCE) / responses)
        found = (
            f"none of {responses:,} responses to {queries:,} queries showed the "
            "behaviour. The forecast is ruled by the prior and by the number of "
            f"trials: the mean risk of these queries is below {least:.2g} (with 95 % "
            "confidence), and of the largest the data say little"
        )
    elif alarm:
        found += (
            ". So few leave the tail to the prior and to the number of trials: read "
            "the interval, not the median"
        )
    return TailCheck(
        "exceedances", float(positive), float(FEW), alarm, float(alarm), found, in_short
    )


def extrapolation(deployed: int | float, queries: int | float) -> TailCheck:
    """Whether the deployment is far beyond the evaluation.

    Parameters
    ----------
    deployed
        Queries served.
    queries
        Queries that were evaluated.
    """
    ratio = deployed / queries
    alarm = ratio > FAR
    more = (
        ". So far out an interval rests on the prior of the tail as much as on the data"
    )
    return TailCheck(
        "extrapolation",
        ratio,
        float(FAR),
        alarm,
        float(alarm),
        f"{_readable(deployed)} queries are {_readable(ratio)} times the evaluation"
        f"{more if alarm else ''}",
        "the deployment is far from the evaluation",
    )


def _readable(number: int | float) -> str:
    """Whole from ten on: nobody reads 1e+06 aloud."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def shape_contraction(
    shape: Draws, prior_sd: float, queries: int, *, simulated: bool = True
) -> TailCheck:
    """Whether the data had a say in the shape, by ``1 - var(posterior) / var(prior)``.

    1 is a shape that the data determine, 0 one of which they say nothing: then the
    forecast far out is that of the prior [1]_.

    Parameters
    ----------
    shape
        Draws of the shape from its posterior.
    prior_sd
        Standard deviation of its prior, finite.
    queries
        Queries that were evaluated.
    simulated
        Whether `FALSE_ALARMS` holds for what was fitted.

    References
    ----------
    .. [1] M. Betancourt (2018). Calibrating model-based inferences and decisions. arXiv
       1803.08393, section 3.
    """
    value = 1 - float(np.var(shape)) / prior_sd**2
    alarm = value < _LITTLE_LEARNT
    more = ", so far out the forecast is that of the prior" if alarm else ""
    share = f"{100 * max(value, 0.0):.2g} %"
    return TailCheck(
        "shape_contraction",
        value,
        _LITTLE_LEARNT,
        alarm,
        false_alarms("shape_contraction", queries) if simulated else None,
        f"of the prior variance of the shape the data took away {share}{more}",
        "the data say little of the shape of the tail",
    )


def shape_shift(
    shape: Draws,
    prior_mean: float,
    prior_sd: float,
    queries: int,
    *,
    simulated: bool = True,
) -> TailCheck:
    """Whether the data put the shape far from where the prior had it.

    ``(mean(posterior) - mean(prior)) / sd(prior)``. Over evaluations that are drawn
    from the prior the mean of the posterior spreads less than the shape itself, since
    it is its conditional expectation. So it is rarer beyond two standard deviations
    than a normal shape is, 5 %. A larger shift is a conflict of prior and data [1]_.

    Parameters
    ----------
    shape
        Draws of the shape from its posterior.
    prior_mean, prior_sd
        Mean and standard deviation of its prior, finite.
    queries
        Queries that were evaluated.
    simulated
        Whether `FALSE_ALARMS` holds for what was fitted.

    References
    ----------
    .. [1] M. Evans, H. Moshonov (2006). Checking for prior-data conflict. Bayesian
       Analysis 1, 893-914.
    """
    value = (float(np.mean(shape)) - prior_mean) / prior_sd
    alarm = abs(value) > _FAR_SHIFT
    disagree = "prior and data disagree about the tail"
    more = f": {disagree}" if alarm else ""
    return TailCheck(
        "shape_shift",
        value,
        _FAR_SHIFT,
        alarm,
        false_alarms("shape_shift", queries) if simulated else None,
        f"the data moved the mean of the shape by {value:.2g} standard deviations of "
        f"its prior{more}",
        disagree,
    )


def misfit(population: Population, scores: Scores, queries: int) -> TailCheck | None:
    """Whether the riskiest queries follow the tail that was fitted.

    Parameters
    ----------
    population
        Distribution of scores, draw by draw.
    scores
        The largest scores, the least of which counts as the threshold.
    queries
        Queries that were evaluated.

    Returns
    -------
    None if there are too few scores to tell.
    """
    if scores.size <= FEW:
        return None
    chance = misfit_chance(population, scores)
    alarm = chance < _RARE_MISFIT
    follow = "do not follow" if alarm else "follow"
    return TailCheck(
        "misfit",
        chance,
        _RARE_MISFIT,
        alarm,
        false_alarms("misfit", queries),
        f"the riskiest queries {follow} the tail that was fitted (chance of as bad a "
        f"fit or worse: {chance:.2g})",
        "the riskiest queries do not follow the tail that was fitted",
    )


def misfit_chance(population: Population, scores: Scores, seed: int = 0) -> float:
    """How often a right model would fit the riskiest queries as badly or worse.

    Under each draw, the levels of scores above the k-th largest, as shares of its own
    level, are uniform; their Kolmogorov distance from that is held against the distance
    of as many uniform numbers [1]_.

    Parameters
    ----------
    population
        Distribution of scores, draw by draw.
    scores
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
    >>> heavy = like[-1] + np.arange(30.0)
    >>> misfit_chance(normal, like) > 0.1, misfit_chance(normal, heavy) < 0.01
    (True, True)
    """
    largest = np.sort(scores)[::-1]
    log_level = population.log_survival(largest[:, None])
    share: Shares = np.exp(log_level[:-1] - log_level[-1])
    rng = np.random.default_rng(seed)
    replicated: Shares = np.sort(rng.random(share.shape), axis=0)
    seen, expected = _distance(share), _distance(replicated)
    return float((expected >= seen).mean())


def _distance(share: Shares) -> Draws:
    """Kolmogorov distance of sorted shares from uniform ones."""
    count = len(share)
    above = np.arange(1, count + 1)[:, None] / count - share
    return np.maximum(above, 1 / count - above).max(axis=0)
