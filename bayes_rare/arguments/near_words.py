"""Helpers for messages: a value in short, a similar word, a similar file name."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from reprlib import Repr
from typing import Any

from bayes_rare.errors import shortened

__all__ = ["nearby", "no_file", "shown"]

# Names that other samplers use, and ours.
_ELSEWHERE = {
    "tune": "warmup",
    "num_warmup": "warmup",
    "n_tune": "warmup",
    "burn_in": "warmup",
    "num_samples": "draws",
    "samples": "draws",
    "n_samples": "draws",
    "iter": "draws",
    "num_chains": "chains",
    "n_chains": "chains",
    "random_seed": "seed",
    "random_state": "seed",
    "rng": "seed",
    "rng_key": "seed",
    "chain_method": "way",
    "callback": "progress",
    "hdi_prob": "interval",
    "ci_prob": "interval",
    "credible_interval": "interval",
    "n_queries": "queries",
    "size": "queries",
    "threshold": "risk_threshold",
    "thresholds": "risk_thresholds",
    "quantiles": "levels",
}
_NOT_NEEDED = {
    **dict.fromkeys(
        ("progressbar", "progress_bar"),
        "progress=function is called with the number of chains done",
    ),
    "target_accept": "it is 0.9, and 0.99 is tried if there are divergences",
    "max_treedepth": "it is set by the sampler",
    **dict.fromkeys(("cores", "blas_cores", "n_jobs"), "chains share all cores"),
    "nuts_sampler": "NumPyro samples all models",
    "step": "NUTS samples all models",
    **dict.fromkeys(
        ("init", "initvals"), "chains start at the initial point of the model"
    ),
    "return_inferencedata": "posterior.tree is what ArviZ reads",
    "idata_kwargs": "log_likelihood=True keeps what LOO needs",
    "compute_convergence_checks": "posterior.verdict has them",
    "discard_tuned_samples": "warm-up draws are always discarded",
    **dict.fromkeys(
        ("model_kwargs", "priors"),
        "give settings of the model as keyword arguments: shape_sd=0.2",
    ),
}

_REPR = Repr(maxstring=60, maxother=60, maxlong=40, maxlist=4, maxtuple=4, maxdict=3)


def shown(value: Any) -> str:
    """The repr of any value, in at most 90 characters."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a whole number of {round(value.bit_length() * 0.30103):,} digits"
    try:
        text = _REPR.repr(value)
    except Exception:  # the value's own repr fails
        text = f"a value of type {type(value).__name__}"
    text = " ".join(text.split()).encode("utf-8", "replace").decode()
    return text if len(text) <= 90 else f"{text[:60]}...{text[-20:]}"


def nearby(word: str, known: Iterable[str]) -> str:
    """A sentence that names the word that was probably meant, if any.

    Examples
    --------
    >>> nearby("tune", ["chains", "warmup"])
    "'tune' is called 'warmup' here. "
    >>> nearby("sed", ["seed"])
    "Did you mean 'seed'? "
    """
    names = [*known]
    meant = _ELSEWHERE.get(word)
    if meant in names:
        return f"{word!r} is called {meant!r} here. "
    if word in _NOT_NEEDED:
        return f"Leave {word!r} out: {_NOT_NEEDED[word]}. "
    close = difflib.get_close_matches(word[:60], names, 1)
    return f"Did you mean {close[0]!r}? " if close else ""


def no_file(path: str | Path) -> str:
    """A sentence that a file does not exist, with similar names in its folder."""
    place = Path(path)
    said = f"there is no file {shortened(place, 200)}."
    try:
        there = [each.name for each in place.parent.iterdir()]
    except (OSError, ValueError):
        return f"{said} There is no folder {shortened(place.parent, 100)} either."
    close = difflib.get_close_matches(place.name, there, 3)
    like = " or ".join(shortened(name, 60) for name in close)
    return f"{said} Did you mean {like}?" if like else said
