"""What a reader of a forecast must know, in sentences."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv

from bayes_rare.diagnostics.importance_weights import TRUSTED, trusted
from bayes_rare.diagnostics.tail_checks import UNSEEN_CHANCE, TailCheck
from bayes_rare.errors import listed
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import family_mix
from bayes_rare.forecasting.outcomes import FOREVER, FOREVER_WRITTEN
from bayes_rare.populations.missed_mode import MissedMode
from bayes_rare.posterior import Average, Posterior
from bayes_rare.posterior.average import written
from bayes_rare.scores import risk_from_score

if TYPE_CHECKING:
    import xarray

__all__ = [
    "on_another_mix",
    "on_average",
    "on_caps",
    "on_concentration",
    "on_evaluation",
    "on_families",
    "on_judge",
    "on_missed_mode",
    "on_tail",
    "on_tail_checks",
    "on_unseen_families",
]

# From so many queries on, 1 - 0.05 ** (1 / m) is 3/m within 5 %.
_RULE_OF_THREE_FROM = 30
# All-or-nothing outcomes of so many trials, in so many failing queries, are no chance.
_SEVERAL, _COPIES = 5, 3
# A share of queries from families not met is said from here on.
_MOSTLY_MET = 0.01


def on_average(average: Average) -> list[str]:
    """Which models have a say, and how much."""
    lines = [
        f"{behaviour}: {written(shares)}."
        for behaviour, shares in average.weights().items()
    ]
    lines += average.notes
    doubtful = sorted(
        {
            member.label
            for member in average.members
            for doubt in member.pareto_k.values()
            if not trusted(doubt)
        }
    )
    if doubtful:
        lines.append(
            f"Weights are uncertain of {listed(doubtful)}: without one query the "
            f"posterior changes so much (Pareto k above {TRUSTED}) that leaving it out "
            "by importance weights is a guess."
        )
    return lines


def on_another_mix(average: Average, answering: Average) -> list[str]:
    """Who answers for another mix of families than the evaluation's."""
    told = {member.label for member in answering.members}
    if len(told) == len(average.members):
        return []
    names = " and ".join(member.label for member in answering.members)
    shares = "; ".join(
        f"{behaviour} {100 * sum(row[label] for label in told):.2g} %"
        for behaviour, row in average.weights().items()
    )
    return [
        f"For another mix of families than the evaluation's {names} alone "
        f"answer{'s'[: len(told) == 1]}, with the whole posterior: the other members "
        f"know no families. The weight for the evaluation's own mix: {shares}."
    ]


def on_evaluation(evaluation: Evaluation) -> list[str]:
    """What the evaluation cannot exclude, and what its outcomes hide."""
    smallest = min(evaluation.sizes.values())
    return [
        *(() if evaluation.record is None else evaluation.record.added_up),
        _not_excluded(smallest),
        *(
            note
            for behaviour in evaluation.behaviours
            for note in _on_outcomes(evaluation, behaviour)
        ),
    ]


def on_missed_mode(evaluation: Evaluation, mode: MissedMode | None) -> list[str]:
    """What is supposed of queries that the evaluation may have missed."""
    if mode is None:
        return []
    seen = min(evaluation.effective_sizes.values())
    first, second = mode.share
    share = first / (first + second + seen)
    most = float(betaincinv(first, second + seen, 0.95))
    return [
        "SUPPOSED, NOT SEEN: a mode of queries that the evaluation missed, with a "
        f"share of all queries of Beta({first:g}, {second + seen:g}): {share:.2g} on "
        f"average, and with 95 % probability below {most:.2g}. Each of them has a risk "
        f"of Beta({mode.risk[0]:g}, {mode.risk[1]:g}). Compare with the forecast "
        "without it."
    ]


def _on_outcomes(evaluation: Evaluation, behaviour: str) -> list[str]:
    """What the outcomes of one behaviour hide, by their kind."""
    seen = evaluation.behaviour(behaviour)
    weighted = _weighted(evaluation, behaviour)
    if seen.kind == "exact":
        return [*_censored(evaluation, behaviour), *weighted]
    if seen.kind == "estimates":
        return weighted
    successes, trials, count = (
        seen.tallies[name] for name in ("successes", "trials", "count")
    )
    return [
        *_always_seen(behaviour, successes, trials, count),
        *_all_or_nothing(behaviour, successes, trials, count),
        *weighted,
    ]


