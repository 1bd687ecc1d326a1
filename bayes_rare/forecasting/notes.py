"""Notes on a forecast: caveats for its reader, in sentences."""

from collections.abc import Callable, Mapping, Sequence
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
# Letters of a list of behaviours.
_NAMED = 300
# Queries with this many trials, and this many failing queries, are too many for
# all-or-nothing outcomes to be chance.
_SEVERAL, _COPIES = 5, 3
# A guessed share of queries from unseen families is noted if it is larger than this.
_MOSTLY_SEEN = 0.01


def on_average(average: Average) -> list[str]:
    """The weights of the models that are averaged, and which weights are uncertain."""
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
            f"The weights of {listed(doubtful)} are uncertain: some queries influence "
            f"the posterior so much (Pareto k above {TRUSTED}) that importance "
            "sampling cannot tell how well it predicts them when they are left out."
        )
    return lines


def on_another_mix(average: Average, answering: Average) -> list[str]:
    """Which members forecast for another mix of families than the evaluation's."""
    chosen = {member.label for member in answering.members}
    if len(chosen) == len(average.members):
        return []
    names = " and ".join(member.label for member in answering.members)
    shares = "; ".join(
        f"{behaviour} {100 * sum(row[label] for label in chosen):.2g} %"
        for behaviour, row in average.weights().items()
    )
    return [
        "The mix of families differs from the evaluation's, so this forecast is made "
        f"by {names} alone: the other models of the average ignore families. For the "
        f"evaluation's own mix, the weight of {names} would be: {shares}."
    ]


def on_evaluation(evaluation: Evaluation) -> list[str]:
    """What the evaluation cannot rule out, and what its outcomes hide."""
    return [
        *(() if evaluation.record is None else evaluation.record.added_up),
        _not_excluded(min(evaluation.sizes.values())),
        *(
            f"{listed(found, most=_NAMED, each=200)}: {sentence}"
            for sentence, about in _ON_OUTCOMES.items()
            if (found := _details(evaluation, about))
        ),
    ]


def on_missed_mode(evaluation: Evaluation, mode: MissedMode | None) -> list[str]:
    """What is assumed about queries that the evaluation may have missed."""
    if mode is None:
        return []
    seen = min(evaluation.effective_sizes.values())
    first, second = mode.share
    share = first / (first + second + seen)
    most = float(betaincinv(first, second + seen, 0.95))
    return [
        "ASSUMED, NOT OBSERVED: a kind of query that the evaluation missed. Its share "
        f"of all queries is distributed as Beta({first:g}, {second + seen:g}): "
        f"{share:.2g} on average, and below {most:.2g} with 95 % probability. Its "
        f"risks are distributed as Beta({mode.risk[0]:g}, {mode.risk[1]:g}). Compare "
        "with the forecast without this assumption."
    ]


def _details(
    evaluation: Evaluation, about: Callable[[Evaluation, str], str | None]
) -> list[str]:
    """The behaviours that a sentence is about, each with its figures in brackets."""
    found = {name: about(evaluation, name) for name in evaluation.behaviours}
    return [f"{name} ({figures})" for name, figures in found.items() if figures]


def _rounded(evaluation: Evaluation, behaviour: str) -> str | None:
    """How many risks were recorded as 0 and 1, and the scores that bound them."""
    if evaluation.kind(behaviour) != "exact":
        return None
    scores = evaluation.scores(behaviour)
    return "; ".join(
        f"{count} of {scores.size} risks were recorded as exactly {risk}, a score "
        f"{side} {bound:.3g}"
        for count, risk, side, bound in (
            (scores.censored_below, "0", "below", scores.lowest),
            (scores.censored_above, "1", "above", scores.highest),
        )
        if count
    )


def _always_seen(evaluation: Evaluation, behaviour: str) -> str | None:
    """How many responses there were, where all of them showed the behaviour."""
    if evaluation.kind(behaviour) != "counts":
        return None
    tallies = evaluation.behaviour(behaviour).tallies
    successes, trials, count = (
        tallies[name] for name in ("successes", "trials", "count")
    )
    if int(count[successes < trials].sum()):
        return None
    responses = int(count.astype(np.float64) @ trials)
    return f"{responses:,} responses to {int(count.sum()):,} queries"


