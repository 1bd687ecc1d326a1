"""Whether draws represent their posterior: R-hat, effective sample size, energy."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = [
    "NOT_FINITE",
    "Verdict",
    "judge",
]

type Array = Float[np.ndarray, "..."]

type Arrays = Mapping[str, Array]

type Numbers = Mapping[str, np.ndarray]  # whole ones among them

RHAT_LIMIT = 1.01
"""Largest R-hat of a hyperparameter or of a behaviour's tail (Vehtari et al. 2021)."""

MEMBER_RHAT_LIMIT = 1.05
"""Largest R-hat of one family or one query among many."""

ESS_LIMIT = 400.0
"""Smallest bulk and tail effective sample size (Vehtari et al. 2021)."""

DIVERGENCE_LIMIT = 1e-3
"""Largest share of divergent transitions."""

BFMI_LIMIT = 0.3
"""Smallest Bayesian fraction of missing information (Betancourt 2016)."""

_MEMBERS = {"family", "shared_family", "query"}

NOT_FINITE = "some draws are not finite"


@dataclass(frozen=True)
class Verdict:
    """Whether the draws represent the posterior, by the numbers.

    Parameters
    ----------
    max_rhat, max_member_rhat
        Largest rank-normalised split R-hat: of hyperparameters and tails, and of single
        families and queries.
    min_ess
        Smallest bulk or tail effective sample size of hyperparameters and tails.
    divergences, transitions
        Divergent transitions, and transitions in all.
    min_bfmi
        Smallest Bayesian fraction of missing information of a chain.
    reasons
        What is wrong, in words; empty if nothing is.
    """

    max_rhat: float
    max_member_rhat: float
    min_ess: float
    divergences: int
    transitions: int
    min_bfmi: float
    reasons: tuple[str, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reasons

    @property
    def divergence_share(self) -> float:
        """Divergent transitions as a share of all."""
        return self.divergences / self.transitions

    @property
    def notes(self) -> list[str]:
        """Why the fit cannot be trusted, for readers of a forecast; empty if it can."""
        if self.converged:
            return []
        return [
            "THE FIT DID NOT CONVERGE, so these numbers may be wrong: "
            f"{'; '.join(self.reasons)}."
        ]


def judge(
    draws: Arrays, statistics: Arrays, dims: Mapping[str, tuple[str, ...]]
) -> Verdict:
    """Judge draws by R-hat, effective sample size, divergences and energy.

    A hyperparameter or a tail needs R-hat at most 1.01 and 400 effective draws in bulk
    and tail, and so does the score that one query in a million exceeds, where it is
    given among the draws (`extreme_scores`); one family or query among many, R-hat at
    most 1.05 (of many good ones some exceed 1.01 by chance). Standardised offsets are
    left out: the parameters that are computed from them are judged instead.

    Parameters
    ----------
    draws, statistics
        Arrays with leading axes (chain, draw).
    dims
        Dims of each quantity after those two.

    References
    ----------
    .. [1] A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner (2021).
       Rank-normalization, folding, and localization: an improved R-hat. Bayesian
       Analysis 16, 667-718.
    .. [2] M. Betancourt (2016). Diagnosing suboptimal cotangent disintegrations in
       Hamiltonian Monte Carlo. arXiv 1604.00695.
    """
    # Imported late, since it is slow; by name, since its declared types are wrong.
    array_stats = import_module("arviz_stats.base").array_stats
    with np.errstate(all="ignore"):  # draws that never move have no variance
        return _judged(array_stats, draws, statistics, dims)


def _judged(
    array_stats: Any,
    draws: Arrays,
    statistics: Arrays,
    dims: Mapping[str, tuple[str, ...]],
) -> Verdict:
    strict: list[Array] = []
    members: list[Array] = []
    for name, values in draws.items():
        # A logarithm has the ranks of what it is the logarithm of: once is enough.
        judged_as = name.removeprefix("log_")
        if name.endswith("_offset") or (judged_as != name and judged_as in draws):
            continue
        columns = values.reshape(*values.shape[:2], -1)
        moving = (columns != columns[:1, :1]).any(axis=(0, 1))
        group = members if _MEMBERS & set(dims.get(name, ())) else strict
        group.append(columns[..., moving])
    diverging = statistics["diverging"]
    if len(diverging) == 1:
        # One chain is compared with itself: its first half with its second.
        strict, members = [_halved(c) for c in strict], [_halved(c) for c in members]
    axes = {"chain_axis": 0, "draw_axis": 1}
    judged, loose = (
        np.concatenate(group, axis=-1) if group else np.empty((1, 1, 0))
        for group in (strict, members)
    )
    finite = all(np.isfinite(values).all() for values in draws.values())
    rhat, member_rhat = (
        float(array_stats.rhat(columns, **axes).max(initial=1.0))
        if columns.size
        else 1.0
        for columns in (judged, loose)
    )
    sizes = [
        array_stats.ess(judged, method=method, prob=prob, **axes).min()
        for method, prob in (("bulk", None), ("tail", (0.05, 0.95)))
        if judged.size
    ]
    ess = float(np.min(sizes)) if sizes else 0.0  # of NumPy: it passes on NaN
    bfmi = float(np.min(array_stats.bfmi(statistics["energy"], **axes)))
    divergences, transitions = int(diverging.sum()), int(diverging.size)
    checks = [
        (finite, NOT_FINITE),
        (rhat <= RHAT_LIMIT, f"R-hat is {rhat:.3f}, above {RHAT_LIMIT}"),
        (
            member_rhat <= MEMBER_RHAT_LIMIT,
            f"R-hat of a family or query is {member_rhat:.3f}, above "
            f"{MEMBER_RHAT_LIMIT}",
        ),
        (
            ess >= ESS_LIMIT,
            f"the smallest effective sample size is {ess:.0f}, below {ESS_LIMIT:.0f}",
        ),
        (
            divergences <= DIVERGENCE_LIMIT * transitions,
            f"{divergences} of {transitions} transitions diverged, more than "
            f"{DIVERGENCE_LIMIT:.1%}",
        ),
        (bfmi > BFMI_LIMIT, f"E-BFMI is {bfmi:.2f}, not above {BFMI_LIMIT}"),
    ]
    return Verdict(
        max_rhat=rhat,
        max_member_rhat=member_rhat,
        min_ess=ess,
        divergences=divergences,
        transitions=transitions,
        min_bfmi=bfmi,
        # Each check is written so that a NaN fails it.
        reasons=tuple(reason for passed, reason in checks if not passed),
    )


def _halved(columns: Array) -> Array:
    """The two halves of one chain, as two chains."""
    half = columns.shape[1] // 2
    return np.concatenate([columns[:, :half], columns[:, half : 2 * half]])