def _weighted(evaluation: Evaluation, behaviour: str) -> list[str]:
    if behaviour not in evaluation.weighted:
        return []
    return [
        f"{behaviour}: {evaluation.sizes[behaviour]} queries with sampling weights "
        f"count as {evaluation.effective_sizes[behaviour]:.3g} (Kish's effective size)."
    ]


def _always_seen(
    behaviour: str, successes: np.ndarray, trials: np.ndarray, count: np.ndarray
) -> list[str]:
    """Where every response failed, and the number of trials rules a forecast."""
    queries, responses = int(count.sum()), int(count.astype(np.float64) @ trials)
    if int(count[successes < trials].sum()):
        return []
    return [
        f"{behaviour}: all of {responses:,} responses to {queries:,} queries showed "
        "the behaviour. What it takes to make the model fail is not a rare query; the "
        "forecast is ruled by the prior and by the number of trials."
    ]


def _all_or_nothing(
    behaviour: str, successes: np.ndarray, trials: np.ndarray, count: np.ndarray
) -> list[str]:
    """Where responses look like copies of one another, as at temperature 0."""
    several = trials >= _SEVERAL
    none = count[several & (successes == 0)].sum()
    every = count[several & (successes == trials)].sum()
    between = count[several & (successes > 0) & (successes < trials)].sum()
    if between or every < _COPIES or not none:
        return []
    return [
        f"{behaviour}: each of {int(none + every):,} queries fails in all of its "
        "responses or in none. If they were sampled at temperature 0 they are copies "
        "of one response: give trials of 1, or the forecast takes each query for far "
        "better known than it is."
    ]


def on_unseen_families(share: int | float, *, named: bool = False) -> list[str]:
    """What a method that knows no families makes of a mix of families."""
    told = [
        "Weights of families were given. This method knows no families, and forecasts "
        "for the mix of the evaluation; family_tail takes them."
    ]
    return [
        *(told if named else []),
        *(
            [
                f"{100 * share:.3g} % of the queries were said to come from families "
                "that the evaluation has not met. This method knows no families and "
                "takes them to be like the others: where they are riskier, every risk "
                "here is too low."
            ]
            if share
            else []
        ),
    ]


def on_concentration(evaluation: Evaluation) -> list[str]:
    """Where to ignore families would mislead: few of them hold the riskiest queries.

    A behaviour whose families are alike is named with a chance of 1 %, by
    `bayes_rare.forecasting.family_mix.concentration`.
    """
    made: list[str] = []
    for behaviour in evaluation.behaviours if evaluation.families else ():
        found = family_mix.concentration(evaluation, behaviour)
        if found is None or found.p_value > family_mix.FALSE_ALARMS:
            continue
        few = len(found.families)
        first = listed([*map(repr, found.families)], most=80)
        families = "family" if few == 1 else "families"
        made.append(
            f"{behaviour}: {found.held} of the {found.queries} riskiest queries are of "
            f"{few} {families} of {len(evaluation.family_sizes(behaviour))} ({first}; "
            f"by chance p = {found.p_value:.2g}). This method takes queries for "
            "independent, and knows less than it thinks: the interval is too narrow, "
            "and another mix of families another forecast. Use family_tail."
        )
    return made


def on_families(
    evaluation: Evaluation, families: Mapping[str, float] | None, share: int | float
) -> list[str]:
    """What the forecast takes the deployment's families to be."""
    if families is None:
        mix = "The mix of families is that of the evaluation, uncertain by its counts"
    else:
        mix = f"The mix is that of {len(families)} families as it was given"
    if share:
        return [
            f"{mix}, of {100 * (1 - share):.3g} % of the queries. The others come from "
            "families not met, drawn from the population of families: what they are "
            "like is known from how the families met differ among themselves."
        ]
    return [f"{mix}.", *_not_met(evaluation)]


def _not_met(evaluation: Evaluation) -> list[str]:
    """How much of a deployment is from families not met, if queries came at random."""
    guesses = {
        name: family_mix.unseen_guess(evaluation, name)
        for name in evaluation.behaviours
    }
    name = max(guesses, key=lambda each: guesses[each][0])
    share, number = guesses[name]
    if share <= _MOSTLY_MET:
        return []
    return [
        f"{100 * share:.2g} % of the queries of {name} are the only ones of their "
        "family. If queries came at random, about as many of a deployment's are from "
        "families that the evaluation has not met, and here none are: give "
        f"unseen_share={share:.2g}, unseen_families={number} (--unseen-share, "
        "--unseen-families)."
    ]


