"""Pages made from files outside this folder, before each build.

``models/*.py`` become a page each: the story, what the model accepts, its options and
priors, and its source, read as text; and a picture of its prior, for which it is run.
``examples/*.py`` become the tutorials.
"""

import ast
import os
from pathlib import Path
from typing import Any

from numpydoc.docscrape import NumpyDocString
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

PAGE = """\
{name}
{line}

{story}

{demands}

{options}
Prior
^^^^^

What the model expects before it has met the data: the risk of the riskiest query by the
number of queries, median and intervals of 50 and 90 %. Dots are the evaluation that it
would be fitted to, {what}; {given}.

.. image:: {name}.png
   :alt: Bands of the prior of {name} by number of queries; dots of the evaluation.
   :width: 420px

Source
^^^^^^

.. literalinclude:: ../../models/{name}.py
   :language: python
"""

OPTIONS = """\
Options and priors
^^^^^^^^^^^^^^^^^^

{rows}
"""

DEMANDS = {
    "ACCEPTS": "Accepts outcomes of the kind",
    "MIN_EXCEEDANCES": "Needs at least this many scores above the threshold",
}


def constants(module: ast.Module) -> dict[str, Any]:
    """Return the demands that a model file states, by name."""
    return {
        target.id: ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in DEMANDS
    }


def in_words(value: object) -> str:
    """Return a demand as a reader would say it."""
    if isinstance(value, set | frozenset | tuple | list):
        return ", ".join(f"``{kind}``" for kind in sorted(value))
    return f"{value}"


def options(module: ast.Module) -> list[str]:
    """Return the keyword arguments of ``build``, each with default and meaning."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            documented = NumpyDocString(ast.get_docstring(node) or "")["Parameters"]
            meaning = {
                name.strip(): ": " + " ".join(entry.desc)
                for entry in documented
                for name in entry.name.split(",")
            }
            return [
                f"- ``{word.arg} = {ast.unparse(default)}``{meaning.get(word.arg, '')}"
                for word, default in zip(
                    node.args.kwonlyargs, node.args.kw_defaults, strict=True
                )
                if default is not None
            ]
    return []


def page(path: Path) -> str:
    """Return the page of one model file, in reStructuredText."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    stated = constants(module)
    demands = [
        f"- {words}: {in_words(stated[name])}"
        for name, words in DEMANDS.items()
        if name in stated
    ]
    rows = "\n".join(options(module))
    exact = "exact" in stated["ACCEPTS"]
    return PAGE.format(
        name=path.stem,
        what=(
            "1,000 queries of the sample data with the behaviour *I love*"
            if exact
            else "shares of 100 responses to each of 1,000 queries of the sample data"
        ),
        given=(
            "where the tail begins, and the body below it, are taken from it"
            if "BodyAndTail" in path.read_text(encoding="utf-8")
            else "nothing else is taken from it"
            if exact
            else "where its steps are depends on its number of queries and responses"
        ),
        line="=" * len(path.stem),
        story=ast.get_docstring(module) or "",
        demands="\n".join(demands),
        options=OPTIONS.format(rows=rows) if rows else "",
    )


def keep(folder: Path, pages: dict[str, str]) -> None:
    """Make ``folder`` hold exactly ``pages``, leaving alone what has not changed."""
    folder.mkdir(exist_ok=True)
    stems = {Path(name).stem for name in pages}
    for path in folder.iterdir():
        if path.name not in pages and not (
            path.suffix == ".png" and path.stem in stems
        ):
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def draw_priors(models: list[Path]) -> None:
    """Draw the prior of each model, where there is no picture of this version yet."""
    missing = [
        path
        for path in models
        if not (picture := DOCS / "models" / f"{path.stem}.png").is_file()
        or picture.stat().st_mtime < path.stat().st_mtime
    ]
    if not missing:
        return
    from matplotlib import pyplot

    import bayes_rare as br
    from bayes_rare.cli.demonstration import sampled

    exact = br.sample_evaluation(1_000).select(["I love"])
    counts = sampled(exact, 100)
    for path in missing:
        stated = constants(ast.parse(path.read_text(encoding="utf-8")))
        evaluation = exact if "exact" in stated["ACCEPTS"] else counts
        made = br.prior_predictive(evaluation, path.stem)
        made.plot(DOCS / "models" / f"{path.stem}.png", backend="matplotlib")
    pyplot.close("all")


def forget_moved(folder: Path, listed: str) -> None:
    """Remove pages that autosummary wrote for modules which are listed no more."""
    for path in folder.glob("*.rst"):
        if path.stem not in listed.split():
            path.unlink()


def write(_app: Sphinx) -> None:
    """Write the pages of the models and of the tutorials."""
    forget_moved(DOCS / "api", (DOCS / "api.md").read_text(encoding="utf-8"))
    models = sorted((ROOT / "models").glob("[!_]*.py"))
    keep(DOCS / "models", {f"{path.stem}.rst": page(path) for path in models})
    draw_priors(models)
    examples = sorted((ROOT / "examples").glob("[!_]*.py"))
    keep(
        DOCS / "tutorials",
        {path.name: path.read_text(encoding="utf-8") for path in examples},
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask Sphinx to write the pages first."""
    app.connect("builder-inited", write)
    # Tutorials that ran at another size are read again.
    size = os.environ.get("BAYES_RARE_EXAMPLE_SIZE", "")
    app.add_config_value("example_size", size, "env")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
