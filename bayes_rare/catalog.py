"""The shipped models, and yours: each is one Python file, read by its path.

A model file defines ``build(evaluation, **priors) -> pm.Model`` and
``population(draws, data) -> Population``, and says in ``ACCEPTS`` what kinds of outcome
it takes. ``observe(evaluation, ...)``, the arrays that enter the density, saves a batch
the building of a PyMC model for each data set; ``simulate`` runs the story forwards.
Where a query's risk is latent, it is drawn from a population of steps and a tail and
what was seen of the query; ``recorded(draws)`` says how a judge errs, and a file with
another population draws for itself with ``query_scores(rng, draws, data, successes,
trials)``.
"""

import ast
import hashlib
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, wraps
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from bayes_rare.arguments.checking import SAMPLING
from bayes_rare.arguments.near_words import nearby, no_file, shown
from bayes_rare.errors import BayesRareError, InvalidInput, NoSuchModel, listed

__all__ = [
    "FOLDER",
    "Model",
    "ModelFiles",
    "Source",
    "from_plain",
    "load",
    "named_files",
    "names",
    "plain",
    "recalled",
    "refuse_unused",
    "setting",
    "summaries",
]

type ModelFiles = str | Path | Sequence[str | Path] | None
"""The file of a model of the user's own, or several; None for none."""


@dataclass(frozen=True)
class Source:
    """A Python file as it was when it was read.

    Parameters
    ----------
    path
        Where it lay, absolute.
    content
        Its bytes.
    """

    path: Path
    content: bytes = field(repr=False)

    @classmethod
    def read(cls, path: str | Path) -> "Source":
        """The file at a path; it is not run.

        Raises
        ------
        NoSuchModel
            If there is none, or it cannot be read.
        """
        try:
            found = Path(path).resolve()
            return cls(found, found.read_bytes())
        except FileNotFoundError as error:
            raise NoSuchModel(f"{no_file(path)} Give a path that exists.") from error
        except (OSError, ValueError) as error:
            raise NoSuchModel(
                f"{str(path)[:200]!r} cannot be read as a file: "
                f"{getattr(error, 'strerror', None) or error}. Give the path of a "
                "Python file."
            ) from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def summary(self) -> str:
        """First line of the docstring; the file is not run."""
        tree = ast.parse(self.content, filename=str(self.path))
        return (ast.get_docstring(tree) or "").partition("\n")[0]

    def run(self) -> dict[str, Any]:
        """What the file defines, by name: its content is run."""
        name = f"bayes_rare_file_{self.digest[:16]}"
        module = ModuleType(name)
        module.__file__ = str(self.path)
        code = compile(self.content, str(self.path), "exec", dont_inherit=True)
        sys.modules[name] = module  # where a dataclass looks its annotations up
        try:
            exec(code, vars(module))
        finally:
            sys.modules.pop(name, None)
        return vars(module)


def named_files(model_file: ModelFiles) -> dict[str, Source]:
    """The files that a user names, by digest.

    Parameters
    ----------
    model_file
        A path, several, or None.

    Raises
    ------
    NoSuchModel
        If there is no such file.
    InvalidInput
        If it is no path of a Python file.
    """
    if model_file is None:
        return {}
    given: list[Any] = (
        [*model_file]
        if isinstance(model_file, Sequence) and not isinstance(model_file, str)
        else [model_file]
    )
    found: dict[str, Source] = {}
    for one in given:
        if not isinstance(one, str | Path) or not str(one).endswith(".py"):
            raise InvalidInput(
                "model_file is the path of a Python file, ending in .py, or several; "
                f"got {str(one)[:200]!r}."
            )
        source = Source.read(one)
        found[source.digest] = source
    return found


def refuse_unused(files: dict[str, Source], digests: Iterable[str], what: str) -> None:
    """Refuse a named file that no model of the saved data uses.

    Parameters
    ----------
    files
        The files, by digest.
    digests
        SHA-256 of the models' files.
    what
        What has these models, for the message.

    Raises
    ------
    InvalidInput
        If one is of none.
    """
    known = set(digests)
    for digest, source in files.items():
        if digest not in known:
            raise InvalidInput(
                f"{source.path.name} (SHA-256 {digest[:12]}) is not the file of any "
                f"model of {what}. Leave it out of model_file, or name the file as it "
                "was."
            )


_PACKAGE = Path(str(files("bayes_rare")))

_INSTALLED, _CHECKOUT = _PACKAGE / "models", _PACKAGE.parent / "models"

FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""Where the shipped models lie: in the package in a wheel, at the root in a clone."""

_REQUIRED = ("build", "population")

# What a population is asked, as `bayes_rare.populations.Population` has it.
_ASKED = ("draws", "log_survival", "quantile", "mean", "mean_failure")

_KINDS = ("exact", "counts", "estimates")

# Words that stand for a value where a setting is written as text.
_WORDS = {"true": True, "false": False, "none": None, "null": None}


@dataclass(frozen=True)
class Model:
    """A generative model, read from one file.

    Parameters
    ----------
    path
        The file.
    digest
        SHA-256 of the file, so that a stored posterior names the program that made it.
    summary
        First line of the file's docstring.
    accepts
        Kinds of outcome it takes: ``"exact"``, ``"counts"``.
    scope
        What the file defines.
    source
        The file as it was when it ran.
    """

    path: Path
    digest: str
    summary: str
    accepts: frozenset[str]
    scope: dict[str, Any] = field(compare=False, repr=False)
    source: Source = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def shipped(self) -> bool:
        """Whether it comes with the package: then its name is enough to find it."""
        return self.path.parent == FOLDER.resolve()

    @property
    def build(self) -> Callable[..., Any]:
        """From an evaluation to a PyMC model."""
        return _guarded(self.path, self.scope["build"])

    @property
    def population(self) -> Callable[..., Any]:
        """From the draws and data of one behaviour to its population of scores."""
        function = _guarded(self.path, self.scope["population"])

        def population(*arguments: Any) -> Any:
            made = function(*arguments)
            missing = [word for word in _ASKED if not hasattr(made, word)]
            if missing:
                raise NoSuchModel(
                    f"{self.path}: population returned {shown(made)} "
                    f"({type(made).__name__}), which has no {missing[0]}; it should be "
                    "a distribution of scores. Return one of bayes_rare.populations, "
                    "such as Normal(mean, sd), or an object with "
                    f"{', '.join(_ASKED)}: see {FOLDER / 'gumbel_tail.py'}."
                )
            return made

        return population

    @property
    def observe(self) -> Callable[..., Any] | None:
        """From an evaluation to the arrays of the density, where the file says it."""
        return self._optional("observe")

    @property
    def simulate(self) -> Callable[..., Any]:
        """From a random generator and a design to parameters and an evaluation."""
        if "simulate" not in self.scope:
            raise NoSuchModel(
                f"{self.path.name} defines no simulate(rng, design); to simulate from "
                f"it, add one: see {FOLDER / 'gumbel_tail.py'}."
            )
        return self.scope["simulate"]

    @property
    def recorded(self) -> Callable[..., Any] | None:
        """From the draws of one behaviour to how its judge errs, where the file says.

        The chance that a response that does not show the behaviour is recorded as
        showing it, and that one that does is: false-positive rate and sensitivity.
        """
        return self._optional("recorded")

    @property
    def query_scores(self) -> Callable[..., Any] | None:
        """From outcomes of queries to draws of their scores, where the file makes them.

        Takes a random generator, draws and data of one behaviour as ``population``
        does, successes and trials; gives scores by (query, draw).
        """
        return self._optional("query_scores")

    def _optional(self, name: str) -> Callable[..., Any] | None:
        function = self.scope.get(name)
        return None if function is None else _guarded(self.path, function)

    @property
    def min_exceedances(self) -> int:
        """Scores above a threshold that the model needs; 0 if it needs none."""
        return self.scope.get("MIN_EXCEEDANCES", 0)

    @property
    def reference_only(self) -> bool:
        """Whether it is there to check other models by, too slow for anything else."""
        return bool(self.scope.get("REFERENCE_ONLY", False))

    @property
    def sized_by(self) -> tuple[str, ...]:
        """Names of the data whose shapes set how many unknowns there are."""
        return tuple(self.scope.get("SIZED_BY", ()))

    @property
    def dense_mass(self) -> bool:
        """Whether the sampler learns how all unknowns vary together.

        It pays where a few unknowns are correlated; past `inference.nuts.MOST_DENSE` of
        them each is scaled by itself whatever the file says.
        """
        return bool(self.scope.get("DENSE_MASS", False))

    @property
    def pointwise(self) -> dict[str, str] | None:
        """Multiplicities by observed variable whose log likelihood is kept by cell.

        Names of the data that say how many queries each cell stands for; None where
        the file does not say, and every observed variable is kept.
        """
        return self.scope.get("POINTWISE")

    @property
    def defaults(self) -> dict[str, Any]:
        """Keyword arguments of ``build`` and their defaults: priors and thresholds."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.build).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }

    def settings(self, **given: Any) -> dict[str, Any]:
        """Keyword arguments of ``build``: the given ones, and the defaults of others.

        Giving one of ``exceedances``, ``fraction`` and ``threshold`` unsets the others.

        Raises
        ------
        InvalidInput
            If the model has no argument of a given name, or its value is of another
            kind than the default: a standard deviation or spread that is not positive,
            a number that is not one.
        """
        settings = self.defaults
        unknown = sorted(set(given) - set(settings))
        if unknown:
            raise InvalidInput(
                f"model {self.name} has no prior {shown(unknown[0])}. "
                f"{nearby(unknown[0], [*settings, *SAMPLING])}It has: "
                f"{listed(settings)}."
            )
        given = {
            name: _checked(self.name, name, value, settings[name])
            for name, value in given.items()
        }
        choices = {"exceedances", "fraction", "threshold"}
        if choices & {name for name, value in given.items() if value is not None}:
            settings |= dict.fromkeys(choices & set(settings))
        return settings | given

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process runs the same source, even if the file has changed since.
        return _run, (self.source,)