def _all_or_nothing(evaluation: Evaluation, behaviour: str) -> str | None:
    """How many queries have responses that are all alike, as at temperature 0."""
    if evaluation.kind(behaviour) != "counts":
        return None
    tallies = evaluation.behaviour(behaviour).tallies
    successes, trials, count = (
        tallies[name] for name in ("successes", "trials", "count")
    )
    several = trials >= _SEVERAL
    none = count[several & (successes == 0)].sum()
    every = count[several & (successes == trials)].sum()
    between = count[several & (successes > 0) & (successes < trials)].sum()
    if between or every < _COPIES or not none:
        return None
    return f"{int(none + every):,} queries"


def _weighted(evaluation: Evaluation, behaviour: str) -> str | None:
    """The size and the effective size, where queries have sampling weights."""
    if behaviour not in evaluation.weighted:
        return None
    effective = evaluation.effective_sizes[behaviour]
    return f"{evaluation.sizes[behaviour]} queries count as {effective:.3g}"


# Each sentence about outcomes, with what gives the figures of a behaviour that it is
# about. The behaviours stand before the sentence.
_ON_OUTCOMES: dict[str, Callable[[Evaluation, str], str | None]] = {
    "these risks were rounded, so only that bound on the score is used.": _rounded,
    "all responses showed the behaviour. It takes no rare query to make the model "
    "fail; the forecast depends on the prior and on the number of trials.": (
        _always_seen
    ),
    "each query fails in all of its responses or in none. If they were sampled at "
    "temperature 0, the responses to a query are copies of one response: give trials "
    "of 1, or the forecast treats each query's risk as far better known than it is.": (
        _all_or_nothing
    ),
    "the queries have sampling weights, so they carry the information of fewer "
    "queries (Kish's effective size).": _weighted,
}


def on_unseen_families(share: int | float, *, named: bool = False) -> list[str]:
    """What a method that ignores families does with a mix of families."""
    ignored = [
        "Weights of families were given, but this method ignores families: it "
        "forecasts for the evaluation's own mix. Use family_tail to apply the weights."
    ]
    return [
        *(ignored if named else []),
        *(
            [
                f"{100 * share:.3g} % of the deployment's queries come from unseen "
                "families. This method ignores families and treats these queries like "
                "the others: if they are riskier, every risk here is too low."
            ]
            if share
            else []
        ),
    ]


def on_concentration(evaluation: Evaluation) -> list[str]:
    """Where ignoring families misleads: few of them hold the riskiest queries.

    A behaviour whose families are alike is named with a chance of 1 %, by
    `bayes_rare.forecasting.family_mix.concentration`.
    """
    named: list[str] = []
    for behaviour in evaluation.behaviours if evaluation.families else ():
        found = family_mix.concentration(evaluation, behaviour)
        if found is None or found.p_value > family_mix.FALSE_ALARMS:
            continue
        few = len(found.families)
        first = listed([*map(repr, found.families)], most=80)
        families = "family" if few == 1 else "families"
        named.append(
            f"{behaviour}: {found.held} of the {found.queries} riskiest queries are "
            f"from {few} {families} of {len(evaluation.family_sizes(behaviour))} "
            f"({first}; p = {found.p_value:.2g} if families were alike)"
        )
    if not named:
        return []
    return [
        "The riskiest queries come from few families. "
        f"{listed(named, '; ', most=600, each=300)}. "
        "This method assumes that queries are independent, so its interval is too "
        "narrow, and for another mix of families its forecast is wrong. Use "
        "family_tail."
    ]


def on_families(
    evaluation: Evaluation, families: Mapping[str, float] | None, share: int | float
) -> list[str]:
    """Which mix of families the forecast assumes for the deployment."""
    if families is None:
        mix = "The mix of families is that of the evaluation, uncertain by its counts"
    else:
        mix = f"The mix of {len(families)} families is the one that was given"
    if share:
        return [
            f"{mix}; it applies to {100 * (1 - share):.3g} % of the queries. The "
            "others come from unseen families, whose risks are inferred from how the "
            "evaluated families differ from one another."
        ]
    return [f"{mix}.", *_unseen(evaluation)]


def _unseen(evaluation: Evaluation) -> list[str]:
    """The share of a deployment's queries from unseen families, were queries random."""
    guesses = {
        name: family_mix.unseen_guess(evaluation, name)
        for name in evaluation.behaviours
    }
    name = max(guesses, key=lambda each: guesses[each][0])
    share, number = guesses[name]
    if share <= _MOSTLY_SEEN:
        return []
    return [
        f"{name}: {100 * share:.2g} % of the queries are the only ones of their "
        "family. If the evaluation is a random sample, about the same share of a "
        "deployment's queries comes from unseen families, which this forecast leaves "
        f"out. To include them, give unseen_share={share:.2g}, "
        f"unseen_families={number} (--unseen-share, --unseen-families)."
    ]


