"""What a reader of a forecast must know, in sentences."""

from typing import TYPE_CHECKING

from bayes_rare.evaluation import Evaluation
from bayes_rare.outcomes import FOREVER, FOREVER_WRITTEN
from bayes_rare.posterior import Posterior
from bayes_rare.scores import risk_from_score

if TYPE_CHECKING:
    import xarray

__all__ = [
    "on_caps",
    "on_convergence",
    "on_evaluation",
    "on_tail",
    "on_unseen_families",
]

# What 95 % confidence leaves: the chance (1 - share) ** m that none of m queries is of
# a kind with that share.
_UNSEEN_CHANCE = 0.05
# From so many queries on, 1 - 0.05 ** (1 / m) is 3/m within 5 %.
_RULE_OF_THREE_FROM = 30
# An observed risk above this leaves no room to see how the tail goes on.
_SATURATED_RISK = 0.9
# Extrapolating further than this many times the evaluation is said aloud.
_FAR = 1000


def on_convergence(posterior: Posterior) -> list[str]:
    """Why the fit cannot be trusted, if it cannot.

    Parameters
    ----------
    posterior
        What the forecast is made from.
    """
    if posterior.verdict.converged:
        return []
    return [
        "THE FIT DID NOT CONVERGE, so these numbers may be wrong: "
        f"{'; '.join(posterior.verdict.reasons)}."
    ]


def on_evaluation(evaluation: Evaluation, queries: int) -> list[str]:
    """What the evaluation cannot exclude, how far it is left behind, what it hides.

    Parameters
    ----------
    evaluation
        What the method saw.
    queries
        The largest deployment that is forecast.
    """
    smallest = min(evaluation.sizes.values())
    return [
        _not_excluded(smallest),
        *_extrapolation(queries, smallest),
        *(
            note
            for behaviour in evaluation.behaviours
            if evaluation.kind(behaviour) == "exact"
            for note in (
                *_censored(evaluation, behaviour),
                *_saturated(evaluation, behaviour),
            )
        ),
    ]


def on_unseen_families(share: int | float) -> list[str]:
    """What a method that knows no families makes of a share of queries from new ones.

    Parameters
    ----------
    share
        Share of the deployment's queries that come from families not met.
    """
    if not share:
        return []
    return [
        f"{100 * share:.3g} % of the queries were said to come from families that the "
        "evaluation has not met. This method knows no families and takes them to be "
        "like the others: where they are riskier, every risk here is too low."
    ]


def _not_excluded(seen: int) -> str:
    share = 1 - _UNSEEN_CHANCE ** (1 / seen)
    about = f", about 3/{seen}" if seen >= _RULE_OF_THREE_FROM else ""
    return (
        f"What this evaluation cannot exclude: of {seen} queries none need have come "
        f"from a kind of query whose share is below {share:.2g} (with 95 % "
        f"confidence{about}). If such a kind exists and fails often, every risk here "
        "is too low, and every safe size and waiting time too high."
    )


def _extrapolation(queries: int, seen: int) -> list[str]:
    ratio = queries / seen
    if ratio <= _FAR:
        return []
    return [
        f"Extrapolation: {queries:.3g} queries are {ratio:.2g} times the evaluation. "
        "So far out an interval rests on the prior of the tail as much as on the data."
    ]


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


def _saturated(evaluation: Evaluation, behaviour: str) -> list[str]:
    top = float(risk_from_score(evaluation.worst(behaviour)))
    if top <= _SATURATED_RISK:
        return []
    return [
        f"{behaviour}: the riskiest query seen has risk {top:.4g}. Near 1 scores "
        "spread without the risk changing: read risks, not scores, and doubt the "
        "shape of the tail."
    ]


def on_tail(posterior: Posterior) -> list[str]:
    """How many scores the tails were fitted to, and above what.

    Parameters
    ----------
    posterior
        What the forecast is made from.
    """
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
    return [f"What each tail rests on: {'; '.join(rests)}."]


def on_caps(draws: "xarray.Dataset") -> list[str]:
    """Which numbers of queries are given as `FOREVER` and may be larger.

    Parameters
    ----------
    draws
        Draws by target, as a forecast holds them.
    """
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
