"""The posterior of a fit: its draws, their origin, and whether to trust them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from bayes_rare import catalog
from bayes_rare.checking import checked_call
from bayes_rare.errors import (
    InvalidData,
    InvalidInput,
    NotConverged,
)
from bayes_rare.evaluation import Evaluation
from bayes_rare.netcdf import write_tree
from bayes_rare.populations import Population
from bayes_rare.restored import (
    Damaged,
    arrays_of,
    checked_provenance,
    json_of,
    numbers_of,
)
from bayes_rare.shortening import listed
from bayes_rare.sources import Source

if TYPE_CHECKING:
    import pymc
    import xarray

    import bayes_rare.querying

__all__ = [
    "Posterior",
    "Verdict",
    "extreme_scores",
    "judge",
    "population_of",
    "posterior_of",
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

_NOT_FINITE = "some draws are not finite"
# Draws that are tried when a posterior is read.
_TRIED = 20
_MEMBERS = {"family", "shared_family", "query"}
# Fraction of queries beyond the score whose draws are judged beside the parameters.
_RARE = 1e-6


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


def judge(
    draws: Arrays, statistics: Arrays, dims: Mapping[str, tuple[str, ...]]
) -> Verdict:
    """Judge draws by R-hat, effective sample size, divergences and energy.

    A hyperparameter or a tail needs R-hat at most 1.01 and 400 effective draws in bulk
    and tail, and so does the score that one query in a million exceeds, where it is
    given among the draws (`extreme_scores`); one family or query among many, R-hat at
    most 1.05 (of many good ones some exceed 1.01 by chance). Standardised offsets are
    means to an end and are left out: what they serve is judged.

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
    # Imported late, as it takes long; by name, as its types are not those it has.
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
        (finite, _NOT_FINITE),
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


