"""Averages of the posteriors of several models of one evaluation."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.arguments.checking import checked_call, refuse_unknown
from bayes_rare.diagnostics.convergence import Verdict
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.populations import Population
from bayes_rare.populations.gathered import Gathered
from bayes_rare.posterior.fitted import Fitted, refuse_other_draws
from bayes_rare.posterior.posterior import Posterior

if TYPE_CHECKING:
    import xarray

__all__ = [
    "NAME",
    "Average",
    "Member",
    "apportioned",
    "written",
]

NAME = "average"
"""What tables call an average."""

NOTES = "average_notes"

# Draws in all, unless fewer are asked for: of each member in proportion to its weight.
_DRAWS = 4000

# Multiples of it, without their whole parts, are spread evenly however many there are.
_GOLDEN = (5**0.5 - 1) / 2

type Array = Float[np.ndarray, "..."]
type Places = Int[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Member:
    """One of the posteriors that are averaged.

    Parameters
    ----------
    label
        Its name in tables: the model and the settings that distinguish it.
    posterior
        Its posterior.
    weights
        Its weight by behaviour, in [0, 1].
    pareto_k
        By behaviour, the largest Pareto k of the importance weights by which queries
        were left out; above 0.7 its weight cannot be trusted. Queries left out by
        another fit count as 0.
    """

    label: str
    posterior: Posterior
    weights: Mapping[str, float]
    pareto_k: Mapping[str, float]


@checked_call
@dataclass(frozen=True, eq=False)
class Average(Fitted):
    """Posteriors of several models of one evaluation, weighted behaviour by behaviour.

    Each draw is a draw of one member, chosen by weight. Weights may differ between
    behaviours. Where the weights allow it, draws with one index are the same draw of
    one member for all behaviours, so that behaviours that it has pooled stay dependent.
    Draws of different members, and behaviours that a member has fitted separately, are
    independent. An average can be used anywhere a posterior can.

    Parameters
    ----------
    members
        At least one; weights of each behaviour sum to 1.
    size
        Draws in all.
    notes
        Origin of the weights, and models without weight, in sentences.

    Attributes
    ----------
    evaluation
        What was measured.
    verdict
        Whether the draws of the members that have weight represent them.
    """

    members: tuple[Member, ...]
    size: int = _DRAWS
    notes: tuple[str, ...] = ()
    evaluation: Evaluation = field(init=False, repr=False)
    verdict: Verdict = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.members:
            raise InvalidInput("an average has at least one member, got none.")
        evaluation = self.members[0].posterior.evaluation
        object.__setattr__(self, "evaluation", evaluation)
        object.__setattr__(self, "verdict", self._joint_verdict())

    @property
    def name(self) -> str:
        """What tables call it."""
        return NAME

    def _joint_verdict(self) -> Verdict:
        """The worst of each number over the members that have weight."""
        verdicts = [(m.label, m.posterior.verdict) for m in self._weighty]
        # By NumPy, which passes on what is no number.
        return Verdict(
            max_rhat=float(np.max([v.max_rhat for _, v in verdicts])),
            max_member_rhat=float(np.max([v.max_member_rhat for _, v in verdicts])),
            min_ess=float(np.min([v.min_ess for _, v in verdicts])),
            divergences=sum(v.divergences for _, v in verdicts),
            transitions=sum(v.transitions for _, v in verdicts),
            min_bfmi=float(np.min([v.min_bfmi for _, v in verdicts])),
            reasons=tuple(
                f"{label}: {reason}" for label, v in verdicts for reason in v.reasons
            ),
        )

    @property
    def _weighty(self) -> list[Member]:
        return [m for m in self.members if any(w > 0 for w in m.weights.values())]

    def weights(self) -> "dict[str, dict[str, float]]":
        """Weight of each member, by behaviour and label."""
        return {
            behaviour: {m.label: m.weights[behaviour] for m in self.members}
            for behaviour in self.behaviours
        }

    def population(self, behaviour: str | None = None) -> Population:
        """Distribution of a new query's score, draw by draw.

        Parameters
        ----------
        behaviour
            Which behaviour; may be left out if there is one.

        Raises
        ------
        InvalidInput
            If there is no such behaviour, or several and none is named.
        """
        behaviour = self._only_or_named(behaviour)
        parts = [part.population(behaviour) for part in self.parts(behaviour)]
        if len(parts) == 1:
            return parts[0]
        return Gathered(tuple(parts), self.order(behaviour))

    def parts(self, behaviour: str) -> list[Posterior]:
        """Draws of the members, as many of each as its weight says.

        Parameters
        ----------
        behaviour
            The behaviour whose weights count.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.
        """
        refuse_unknown("behaviour", behaviour, self.behaviours)
        return [
            _some(member.posterior, draws)
            for member, (draws, _) in zip(
                self.members, self._shares[behaviour], strict=True
            )
            if draws.size
        ]

    def order(self, behaviour: str) -> Places:
        """Where the draws of the parts, one part after the other, stand among all.

        Parameters
        ----------
        behaviour
            The behaviour whose weights count.

        Raises
        ------
        InvalidInput
            If there is no such behaviour.
        """
        refuse_unknown("behaviour", behaviour, self.behaviours)
        return np.concatenate([places for _, places in self._shares[behaviour]])

    def by_chain(self, behaviour: str, values: Array) -> Array:
        """Values of the parts, one part after the other, as one chain in their order.

        Parameters
        ----------
        behaviour
            The behaviour whose weights count.
        values
            An array whose first axis is the draw, all parts in a row.

        Raises
        ------
        InvalidInput
            If there is no such behaviour, or not as many values as draws.
        """
        refuse_other_draws(values, self.order(behaviour).size)
        ordered = np.empty_like(values)
        ordered[self.order(behaviour)] = values
        return ordered[None]

    @cached_property
    def _shares(self) -> dict[str, list[tuple[Places, Places]]]:
        """Which draws of each member each behaviour takes, and where they stand."""
        numbers = {
            b: apportioned([m.weights[b] for m in self.members], self.size)
            for b in self.behaviours
        }
        return _shared(numbers, [_number_of_draws(m.posterior) for m in self.members])

    def only(self, chosen: Sequence[Member]) -> "Average":
        """The average of some of its members, which share the weight as they did.

        Where none of them has any, they share it equally.

        Parameters
        ----------
        chosen
            Members of this average, at least one.

        Raises
        ------
        InvalidInput
            If there is none.
        """
        if not chosen:
            labels = ", ".join(member.label for member in self.members)
            raise InvalidInput(f"choose at least one member. There are: {labels}.")
        left = {b: sum(m.weights[b] for m in chosen) for b in self.behaviours}
        return replace(
            self,
            members=tuple(
                replace(
                    member,
                    weights={
                        b: member.weights[b] / total if total else 1 / len(chosen)
                        for b, total in left.items()
                    },
                )
                for member in chosen
            ),
        )

    def thinned(self, most: int) -> "Average":
        """The average with at most so many draws in all.

        Parameters
        ----------
        most
            How many draws may be left.
        """
        return replace(self, size=min(self.size, most))

    def _in_a_refusal(self) -> tuple[str, str]:
        return (
            "the average",
            "Sample longer (--warmup 2000 --draws 2000), or choose one model.",
        )

    @cached_property
    def tree(self) -> "xarray.DataTree":
        """The trees of the members, and labels and weights as an attribute, JSON."""
        import xarray as xr

        children = {f"member_{n}": m.posterior.tree for n, m in enumerate(self.members)}
        tree = xr.DataTree(children=children)
        tree.attrs[NAME] = json.dumps(
            [
                {"label": m.label, "weights": m.weights, "pareto_k": m.pareto_k}
                for m in self.members
            ]
        )
        tree.attrs[NOTES] = json.dumps(self.notes, ensure_ascii=False)
        return tree

    def __repr__(self) -> str:
        few = [
            f"{behaviour}: {written(shares)}"
            for behaviour, shares in [*self.weights().items()][:3]
        ]
        more = "; ..." if len(self.behaviours) > 3 else ""
        state = "converged" if self.verdict.converged else "NOT CONVERGED"
        return f"Average ({state}) of {'; '.join(few)}{more}."


def written(shares: Mapping[str, float]) -> str:
    """Weights in words, the largest first: "62 % family_tail, 38 % log_normal"."""
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{100 * w:.0f} % {label}" for label, w in ordered if w >= 0.005)


def apportioned(weights: Sequence[float] | Any, draws: int) -> list[int]:
    """Whole numbers in proportion to weights, by largest remainders.

    Parameters
    ----------
    weights
        Weights, not negative, of a positive sum.
    draws
        What the numbers sum to.

    Examples
    --------
    >>> apportioned([0.5, 0.3, 0.2], 4)
    [2, 1, 1]
    """
    exact = draws * np.asarray(weights, np.float64) / np.sum(weights)
    whole = np.floor(exact).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: draws - int(whole.sum())]] += 1
    return whole.tolist()


def _shared(
    numbers: Mapping[str, Sequence[int]], draws: Sequence[int]
) -> dict[str, list[tuple[Places, Places]]]:
    """Draws of each member by behaviour, and the places at which they stand.

    The draws of a member that all behaviours take come first, at the same places for
    all; those that single behaviours take beyond these follow. Draws are taken evenly
    from all chains, and each once if there are enough.

    Examples
    --------
    >>> taken = _shared({"a": [3, 1], "b": [1, 3]}, [4, 4])
    >>> [[places.tolist() for _, places in taken[name]] for name in "ab"]
    [[[0, 2, 3], [1]], [[0], [1, 2, 3]]]
    """
    common: Places = np.array(list(numbers.values()), np.int64).min(axis=0)
    first: Places = np.cumsum(common) - common
    evenly: list[Places] = [
        (np.arange(count) * size / max(count, 1)).astype(np.int64)
        for count, size in zip(common.tolist(), draws, strict=True)
    ]
    made: dict[str, list[tuple[Places, Places]]] = {}
    for behaviour, own in numbers.items():
        more = np.array(own, np.int64) - common
        then: Places = common.sum() + np.cumsum(more) - more
        made[behaviour] = [
            (
                np.concatenate([evenly[k], _further(evenly[k], draws[k], extra)]),
                np.concatenate([_run(first[k], both), _run(then[k], extra)]),
            )
            for k, (both, extra) in enumerate(
                zip(common.tolist(), more.tolist(), strict=True)
            )
        ]
    return made


def _run(start: Any, length: int) -> Places:
    """Consecutive whole numbers."""
    return start + np.arange(length)


def _further(taken: Places, size: int, number: int) -> Places:
    """Further draws of a member, first those that were taken less often."""
    every: Places = np.arange(size)
    times = np.bincount(taken, minlength=size)
    first = _scattered(every[times < times.max()])
    rest = np.resize(_scattered(every), max(number - first.size, 0))
    return np.concatenate([first[:number], rest])


def _scattered(places: Places) -> Places:
    """The places in an order of which any beginning is spread evenly."""
    return places[np.argsort(np.arange(places.size) * _GOLDEN % 1, kind="stable")]


def _number_of_draws(posterior: Posterior) -> int:
    chains, draws = next(iter(posterior.draws.values())).shape[:2]
    return chains * draws


def _some(posterior: Posterior, places: Places) -> Posterior:
    """Some of the draws, those of all chains in a row."""
    every = _number_of_draws(posterior)

    def chosen(values: Array) -> Array:
        return values.reshape(1, every, *values.shape[2:])[:, places]

    return replace(posterior, draws={n: chosen(v) for n, v in posterior.draws.items()})