def _guarded(path: Path, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a model file, with errors that name the file and the function."""

    @wraps(function)
    def guarded(*arguments: Any, **settings: Any) -> Any:
        try:
            return function(*arguments, **settings)
        except BayesRareError:
            raise
        except (Exception, SystemExit) as error:
            raise NoSuchModel(
                f"{path}: {function.__name__} failed with {type(error).__name__}: "
                f"{error}. Correct the file; one that works is "
                f"{FOLDER / 'gumbel_tail.py'}."
            ) from error

    return guarded


def _checked(model: str, name: str, value: Any, default: Any) -> Any:
    """A setting, checked to have the type of its default."""
    value = cast("Any", value.item()) if isinstance(value, np.generic) else value
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        raise InvalidInput(
            f"{name} of {model} is a switch, got {value!r}. Give {name}=true or "
            f"{name}=false."
        )
    if not isinstance(default, float):
        if isinstance(value, bool):
            raise InvalidInput(
                f"{name} of {model} is not a switch, got {value!r}. Its default is "
                f"{default}."
            )
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(
            f"{name} of {model} is a number, got {value!r}. Its default is {default}."
        )
    if abs(value) > sys.float_info.max and value not in (math.inf, -math.inf):
        raise InvalidInput(
            f"{name} of {model} is too large a number to compute with. Its default is "
            f"{default}."
        )
    positive = name.endswith(("_sd", "_spread"))
    finite = math.isfinite(value) or (value == math.inf and name.endswith("_sd"))
    if not finite or (positive and value <= 0):
        kind = "a positive number" if positive else "a finite number"
        raise InvalidInput(
            f"{name} of {model} is {kind}, got {value}. Its default is {default}."
        )
    return float(value)


def setting(name: str, text: str) -> Any:
    """The value of a setting that was written as text: a number, a switch or none.

    Parameters
    ----------
    name
        Name of the setting, for the refusal.
    text
        A number, ``inf``, ``true``, ``false`` or ``none``.

    Raises
    ------
    InvalidInput
        If it is none of these.

    Examples
    --------
    A count may be written as 1e2; a value with a point stays what it is:

    >>> setting("exceedances", "1e2"), setting("shape_sd", "2.0")
    (100, 2.0)
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise InvalidInput(
            f"{name}={text}: a value is a number, inf, true, false or none."
        )
    whole = "." not in text and number.is_integer()
    return int(number) if whole else number


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for JSON: infinity as text."""
    return {
        name: str(value) if value in (math.inf, -math.inf) else value
        for name, value in settings.items()
    }


def from_plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `plain`."""
    return {
        name: float(value) if value in ("inf", "-inf") else value
        for name, value in settings.items()
    }


def names() -> list[str]:
    """Names of the shipped models, sorted."""
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


def summaries() -> dict[str, str]:
    """First line of each shipped model's docstring, by name; runs none of the files."""
    return {name: Source.read(FOLDER / f"{name}.py").summary for name in names()}


def load(model: str | Path) -> Model:
    """Read a model: the name of a shipped one, or the path of a file of yours.

    The file runs. A name that comes from data is for `recalled`, not for this.

    Parameters
    ----------
    model
        A name of `names`, or a path that ends in ``.py``.

    Raises
    ------
    NoSuchModel
        If there is no such file, or it does not define what a model must.
    """
    named = str(model)
    if named.endswith(".py") and os.path.exists(named):  # noqa: PTH110 any name will do
        return _run(Source.read(named))
    if named in names():
        return _run(Source.read(FOLDER / f"{named}.py"))
    if named.endswith(".py"):
        raise NoSuchModel(
            f"no model {shown(named)}: {no_file(named)} Shipped models are "
            f"{', '.join(names())}."
        )
    raise NoSuchModel(
        f"no model {shown(named)}. {nearby(named, names())}Shipped: "
        f"{', '.join(names())}. For a file of yours, give its path, ending in .py."
    )


def recalled(
    name: str,
    digest: str,
    files: Mapping[str, Source],
    *,
    what: str,
    changed: str,
    again: str,
    call: str,
    version: str = "",
) -> Model:
    """The model that a saved file names, if the model file has not changed.

    A model file is run only after its digest has been compared, and only if it is
    shipped or named by the user, never because the data name it.

    Parameters
    ----------
    name
        Name of a shipped model, or the path at which a user's own file lay.
    digest
        SHA-256 of the model's file.
    files
        Files that the user names, by digest.
    what
        What is of this model, for messages.
    changed
        What it means that the digest differs; "{model}" stands for the model.
    again
        How to do without the model as it was.
    call
        A call that names the file; "{model}" stands for it.
    version
        Version of this package that made the data, if that is known.

    Raises
    ------
    NoSuchModel
        If it is not there, or no longer what it was.
    """
    if digest in files:
        return _run(files[digest])
    own = name.endswith(".py")
    # A path of another system may part its folders by backslashes.
    shown = re.sub(r"[^\w .+-]", "?", re.split(r"[/\\]", name)[-1])[-60:]
    was = re.sub(r"[^0-9a-f]", "?", digest)[:12]
    changed = changed.replace("{model}", shown)
    if own and files:
        given = ", ".join(f"{one.path.name} is {d[:12]}" for d, one in files.items())
        raise NoSuchModel(
            f"{changed}: its SHA-256 was {was}, and {given[:150]}. "
            f"{again}, or name the file as it was."
        )
    if own:
        raise NoSuchModel(
            f"{what} was made with a model file of somebody's own, {shown} (SHA-256 "
            f"{was}). A file is not run because data name it. If you trust this one, "
            f"name it yourself: --model-file {shown}, or "
            f"{call.replace('{model}', repr(shown))}."
        )
    if name not in names():
        raise NoSuchModel(
            f"{what} was made with the model {name[:60]!r}, and no shipped model has "
            "that name. "
            f"Shipped: {', '.join(names())}. {again}."
        )
    source = Source.read(FOLDER / f"{name}.py")
    if source.digest == digest:
        return _run(source)
    known = re.fullmatch(r"\d[\w.+!-]{0,30}", version)
    way = f"version that made it: pip install bayes-rare=={version}"
    raise NoSuchModel(
        f"{changed.replace('{model}', shown)}: its SHA-256 was {was}, and that of this "
        f"version is {source.digest[:12]}. {again}, or install the "
        f"{way if known else 'version of bayes_rare that made it'}."
    )


@lru_cache(maxsize=64)
def _run(source: Source) -> Model:
    """The model that a file defines; run again when its content changes."""
    path = source.path
    try:
        scope = source.run()
        summary = source.summary
    except (Exception, SystemExit) as error:
        raise NoSuchModel(
            f"{path} cannot be read as a model: {type(error).__name__}: {error}. Run "
            f"it with Python to see where; one that works is "
            f"{FOLDER / 'gumbel_tail.py'}."
        ) from error
    missing = [name for name in _REQUIRED if not callable(scope.get(name))]
    if missing:
        raise NoSuchModel(
            f"{path} defines no function {missing[0]}; a model file defines "
            f"{' and '.join(_REQUIRED)}: see {FOLDER / 'gumbel_tail.py'}."
        )
    _check_words(path, scope)
    accepts = frozenset(scope.get("ACCEPTS", {"exact"}))
    return Model(path, source.digest, summary, accepts, scope, source)


def _check_words(path: Path, scope: Mapping[str, Any]) -> None:
    """Refuse a model file whose declarations, such as ``ACCEPTS``, are invalid."""
    accepts: Any = scope.get("ACCEPTS", {"exact"})
    pointwise: Any = scope.get("POINTWISE", {})
    said = {
        "ACCEPTS": (
            isinstance(accepts, set | frozenset | tuple | list)
            and len(cast("Any", accepts)) > 0
            and all(kind in _KINDS for kind in cast("Any", accepts)),
            f"a set of kinds of outcome, of {', '.join(_KINDS)}",
        ),
        "MIN_EXCEEDANCES": (
            isinstance(scope.get("MIN_EXCEEDANCES", 0), int),
            "a whole number: 5",
        ),
        "SIZED_BY": (
            isinstance(scope.get("SIZED_BY", ()), tuple | list),
            "a tuple of names of data",
        ),
        "POINTWISE": (
            pointwise is None or isinstance(pointwise, Mapping),
            "a dict from observed variables to the data that count their queries",
        ),
    }
    for name, (good, wanted) in said.items():
        if not good:
            raise NoSuchModel(
                f"{path} has {name} = {shown(scope[name])}; it must be {wanted}."
            )
    try:
        inspect.signature(scope["build"])
    except ValueError as error:
        raise NoSuchModel(
            f"{path}: build is {shown(scope['build'])}, whose arguments cannot be "
            "read. Define it by `def build(evaluation, *, ...)`: see "
            f"{FOLDER / 'gumbel_tail.py'}."
        ) from error
