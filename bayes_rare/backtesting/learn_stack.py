"""Stacking weights, learnt from a backtest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy import optimize

from bayes_rare.arguments.checking import checked_call
from bayes_rare.backtesting.bootstrap import Clusters, Columns
from bayes_rare.backtesting.cells import checked, codes, numbers
from bayes_rare.backtesting.proper_scores import CLAMP
from bayes_rare.backtesting.scoring import PREDICTIVE
from bayes_rare.backtesting.table import Backtest
from bayes_rare.errors import InvalidData, InvalidInput, listed
from bayes_rare.inference.stack import Stack, StackMember
from bayes_rare.scores import score_from_risk

if TYPE_CHECKING:
    import pandas

__all__ = ["mixture_parts", "stack", "stacked"]

type Weights = Float[np.ndarray, " member"]
type Spreads = Float[np.ndarray, "split member member"]

_TARGET = "worst_query_risk"
_NEEDED = [
    "method",
    "behaviour",
    "repeat",
    "target",
    "evaluation_size",
    "deployment_size",
    "status",
    "truth",
    "crps",
    PREDICTIVE,
]
_SCORED_BESIDE = ("stack", "equal weights", "best elsewhere")
# Weights below this are what a solver leaves of nothing.
_NOTHING = 1e-4


@checked_call
def stack(backtest: Backtest, methods: str | Sequence[str] | None = None) -> Stack:
    """Stacking weights: those whose mixture has the least CRPS on held-out queries.

    Of members with predictive distributions F_k of the worst query's score, the mixture
    has, for a truth y [1]_,

    ``CRPS(sum_k w_k F_k, y) = sum_k w_k E|X_k - y| - sum_kl w_k w_l E|X_k - X_l| / 2``,

    convex in the weights, which are those of the least mean over all splits [2]_. They
    are learnt for each evaluation size apart, over all deployments of it.

    Learnt weights score better on the data they were learnt from than on new data.
    Therefore each behaviour is also forecast with weights learnt on the others alone,
    with the member that was best on the others, and with equal weights: ``held_out``.
    With one behaviour, splits are used in place of behaviours.

    Parameters
    ----------
    backtest
        What `bayes_rare.backtest` returned or `bayes_rare.load_backtest` read.
    methods
        Models of the backtest to include; by default all of them. Baselines, averages
        and functions have no posterior to mix.

    Returns
    -------
    A stack, which can be used as a model: ``fit(evaluation, stack)``.

    Raises
    ------
    InvalidInput
        If fewer than two models are left, or one is not in the backtest or no model.
    InvalidData
        If the models did not forecast the same splits, there is only one of these, or
        the backtest kept no predictive distributions.

    References
    ----------
    .. [1] E. P. Grimit, T. Gneiting, V. J. Berrocal, N. A. Johnson (2006). The
       continuous ranked probability score for circular variables and its application
       to mesoscale forecast ensemble verification. Quarterly Journal of the Royal
       Meteorological Society 132, 2925-2942, section 2.
    .. [2] Y. Yao, A. Vehtari, D. Simpson, A. Gelman (2018). Using stacking to average
       Bayesian predictive distributions. Bayesian Analysis 13, 917-1007, section 2.
    """
    given: Any = backtest
    if not isinstance(given, Backtest):
        raise InvalidInput(
            f"a stack is learnt from a backtest, and this is a {type(given).__name__}. "
            "Give what backtest(...) returned, or load_backtest(path)."
        )
    if PREDICTIVE not in backtest.table:
        raise InvalidData(
            "the backtest kept no predictive distributions, as those of an earlier "
            "version did not. Run it again with this version."
        )
    table = checked(backtest, _NEEDED)
    members = _members(backtest, [methods] if isinstance(methods, str) else methods)
    labels = [member.label for member in members]
    chosen = (table["target"] == _TARGET) & table["method"].isin(labels)
    scored: Any = table[chosen]
    weights: dict[int, dict[str, float]] = {}
    held_out: dict[int, dict[str, float]] = {}
    in_sample: dict[int, float] = {}
    notes: list[str] = []
    for size in sorted(set(scored["evaluation_size"])):
        rows = scored[scored["evaluation_size"] == size]
        # What stood in for a member that never forecast is not for it to be weighed by.
        served = {*rows.loc[rows["status"] == "forecast", "method"]}
        able = [label for label in labels if label in served]
        if not able:
            raise InvalidData(
                f"no model forecast from {size:,} queries: each refused or did not "
                "converge. Run a backtest of others, or with longer chains."
            )
        rows = rows[rows["method"].isin(able)]
        errors, spreads, cluster = _parts(rows, able)
        learnt = stacked(errors, spreads)
        weights[int(size)] = dict.fromkeys(labels, 0.0) | dict(
            zip(able, learnt.tolist(), strict=True)
        )
        in_sample[int(size)] = float(_crps(learnt, errors, spreads).mean())
        held_out[int(size)] = _held_out(able, errors, spreads, cluster)
        unable = [label for label in labels if label not in served]
        notes += _notes(int(size), rows, held_out[int(size)], unable)
    learnt_on = str(backtest.origin.get("data", ""))
    return Stack(members, weights, held_out, in_sample, tuple(notes), learnt_on)


def mixture_parts(
    draws: Sequence[Sequence[np.ndarray]], truth: Float[np.ndarray, " split"]
) -> tuple[Columns, Spreads]:
    """What the CRPS of a mixture is made of: E|X_k - y| and E|X_k - X_l|.

    Parameters
    ----------
    draws
        Of each split and member, equally likely values.
    truth
        What happened in each split.

    Examples
    --------
    A certain forecast of 1, and one of 0 or 4, of a truth of 2:

    >>> certain, doubtful = np.array([1.0]), np.array([0.0, 4.0])
    >>> errors, spreads = mixture_parts([[certain, doubtful]], np.array([2.0]))
    >>> errors
    array([[1., 2.]])
    >>> spreads
    array([[[0., 2.],
            [2., 2.]]])
    """
    errors = np.array(
        [
            [np.abs(x - y).mean() for x in row]
            for row, y in zip(draws, truth, strict=True)
        ]
    )
    spreads = np.array(
        [[[np.abs(x[:, None] - z).mean() for z in row] for x in row] for row in draws]
    )
    return errors, spreads


def stacked(errors: Columns, spreads: Spreads) -> Weights:
    """Weights of the mixture of least mean CRPS, not negative and of sum 1."""
    error, spread = errors.mean(axis=0), spreads.mean(axis=0)
    count = error.size

    def loss(weight: Weights) -> float:
        return float(weight @ error - weight @ spread @ weight / 2)

    def slope(weight: Weights) -> Weights:
        return error - spread @ weight

    found: Any = optimize.minimize(
        loss,
        np.full(count, 1 / count),
        jac=slope,
        bounds=optimize.Bounds(0.0, 1.0),
        constraints=optimize.LinearConstraint(np.ones((1, count)), 1.0, 1.0),
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    weight = np.asarray(found.x, np.float64)
    weight = np.where(weight < _NOTHING, 0.0, weight)
    return weight / weight.sum()


def _crps(
    weight: Weights, errors: Columns, spreads: Spreads
) -> Float[np.ndarray, " split"]:
    return errors @ weight - np.einsum("k,skl,l->s", weight, spreads, weight) / 2


def _held_out(
    labels: Sequence[str], errors: Columns, spreads: Spreads, cluster: Clusters
) -> dict[str, float]:
    """Mean CRPS where what is chosen was chosen on the other clusters."""
    count, single = len(labels), np.eye(len(labels))
    own = np.stack([_crps(one, errors, spreads) for one in single], axis=1)
    choices: tuple[Callable[[np.ndarray], Weights], ...] = (
        lambda seen: stacked(errors[seen], spreads[seen]),
        lambda _: np.full(count, 1 / count),
        lambda seen: single[own[seen].mean(axis=0).argmin()],
    )
    found: dict[str, float] = {}
    for name, choose in zip(_SCORED_BESIDE, choices, strict=True):
        scores = np.empty(len(errors))
        for number in range(int(cluster.max()) + 1):
            mine = cluster == number
            weight = choose(~mine)
            scores[mine] = _crps(weight, errors[mine], spreads[mine])
        found[name] = float(scores.mean())
    return {**found, **dict(zip(labels, own.mean(axis=0).tolist(), strict=True))}


def _members(
    backtest: Backtest, methods: Sequence[str] | None
) -> tuple[StackMember, ...]:
    """The models of a backtest that are to be weighed."""
    known: Iterable[Mapping[str, Any]] = backtest.origin["methods"]
    models = {
        each["name"]: StackMember(
            each["name"], each["model"], each["digest"], each["settings"]
        )
        for each in known
        if "model" in each
    }
    chosen = list(models) if methods is None else list(dict.fromkeys(methods))
    taken = [name for name in chosen if name in _SCORED_BESIDE]
    if taken:
        raise InvalidInput(
            f"a model is called {taken[0]!r}, as is what it is held against. Give it "
            "another name in the backtest: methods={'another': ...}."
        )
    for name in chosen:
        if name not in models:
            raise InvalidInput(
                f"{name!r} is no model of this backtest, which has "
                f"{listed(models) or 'none'}. Only models have posteriors that a "
                "fit can mix."
            )
    if len(chosen) < 2:
        raise InvalidInput(
            f"weights are for two models or more, and here is {listed(chosen)}. Run "
            "a backtest of several: --methods gpd_tail log_normal family_tail."
            if chosen
            else "this backtest has no models. Run one: --methods gpd_tail log_normal."
        )
    return tuple(models[name] for name in chosen)


def _parts(
    rows: "pandas.DataFrame", labels: Sequence[str]
) -> tuple[Columns, Spreads, Clusters]:
    """Errors, spreads and cluster of each split."""
    split = numbers(rows, ["behaviour", "repeat", "deployment_size"])
    count = int(split.max()) + 1
    place = {label: number for number, label in enumerate(labels)}
    draws: list[list[Any]] = [[None] * len(labels) for _ in range(count)]
    truth = np.empty(count)
    for number, (_, row) in zip(split, rows.iterrows(), strict=True):
        predictive: Any = row[PREDICTIVE]
        if predictive is None or not len(predictive):
            raise InvalidData(
                f"the backtest kept no predictive distribution of {row['method']} for "
                f"{row['behaviour']!r}, repeat {row['repeat']}. Run it again with this "
                "version."
            )
        draws[number][place[row["method"]]] = np.asarray(predictive, np.float64)
        truth[number] = row["truth"]
    if any(x is None for row in draws for x in row):
        raise InvalidData(
            "weights need models that forecast the same splits, and some forecast "
            "splits that others did not. Let the backtest finish."
        )
    keys = rows.assign(split=split).drop_duplicates("split").sort_values("split")
    several = keys["behaviour"].nunique() > 1
    cluster = codes(keys) if several else numbers(keys, ["repeat"])
    if not int(cluster.max()):
        raise InvalidData(
            "weights are validated on splits that they were not learnt from, and there "
            "is only one split of one behaviour. Run a backtest of more: --repeats 10."
        )
    worst = np.clip(score_from_risk(truth), *CLAMP)
    return *mixture_parts(draws, worst), cluster


def _notes(
    size: int,
    rows: "pandas.DataFrame",
    held_out: Mapping[str, float],
    unable: Sequence[str],
) -> list[str]:
    """Caveats about the weights of one size."""
    single = rows["behaviour"].nunique() == 1
    notes = [
        f"{size:,} queries: {label} has no weight, as it refused or did not converge "
        "each time."
        for label in unable
    ]
    simple = min(_SCORED_BESIDE[1:], key=lambda name: held_out[name])
    if held_out["stack"] >= held_out[simple]:
        others = "splits" if single else "behaviours"
        notes.append(
            f"{size:,} queries: on held-out {others}, learnt weights are no better "
            f"(CRPS {held_out['stack']:.3g}) than {simple} ({held_out[simple]:.3g})."
        )
    if single:
        notes.append(
            f"{size:,} queries: all splits are of one behaviour and share queries, so "
            "the CRPS is probably worse on another behaviour."
        )
    replaced = int((rows["status"] != "forecast").sum())
    if replaced:
        notes.append(
            f"{size:,} queries: {replaced} of {len(rows)} forecasts were refused or "
            "did not converge, and are scored as evaluation_maximum."
        )
    return notes
