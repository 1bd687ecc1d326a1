"""Checks of the tail of a forecast, each with its rate of false alarms.

====================  ============================================================
saturation            some risks are so close to 1 that scores differ although
                      risks hardly do
threshold_stability   tails above higher thresholds disagree with the lowest one
exceedances           few queries are above the threshold of the tail
extrapolation         the deployment is much larger than the evaluation
shape_contraction     the data hardly reduced the prior variance of the shape
shape_shift           the data moved the shape far from its prior mean
misfit                the riskiest queries do not follow the fitted tail
====================  ============================================================

Five of them look at the data or the posterior, and sometimes raise an alarm although
the model is right: `FALSE_ALARMS` says how often. Exceedances and extrapolation are
rules on the design: all evaluations of one design raise them, or none does. They say
that the prior matters a lot, not that it is wrong.
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
"""Times the size of the evaluation beyond which a deployment is much larger."""

FEW = 10
"""Fewer queries than this above a threshold, or with a success, say little."""

RISKIEST = 50
"""Most queries that are compared with a tail which has no threshold."""

UNSEEN_CHANCE = 0.05
"""Chance that a bound of 95 % confidence does not hold."""

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

# Above this risk, scores differ although risks hardly do.
_SATURATED_RISK = 0.9

# An alarm is raised where a right model fits as badly less often than this.
_RARE_MISFIT = 0.01

# An alarm is raised where the data reduce the prior variance by a smaller share.
_LITTLE_LEARNT = 0.02

# In standard deviations of the prior. Posterior means are further from the prior mean
# less often than draws of the prior are, which is 5 % of the time.
_FAR_SHIFT = 2.0


@dataclass(frozen=True)
class TailCheck:
    """One check of the tail of a behaviour, and whether it raises an alarm.

    Parameters
    ----------
    name
        Name of the check.
    value
        What was computed.
    limit
        Limit beyond which the alarm is raised.
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
        """Whether it depends on the sizes of evaluation and deployment alone."""
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
        ". Near a risk of 1, scores differ although risks hardly do: read risks, not "
        "scores, and do not trust the shape of the tail"
    )
    return TailCheck(
        "saturation",
        float(worst_risk),
        _SATURATED_RISK,
        alarm,
        false_alarms("saturation", queries),
        f"the riskiest query seen has a risk of {worst_risk:.4g}"
        f"{more if alarm else ''}",
        "some risks are close to 1, where scores differ although risks hardly do",
    )


def threshold_stability(scores: Scores, queries: int) -> TailCheck | None:
    """Whether the forecast depends on the choice of threshold.

    `bayes_rare.diagnostics.threshold_scan.threshold_deviance` of the riskiest fifth, at
    most 200, compared with what 1 % of sound tails exceed. It uses the data alone,
    whatever model was fitted.

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
    agree = "disagrees" if alarm else "agrees"
    in_short = "the forecast depends on the choice of threshold"
    more = f", so {in_short}" if alarm else ""
    return TailCheck(
        "threshold_stability",
        value,
        limit,
        alarm,
        false_alarms("threshold_stability", queries),
        f"the tail above higher thresholds {agree} with that of the {lowest} riskiest "
        f"queries (deviance {value:.3g}, limit {limit:.3g}){more}",
        in_short,
    )


def exceedances(above: int) -> TailCheck:
    """Whether few queries are above the threshold of the tail.

    Parameters
    ----------
    above
        How many.
    """
    alarm = above < FEW
    few = ", so its prior largely decides it" if alarm else ""
    return TailCheck(
        "exceedances",
        float(above),
        float(FEW),
        alarm,
        float(alarm),
        f"the tail rests on {above} queries above its threshold{few}",
        "few queries are above the threshold, so the prior largely decides the tail",
    )


def few_positive(positive: int, queries: int, responses: int) -> TailCheck:
    """Whether few queries showed the behaviour, where outcomes are counts.

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
    found = f"{positive} of {queries:,} queries showed the behaviour at least once"
    in_short = "few queries showed it, so the prior largely decides the tail"
    if not positive:
        in_short = "no response showed it, so the prior and the number of trials decide"
        least = -math.expm1(math.log(UNSEEN_CHANCE) / responses)
        found = (
            f"none of {responses:,} responses to {queries:,} queries showed the "
            "behaviour. The forecast depends on the prior and on the number of trials: "
            f"the mean risk of these queries is below {least:.2g} (with 95 % "
            "confidence), but the data say little about the largest risks"
        )
    elif alarm:
        found += (
            ". With so few, the tail depends on the prior and on the number of trials: "
            "read the interval, not the median"
        )
    return TailCheck(
        "exceedances", float(positive), float(FEW), alarm, float(alarm), found, in_short
    )


