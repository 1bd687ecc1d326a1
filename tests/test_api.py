"""The public names: there, documented, and cheap to import."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import bayes_rare

ROOT = Path(__file__).parents[1]
HEAVY = ("arviz", "duckdb", "jax", "matplotlib", "numpyro", "pandas", "pymc", "xarray")


def modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(bayes_rare.__path__, "bayes_rare.")
    return [importlib.import_module(module.name) for module in found]


def public() -> dict[str, Any]:
    """Functions and classes of all modules that name them in ``__all__``."""
    return {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in modules()
        for name in getattr(module, "__all__", ())
        if inspect.isfunction(getattr(module, name))
        or inspect.isclass(getattr(module, name))
    }


def documented_parameters(docstring: str) -> set[str]:
    """Names in the section Parameters of a numpydoc docstring."""
    section = re.search(
        r"^Parameters\n-{10}\n(.*?)(?=^\w[^\n]*\n-{3,}\n|\Z)",
        inspect.cleandoc(docstring),
        re.MULTILINE | re.DOTALL,
    )
    if section is None:
        return set()
    heads = re.findall(r"^(\S[^\n]*)$", section[1], re.MULTILINE)
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


def parameters_of(item: Any) -> set[str]:
    if inspect.isclass(item) and issubclass(item, BaseException | dict):
        return set()  # a message, or keys with types
    names = inspect.signature(item).parameters
    return {name for name in names if name not in {"self", "_"}}


@cache
def offered() -> set[Any]:
    """What a folder exports, or the documentation of the interface has a page of."""
    pages = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split()
    shown = [m for m in modules() if hasattr(m, "__path__") or m.__name__ in pages]
    names = [getattr(m, name) for m in shown for name in getattr(m, "__all__", ())]
    return {item for item in names if inspect.isclass(item)}


def is_offered(item: Any) -> bool:
    return item in offered()


def faults(name: str, item: Any) -> list[str]:
    """What a docstring lacks.

    One without a section may explain itself in a line; but a class that is offered
    explains each of its fields.
    """
    docstring = inspect.getdoc(item) or ""
    summary = docstring.partition("\n")[0]
    found = [] if summary.endswith((".", ":")) else [f"{name}: no summary"]
    given, explained = parameters_of(item), documented_parameters(docstring)
    found += [f"{name}: {extra} is no parameter" for extra in explained - given]
    for base in item.__mro__[1:] if inspect.isclass(item) else ():
        given = given - documented_parameters(base.__doc__ or "")  # told there
    if explained or (inspect.isclass(item) and is_offered(item)):
        found += [f"{name}: {missing} is not told" for missing in given - explained]
    return found


def methods(name: str, item: type) -> dict[str, Any]:
    return {
        f"{name}.{word}": getattr(item, word)
        for word, value in vars(item).items()
        if not word.startswith("_")
        if inspect.isfunction(value) or isinstance(value, classmethod)
        if not inspect.isabstract(item) or value.__doc__
    }


def test_every_public_name_is_there() -> None:
    assert bayes_rare.__all__ == sorted(bayes_rare.__all__)
    for name in bayes_rare.__all__:
        item = getattr(bayes_rare, name)
        assert item.__name__ == name
        assert item.__module__.startswith("bayes_rare.")


def test_each_verb_documents_all_its_parameters() -> None:
    """The front door: here a line is not enough."""
    for name in bayes_rare.__all__:
        item = getattr(bayes_rare, name)
        docstring = inspect.getdoc(item) or ""
        if "are those of `fit`" in docstring:
            continue
        assert parameters_of(item) <= documented_parameters(docstring), name


def test_docstrings_say_what_is_there() -> None:
    found: list[str] = []
    for name, item in public().items():
        found += faults(name, item)
        if inspect.isclass(item):
            for method, function in methods(name, item).items():
                if function.__doc__:
                    found += faults(method, function)
    assert not found, "\n".join(found)


def test_that_faults_would_be_found() -> None:
    def undocumented(one: int, two: int) -> None:
        """Summary without an end

        Parameters
        ----------
        one
            There.
        three
            Not there.

        Raises
        ------
        ValueError
            Never.
        """
        del one, two

    assert sorted(faults("f", undocumented)) == [
        "f: no summary",
        "f: three is no parameter",
        "f: two is not told",
    ]


def test_every_module_names_what_it_offers() -> None:
    for module in modules():
        source = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        assert ast.get_docstring(source), module.__name__
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{module.__name__}.{name}"


def test_dir_lists_the_public_names() -> None:
    listed = dir(bayes_rare)
    assert set(bayes_rare.__all__) <= set(listed)
    assert "__version__" in listed


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"bayes_rare.*no attribute 'forcast'"):
        bayes_rare.forcast  # noqa: B018
    assert not hasattr(bayes_rare, "forcast")


def test_type_checkers_see_what_is_imported_late() -> None:
    """The names under TYPE_CHECKING are those that ``__getattr__`` answers."""
    source = ast.parse(Path(bayes_rare.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for block in source.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if node.module != "typing"
    }
    homes = bayes_rare._HOMES
    assert seen == {name: f"bayes_rare.{home}" for name, home in homes.items()}
    assert set(bayes_rare.__all__) == set(homes)


def modules_after(program: str) -> set[str]:
    answer = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(answer.stdout.split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert not modules_after("import bayes_rare") & set(HEAVY)
    # And the check can fail.
    assert "pandas" in modules_after(
        "import bayes_rare; bayes_rare.sample_evaluation(10)"
    )