@checked_call
@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws from the posterior of one model of one evaluation.

    Parameters
    ----------
    model
        The model file.
    evaluation
        What it was fitted to.
    draws
        Free and derived quantities, with leading axes (chain, draw).
    statistics
        Sampler statistics under ArviZ's names, by (chain, draw).
    data
        The arrays that entered the density, by name: PyMC's constant data.
    dims
        Dims of each quantity and array, after (chain, draw).
    verdict
        Whether the draws represent the posterior.
    provenance
        Model, data, priors, seed, versions and times.
    pointwise
        Log likelihood of each observed cell, where it was asked for.
    """

    model: catalog.Model
    evaluation: Evaluation
    draws: Arrays
    statistics: Numbers
    data: Numbers
    dims: Mapping[str, tuple[str, ...]]
    verdict: Verdict
    provenance: Mapping[str, Any]
    pointwise: Arrays = field(default_factory=dict[str, Array])

    @property
    def name(self) -> str:
        """What tables call it: the name of its model."""
        return self.model.name

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Behaviours that were fitted."""
        return self.evaluation.behaviours

    @property
    def settings(self) -> dict[str, Any]:
        """Priors and thresholds that the model was built with."""
        return catalog.from_plain(self.provenance["priors"])

    @cached_property
    def tree(self) -> "xarray.DataTree":
        """The posterior as an ArviZ `DataTree`.

        Groups ``posterior``, ``sample_stats``, ``constant_data``, ``log_likelihood``
        where it was asked for, and ``evaluation``; provenance and verdict are
        attributes of the root, as JSON.
        """
        import xarray as xr

        groups = {
            "posterior": self._labelled(self.draws, ("chain", "draw")),
            "sample_stats": self._labelled(self.statistics, ("chain", "draw")),
            "constant_data": self._labelled(self.data, ()),
            "evaluation": self.evaluation.to_dataset(),
        }
        if self.pointwise:
            groups["log_likelihood"] = self._labelled(self.pointwise, ("chain", "draw"))
        tree = xr.DataTree.from_dict(groups)
        tree.attrs = {
            "provenance": json.dumps(self.provenance),
            "verdict": json.dumps(asdict(self.verdict)),
        }
        return tree

    def _labelled(self, arrays: Numbers, leading: tuple[str, ...]) -> "xarray.Dataset":
        import xarray as xr

        variables: dict[str, tuple[tuple[str, ...], Array]] = {}
        lengths: dict[str, int] = {}
        for name, values in arrays.items():
            own = self.dims.get(name, ())
            unnamed = range(values.ndim - len(leading) - len(own))
            dims = (*leading, *own, *(f"{name}_dim_{axis}" for axis in unnamed))
            variables[name] = (dims, values)
            lengths |= dict(zip(dims, values.shape, strict=True))
        labels: dict[str, Any] = {
            dim: np.arange(length) for dim, length in lengths.items()
        }
        if "behaviour" in labels:
            labels["behaviour"] = np.array(self.behaviours, dtype=object)
        return xr.Dataset(variables, labels)

    def population(self, behaviour: str | None = None) -> Population:
        """Distribution of a new query's score, draw by draw.

        Parameters
        ----------
        behaviour
            Which behaviour; may be left out if there is one.

        Raises
        ------
        InvalidInput
            If the posterior has no such behaviour, or several and none is named.
        """
        index = self._index(behaviour)
        return population_of(self.model, self.draws, self.data, self.dims, index)

    def of_behaviour(self, behaviour: str | None = None) -> tuple[Arrays, Numbers]:
        """Draws and data of one behaviour, as functions of a model file take them.

        Parameters
        ----------
        behaviour
            Which behaviour; may be left out if there is one.

        Returns
        -------
        Draws whose last axis is the draw, those of all chains in a row, and data.

        Raises
        ------
        InvalidInput
            If the posterior has no such behaviour, or several and none is named.
        """
        index = self._index(behaviour)
        return one_behaviour(self.draws, self.data, self.dims, index)

    def query_risks(
        self,
        query_ids: str | Sequence[str] | None = None,
        *,
        behaviour: str | Sequence[str] | None = None,
        top: int | float = 20,
        successes: ArrayLike | int | float | None = None,
        trials: ArrayLike | int | float | None = None,
        log_risk: ArrayLike | int | float | None = None,
        log_risk_se: ArrayLike | int | float | None = None,
        family: str | Sequence[str] | None = None,
        seed: int = 0,
    ) -> "bayes_rare.querying.QueryRisks":
        """Risks of single queries, drawn given what was seen of each.

        `bayes_rare.querying.query_risks` of this posterior; see there.

        Parameters
        ----------
        query_ids
            Queries by their identity; by default the riskiest as observed.
        behaviour
            Which behaviours, one or several; by default all.
        top
            How many of the riskiest of each behaviour, at most.
        successes, trials
            Outcomes of queries of one behaviour, in place of those observed.
        log_risk, log_risk_se
            Estimates with standard errors, in place of successes and trials.
        family
            Families of the queries whose outcomes are given, one for all or one each.
        seed
            Seed of the draws, a whole number from 0.
        """
        # A room above this one, so imported when it is called.
        from bayes_rare.querying import query_risks

        return query_risks(
            self,
            query_ids,
            behaviour=behaviour,
            top=top,
            successes=successes,
            trials=trials,
            log_risk=log_risk,
            log_risk_se=log_risk_se,
            family=family,
            seed=seed,
        )

    def thinned(self, most: int) -> "Posterior":
        """The posterior with every k-th draw of each chain: few enough are left.

        Neighbours in a chain say nearly the same.

        Parameters
        ----------
        most
            How many draws may be left, of all chains together.
        """
        chains, draws = next(iter(self.draws.values())).shape[:2]
        step = math.ceil(draws / max(most // chains, 1))
        if step == 1:
            return self
        kept = {name: values[:, ::step] for name, values in self.draws.items()}
        return replace(self, draws=kept)

    def _index(self, behaviour: str | None) -> int:
        if behaviour is None and len(self.behaviours) == 1:
            return 0
        if behaviour not in self.behaviours:
            raise InvalidInput(
                f"this posterior has no behaviour {behaviour!r}. It has: "
                f"{listed(self.behaviours)}."
            )
        return self.behaviours.index(behaviour)

    def pymc_model(self) -> "pymc.Model":
        """The PyMC model that was sampled, for other samplers and predictive draws.

        Where a bound of the data enters as a `pm.Potential`, as in gpd_tail, draws from
        PyMC's prior leave it out and PyMC says so: ``posterior.model.simulate`` draws
        from the prior as it is meant.

        Its observed variables are cells, which stand for several queries each, in rows
        that are padded with zeros. To hold predictive draws against what was observed,
        take `bayes_rare.posterior_predictive`.
        """
        return self.model.build(self.evaluation, **self.settings)

    def require_convergence(self, advice: str = "") -> "Posterior":
        """Return the posterior itself, or refuse it if its draws cannot be trusted.

        Raises
        ------
        NotConverged
            With the reasons.
        """
        if not self.verdict.converged:
            raise NotConverged(
                f"the fit of {self.model.name} did not converge: "
                f"{'; '.join(self.verdict.reasons)}. Sample longer (--warmup 2000 "
                "--draws 2000), fit the behaviours one by one (--behaviours), or "
                f"choose another model. {advice}".strip()
            )
        return self

    def save(self, path: str | Path) -> Path:
        """Write the posterior as NetCDF; the file appears whole or not at all."""
        path = Path(path)
        write_tree(self.tree, path)
        return path

    def __repr__(self) -> str:
        chains, draws = next(iter(self.draws.values())).shape[:2]
        state = "converged" if self.verdict.converged else "NOT CONVERGED"
        return (
            f"Posterior of {self.model.name} for {len(self.behaviours)} behaviour"
            f"{'s'[: len(self.behaviours) != 1]}: {chains} chains of {draws} draws, "
            f"{state} (R-hat {self.verdict.max_rhat:.3f}, effective sample size "
            f"{self.verdict.min_ess:.0f}, {self.verdict.divergences} divergences)."
        )


def population_of(
    model: catalog.Model,
    draws: Arrays,
    data: Numbers,
    dims: Mapping[str, tuple[str, ...]],
    index: int,
) -> Population:
    """Distribution of a new query's score for one behaviour, draw by draw.

    Parameters
    ----------
    model
        The model file.
    draws
        Quantities with leading axes (chain, draw), which become one, the last.
    data
        The arrays that entered the density.
    dims
        Dims of each, after (chain, draw).
    index
        Which behaviour.
    """
    return model.population(*one_behaviour(draws, data, dims, index))


def one_behaviour(
    draws: Arrays, data: Numbers, dims: Mapping[str, tuple[str, ...]], index: int
) -> tuple[Arrays, Numbers]:
    """One behaviour's draws, with (chain, draw) as the last axis, and its data.

    Parameters
    ----------
    draws, data, dims, index
        As of `population_of`.
    """
    return (
        {
            name: _of_behaviour(values, dims.get(name, ()), index, leading=2)
            for name, values in draws.items()
        },
        {
            name: _of_behaviour(values, dims.get(name, ()), index, leading=0)
            for name, values in data.items()
        },
    )


def _of_behaviour(
    values: np.ndarray, dims: tuple[str, ...], index: int, *, leading: int
) -> Array:
    """One behaviour's part of an array; its leading axes as one, the last."""
    if "behaviour" in dims:
        axis = dims.index("behaviour") + leading
        values = np.asarray(values.take(index, axis=axis))
    if not leading:
        return values
    return np.moveaxis(values.reshape(-1, *values.shape[leading:]), 0, -1)


def extreme_scores(
    model: catalog.Model,
    draws: Arrays,
    data: Numbers,
    dims: Mapping[str, tuple[str, ...]],
    behaviours: tuple[str, ...],
) -> dict[str, Array]:
    """Score that one query in a million exceeds, as draws by (chain, draw) to judge.

    It is what forecasts rest on, and may mix worse than any parameter of the tail.
    """
    shape = next(iter(draws.values())).shape[:2]
    return {
        f"extreme score of {name}": np.minimum(
            population_of(model, draws, data, dims, index).quantile(math.log(_RARE)),
            np.finfo(np.float64).max,  # a score may be infinite, where the risk is 1
        ).reshape(shape)
        for index, name in enumerate(behaviours)
    }


def posterior_of(
    tree: "xarray.DataTree", path: Path, files: Mapping[str, Source]
) -> Posterior:
    """The posterior that a tree of `Posterior.tree` holds.

    Parameters
    ----------
    tree
        The tree.
    path
        Where it is from, for messages.
    files
        Files of models that the user named, by digest.

    Raises
    ------
    InvalidData
        If it holds no posterior of this package, or what cannot be.
    NoSuchModel
        If the model's file is gone or not named, or is no longer the one that was
        fitted.
    """
    if "provenance" not in tree.attrs or "posterior" not in tree:
        raise InvalidData(
            f"{path} holds no posterior of this package: its attribute `provenance` is "
            "missing. Give a file that `bayes-rare fit` wrote."
        )
    try:
        return _posterior_of(tree, path, files)
    except Damaged as error:
        raise InvalidData(
            f"{path} is damaged: {error}. Take a copy that is whole, or fit again."
        ) from error


def _posterior_of(
    tree: "xarray.DataTree", path: Path, files: Mapping[str, Source]
) -> Posterior:
    provenance = checked_provenance(tree.attrs)
    verdict = _verdict_of(json_of(tree.attrs, "verdict", dict))
    evaluation = _evaluation_of(tree, provenance)
    names = evaluation.behaviours
    # What did not converge is marked, and may hold draws that are not finite.
    finite = _NOT_FINITE not in verdict.reasons
    draws = {"sampled": True, "whole": False}
    groups = {
        "posterior": arrays_of(tree, "posterior", names, finite=finite, **draws),
        "sample_stats": arrays_of(tree, "sample_stats", names, sampled=True),
        "constant_data": arrays_of(tree, "constant_data", names, sampled=False),
        "log_likelihood": arrays_of(tree, "log_likelihood", names, **draws)
        if "log_likelihood" in tree.children
        else {},
    }
    recorded = provenance["model"]
    model = catalog.recalled(
        recorded["path"] or recorded["name"],
        recorded["digest"],
        files,
        what=str(path),
        changed=f"{path} was fitted with another version of {{model}}",
        again="Fit again",
        call=f"load_posterior({path.name!r}, model_file={{model}})",
        version=provenance["versions"]["bayes-rare"],
    )
    made = Posterior(
        model=model,
        evaluation=evaluation,
        draws={name: values for name, (_, values) in groups["posterior"].items()},
        statistics={n: values for n, (_, values) in groups["sample_stats"].items()},
        data={name: values for name, (_, values) in groups["constant_data"].items()},
        dims={
            name: dims for found in groups.values() for name, (dims, _) in found.items()
        },
        verdict=verdict,
        provenance=provenance,
        pointwise={n: values for n, (_, values) in groups["log_likelihood"].items()},
    )
    _refuse_useless(made, finite)
    return made


def _verdict_of(recorded: Mapping[str, Any]) -> Verdict:
    """The verdict that a file has, whose numbers and reasons agree."""
    reasons = recorded.get("reasons")
    if not isinstance(reasons, list):
        raise Damaged("its verdict has no reasons")
    texts = [reason for reason in cast("list[Any]", reasons) if isinstance(reason, str)]
    if len(texts) < len(cast("list[Any]", reasons)):
        raise Damaged("its verdict has reasons that are no text")
    kinds = {
        one.name: int if one.name in ("divergences", "transitions") else float
        for one in fields(Verdict)
        if one.name != "reasons"
    }
    verdict = Verdict(**numbers_of(recorded, kinds), reasons=tuple(texts))
    if not 0 <= verdict.divergences <= verdict.transitions or not verdict.transitions:
        raise Damaged("its verdict counts what cannot be")
    sound = (
        verdict.max_rhat <= RHAT_LIMIT
        and verdict.max_member_rhat <= MEMBER_RHAT_LIMIT
        and verdict.min_ess >= ESS_LIMIT
        and verdict.divergence_share <= DIVERGENCE_LIMIT
        and verdict.min_bfmi > BFMI_LIMIT
    )
    if verdict.converged and not sound:
        raise Damaged("its verdict has numbers that are no sound fit's, and no reason")
    return verdict


def _evaluation_of(
    tree: "xarray.DataTree", provenance: Mapping[str, Any]
) -> Evaluation:
    """The evaluation that a file has, if it is the one that was fitted."""
    if "evaluation" not in tree.children:
        raise Damaged("its group evaluation is missing")
    try:
        evaluation = Evaluation.from_dataset(tree["evaluation"].to_dataset())
        digest = evaluation.digest
    except (InvalidData, InvalidInput) as error:
        raise Damaged(f"its evaluation cannot be read: {str(error)[:200]}") from error
    if digest != provenance["data"]:
        raise Damaged("its evaluation is not the one that was fitted")
    return evaluation


def _refuse_useless(made: Posterior, finite: bool) -> None:
    """Refuse draws that the model makes nothing of."""
    chains = {values.shape[:2] for values in made.draws.values()}
    if len(chains) > 1:
        raise Damaged("its draws differ in number")
    try:
        settings = made.model.settings(**made.settings)
        population = made.thinned(_TRIED).population(made.behaviours[0])
        level = np.asarray(population.quantile(math.log(_RARE)), np.float64)
    except Exception as error:  # whatever a model makes of what is not its own
        reason = " ".join(str(error).split())
        raise Damaged(
            f"the model makes nothing of its draws ({reason[:150]})"
        ) from error
    if settings.keys() != made.settings.keys():
        raise Damaged("its provenance has not all settings of its model")
    if finite and np.isnan(level).any():
        raise Damaged("the model makes no forecast of its draws")