def extrapolation(deployed: int | float, queries: int | float) -> TailCheck:
    """Whether the deployment is much larger than the evaluation.

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
        ". This far beyond the data, an interval depends on the prior of the tail as "
        "much as on the data"
    )
    return TailCheck(
        "extrapolation",
        ratio,
        float(FAR),
        alarm,
        float(alarm),
        f"{_readable(deployed)} queries are {_readable(ratio)} times as many as were "
        f"evaluated{more if alarm else ''}",
        "the deployment is much larger than the evaluation",
    )


def _readable(number: int | float) -> str:
    """A number with thousands separators; from ten on without decimals."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def shape_contraction(
    shape: Draws, prior_sd: float, queries: int, *, simulated: bool = True
) -> TailCheck:
    """How far the data determine the shape: ``1 - var(posterior) / var(prior)``.

    At 1 the data determine the shape. At 0 they say nothing about it: beyond the tested
    range the forecast is then that of the prior [1]_.

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
    share = f"{100 * max(value, 0.0):.2g} %"
    sentence = f"the data reduced the prior variance of the tail's shape by {share}"
    if alarm:
        sentence = (
            "the data say almost nothing about the tail's shape (they reduced its "
            f"prior variance by {share}); beyond the tested range the forecast is that "
            "of the prior"
        )
    return TailCheck(
        "shape_contraction",
        value,
        _LITTLE_LEARNT,
        alarm,
        false_alarms("shape_contraction", queries) if simulated else None,
        sentence,
        "the data say little about the shape of the tail",
    )


def shape_shift(
    shape: Draws,
    prior_mean: float,
    prior_sd: float,
    queries: int,
    *,
    simulated: bool = True,
) -> TailCheck:
    """Whether the data moved the shape far from its prior mean.

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
    disagree = "the prior and the data disagree about the tail"
    more = f": {disagree}" if alarm else ""
    return TailCheck(
        "shape_shift",
        value,
        _FAR_SHIFT,
        alarm,
        false_alarms("shape_shift", queries) if simulated else None,
        f"the data moved the mean of the tail's shape by {value:.2g} standard "
        f"deviations of its prior{more}",
        disagree,
    )


def misfit(population: Population, scores: Scores, queries: int) -> TailCheck | None:
    """Whether the riskiest queries follow the fitted tail.

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
        f"the riskiest queries {follow} the fitted tail (chance of a fit at least as "
        f"bad: {chance:.2g})",
        "the riskiest queries do not follow the fitted tail",
    )


def misfit_chance(population: Population, scores: Scores, seed: int = 0) -> float:
    """How often a right model would fit the riskiest queries as badly or worse.

    Under each draw, the levels of scores above the k-th largest, as shares of its own
    level, are uniform; their Kolmogorov distance from a uniform distribution is
    compared with that of as many uniform numbers [1]_.

    Parameters
    ----------
    population
        Distribution of scores, draw by draw.
    scores
        The largest scores, the least of which counts as the threshold; at least two.
    seed
        Random seed of the numbers that they are compared with.

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