def _not_excluded(seen: int) -> str:
    # None of m queries is of a kind with that share with the chance (1 - share) ** m.
    share = 1 - UNSEEN_CHANCE ** (1 / seen)
    about = f", about 3/{seen}" if seen >= _RULE_OF_THREE_FROM else ""
    return (
        f"What this evaluation cannot exclude: of {seen} queries none need have come "
        f"from a kind of query whose share is below {share:.2g} (with 95 % "
        f"confidence{about}). If such a kind exists and fails often, every risk here "
        "is too low, and every safe size and waiting time too high."
    )


def _censored(evaluation: Evaluation, behaviour: str) -> list[str]:
    scores = evaluation.scores(behaviour)
    return [
        f"{behaviour}: {count} of {scores.size} risks were recorded as exactly {what}; "
        f"they count as {edge} what the record can tell (a score of {resolution:.3g})."
        for count, what, edge, resolution in (
            (scores.censored_below, "0", "smaller than", scores.lowest),
            (scores.censored_above, "1", "larger than", scores.highest),
        )
        if count
    ]


def on_tail_checks(verdict: Mapping[str, Sequence[TailCheck]]) -> list[str]:
    """What makes the tails doubtful, each with how often that is a false alarm."""
    alarms = [
        (behaviour, check)
        for behaviour, checks in verdict.items()
        for check in checks
        if check.alarm
    ]
    far = [check for _, check in alarms if check.name == "extrapolation"]
    made: list[str] = []
    if far:  # of the smallest evaluation, once
        made.append(f"Extrapolation: {max(far, key=lambda c: c.value).sentence}.")
    made += [
        f"{behaviour}: {check.sentence}.{_rate(check)}"
        for behaviour, check in alarms
        if check.name != "extrapolation"
    ]
    return made


def _rate(check: TailCheck) -> str:
    if check.is_rule or check.false_alarms is None:
        return ""
    return (
        f" (Of simulated evaluations whose tail is sound, "
        f"{100 * check.false_alarms:.2g} % say so too.)"
    )


def on_judge(posterior: Posterior) -> list[str]:
    """What a judge that errs leaves unidentified, where the model has one."""
    if "false_positive_rate" not in posterior.draws:
        return []
    rate, sensitivity = (
        np.quantile(posterior.draws[name], [0.05, 0.5, 0.95])
        for name in ("false_positive_rate", "sensitivity")
    )
    return [
        f"THE JUDGE ERRS: its false-positive rate is {rate[1]:.2g} ({rate[0]:.2g} to "
        f"{rate[2]:.2g} with 90 % probability). RISKS BELOW {rate[2]:.2g} ARE NOT "
        "IDENTIFIED: there, successes are as likely errors, and what is said comes "
        f"from the prior. Its sensitivity is {sensitivity[1]:.2g} ({sensitivity[0]:.2g}"
        f" to {sensitivity[2]:.2g}). Have responses checked by people, chosen without "
        "regard to the verdict, and give their counts (true_positives=..., "
        "false_positives=...)."
    ]


def on_tail(posterior: Posterior) -> list[str]:
    """How many scores the tails were fitted to, and above what."""
    if "exceeding" not in posterior.data:
        return []
    rests = [
        f"{name} {count:g} scores above {threshold:.3g} (risk "
        f"{float(risk_from_score(threshold)):.2g})"
        for name, count, threshold in zip(
            posterior.behaviours,
            posterior.data["exceeding"],
            posterior.data["threshold"],
            strict=True,
        )
    ]
    return [f"What each tail rests on: {listed(rests, '; ', most=500, each=120)}."]


def on_caps(draws: "xarray.Dataset") -> list[str]:
    """Which numbers of queries are given as `FOREVER` and may be larger."""
    consequences = {
        "queries_to_first_failure": ", and a mean over it is not given",
        "largest_safe_deployment": "",
    }
    return [
        f"{target}: {FOREVER_WRITTEN} stands for {FOREVER_WRITTEN} or more"
        f"{consequence}."
        for target, consequence in consequences.items()
        if target in draws and bool((draws[target] >= FOREVER).any())
    ]