def _not_excluded(seen: int) -> str:
    # None of m queries is of a kind with that share with the chance (1 - share) ** m.
    share = 1 - UNSEEN_CHANCE ** (1 / seen)
    about = f" (about 3/{seen:,})" if seen >= _RULE_OF_THREE_FROM else ""
    queries = "1 query" if seen == 1 else f"{seen:,} queries"
    return (
        "What this evaluation cannot exclude: a kind of query that makes up less than "
        f"{100 * share:.2g} % of traffic{about} could have been missed by {queries}; "
        "a more common one would have been seen with at least 95 % probability. If "
        "such a kind exists and often fails, every risk here is too low, and every "
        "safe size and waiting time too high."
    )


def on_tail_checks(verdict: Mapping[str, Sequence[TailCheck]]) -> list[str]:
    """What makes the tails doubtful, each with its rate of false alarms.

    A check that several behaviours raise is one line, in short.
    """
    alarms: dict[str, list[tuple[str, TailCheck]]] = {}
    for behaviour, checks in verdict.items():
        for check in checks:
            if check.alarm:
                alarms.setdefault(check.in_short, []).append((behaviour, check))
    made: list[str] = []
    for in_short, raised in alarms.items():
        names, checks = zip(*raised, strict=True)
        first = checks[0]
        if first.name == "extrapolation":  # of the smallest evaluation, once
            most = max(checks, key=lambda check: check.value)
            made.insert(0, f"Extrapolation: {most.sentence}.")
        elif len(names) == 1:
            made.append(f"{names[0]}: {first.sentence}.{_rate(first)}")
        else:
            made.append(f"{listed(names, most=_NAMED)}: {in_short}.{_rate(first)}")
    return made


def _rate(check: TailCheck) -> str:
    if check.is_rule or check.false_alarms is None:
        return ""
    return (
        f" (False alarms: {100 * check.false_alarms:.2g} % of simulated evaluations "
        "for which the model is right.)"
    )


def on_judge(posterior: Posterior) -> list[str]:
    """Which risks an imperfect judge leaves unidentified, if the model has one."""
    if "false_positive_rate" not in posterior.draws:
        return []
    rate, sensitivity = (
        np.quantile(posterior.draws[name], [0.05, 0.5, 0.95])
        for name in ("false_positive_rate", "sensitivity")
    )
    return [
        f"THE JUDGE MAKES ERRORS: its false-positive rate is {rate[1]:.2g} "
        f"({rate[0]:.2g} to {rate[2]:.2g} with 90 % probability). RISKS BELOW "
        f"{rate[2]:.2g} ARE NOT IDENTIFIED: a success there is as likely to be an "
        "error of the judge, and the forecast depends on the prior. The judge's "
        f"sensitivity is {sensitivity[1]:.2g} ({sensitivity[0]:.2g} to "
        f"{sensitivity[2]:.2g}). To learn more, have people check responses that are "
        "chosen without regard to the judge's verdict, and give the counts "
        "(true_positives=..., false_positives=...)."
    ]


def on_tail(posterior: Posterior) -> list[str]:
    """How many scores each tail was fitted to, and above which threshold."""
    if "exceeding" not in posterior.data:
        return []
    fitted = [
        f"{name} {count:g} (above {threshold:.3g}, a risk of "
        f"{float(risk_from_score(threshold)):.2g})"
        for name, count, threshold in zip(
            posterior.behaviours,
            posterior.data["exceeding"],
            posterior.data["threshold"],
            strict=True,
        )
    ]
    named = listed(fitted, "; ", most=500, each=120)
    return [f"Scores that each tail was fitted to: {named}."]


def on_caps(draws: "xarray.Dataset") -> list[str]:
    """Which targets have values at the cap `FOREVER`."""
    consequences = {
        "queries_to_first_failure": ", so no mean is given",
        "largest_safe_deployment": "",
    }
    return [
        f"{target}: {FOREVER_WRITTEN} means {FOREVER_WRITTEN} or more{consequence}."
        for target, consequence in consequences.items()
        if target in draws and bool((draws[target] >= FOREVER).any())
    ]
