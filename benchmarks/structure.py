"""The structure of the package in numbers, of one checkout or of two side by side.

    python benchmarks/structure.py [OTHER_CHECKOUT] [--diagram]

Folders, modules, floors of imports, circles, imports against the contract, lines of
code and of docstrings, names, and the largest function, read from the source by `ast`
and `grimp`. With ``--diagram`` the floors of the import contract in ``pyproject.toml``,
as CONTRIBUTING.md shows them.
"""

import argparse
import ast
import io
import sys
import tokenize
import tomllib
from pathlib import Path
from typing import Any

import grimp

PACKAGE = "bayes_rare"
ROOT = Path(__file__).parents[1]


def lines_of(source: str) -> dict[str, int]:
    """Lines of code, of docstrings, of comments and without anything."""
    tree = ast.parse(source)
    documented: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            and node.end_lineno
        ):
            documented |= set(range(node.lineno, node.end_lineno + 1))
    coded: set[int] = set()
    commented: set[int] = set()
    skipped = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            commented.add(token.start[0])
        elif token.type not in skipped and token.type != tokenize.ENDMARKER:
            coded |= set(range(token.start[0], token.end[0] + 1))
    return {
        "code": len(coded - documented),
        "docstring": len(documented),
        "comment": len(commented - coded - documented),
    }


def functions_of(source: str) -> dict[str, int]:
    """Length of each function, without its docstring."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno:
            body = node.body
            told = ast.get_docstring(node, clean=False) is not None
            first = body[1].lineno if told and len(body) > 1 else node.lineno
            found[node.name] = node.end_lineno - first + 1
    return found


def public_names(source: str) -> set[str]:
    """What a module lists as public."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def rooms(graph: grimp.ImportGraph) -> dict[str, set[str]]:
    """Which other folders and modules each folder or module of the package imports."""
    found: dict[str, set[str]] = {
        name.split(".")[1]: set() for name in graph.modules if name.count(".")
    }
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            if module.count(".") and other.count("."):
                first, second = module.split(".")[1], other.split(".")[1]
                if first != second:
                    found[first].add(second)
    return found


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Groups of rooms that import each other, directly or by others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            for other in imports[ahead.pop()] - seen:
                seen.add(other)
                ahead.append(other)
        return seen

    reach = {room: reached(room) for room in imports}
    found = {
        frozenset({room, *(o for o in reach[room] if room in reach[o])})
        for room in imports
        if room in reach[room]
    }
    return [set(circle) for circle in found]


def floors(imports: dict[str, set[str]]) -> int:
    """Longest chain of rooms of which each imports the next; a circle is one room."""
    joined = {room: room for room in imports}
    for circle in circles(imports):
        joined |= dict.fromkeys(circle, min(circle))
    above: dict[str, set[str]] = {name: set() for name in joined.values()}
    for room, others in imports.items():
        above[joined[room]] |= {joined[o] for o in others} - {joined[room]}
    height: dict[str, int] = {}

    def high(room: str) -> int:
        if room not in height:
            height[room] = 1 + max((high(other) for other in above[room]), default=0)
        return height[room]

    return max(map(high, above))


def layers(root: Path) -> list[list[str]]:
    """The floors of the import contract, from the top."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    [contract] = [
        contract
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers" and contract["containers"] == [PACKAGE]
    ]
    return [[one.strip() for one in floor.split("|")] for floor in contract["layers"]]


def upward(imports: dict[str, set[str]], contract: list[list[str]]) -> int:
    """Imports of a room that stands on the same floor of the contract or above."""
    floor = {room: at for at, rooms in enumerate(contract) for room in rooms}
    return sum(
        floor.get(other, 99) <= floor.get(room, -1)
        for room, others in imports.items()
        for other in others
    )


def measured(root: Path) -> dict[str, Any]:
    """All numbers of one checkout."""
    sys.path.insert(0, str(root))
    try:
        graph = grimp.build_graph(PACKAGE, cache_dir=None)
    finally:
        sys.path.remove(str(root))
    package = root / PACKAGE
    files = sorted(package.rglob("*.py"))
    sources = {path: path.read_text(encoding="utf-8") for path in files}
    models = [path.read_text() for path in sorted((root / "models").glob("*.py"))]
    imports = rooms(graph)
    counted = [lines_of(source) for source in [*sources.values(), *models]]
    longest = {
        f"{path.relative_to(root)}:{name}": length
        for path, source in sources.items()
        for name, length in functions_of(source).items()
    }
    exported = public_names((package / "__init__.py").read_text())
    packages = [path for path in files if path.name == "__init__.py"]
    facades = set[str]().union(*(public_names(sources[path]) for path in packages))
    public = sum(
        len(public_names(source))
        for path, source in sources.items()
        if path.name != "__init__.py"
    )
    largest = max(longest, key=lambda name: longest[name])
    flat = [path for path in package.glob("*.py") if path.name != "__init__.py"]
    return {
        "folders in the package": sum(
            any(folder.glob("*.py")) for folder in package.iterdir() if folder.is_dir()
        ),
        "modules beside them": len(flat),
        "files of Python": len(files),
        "floors of imports": floors(imports),
        "circles": len(circles(imports)),
        "imports against the contract": upward(imports, layers(root)),
        "lines, models included": sum(
            source.count("\n") for source in [*sources.values(), *models]
        ),
        "of them code": sum(one["code"] for one in counted),
        "of them docstrings": sum(one["docstring"] for one in counted),
        "of them comments": sum(one["comment"] for one in counted),
        "names exported by bayes_rare": len(exported),
        "names exported by its folders": len(facades - exported),
        "public names of modules": public,
        "longest function": f"{longest[largest]} ({largest})",
    }


def diagram(root: Path) -> str:
    """The floors of the contract as boxes, the top one first."""
    rows = ["   ".join(floor) for floor in layers(root)]
    width = max(map(len, rows))
    edge = f"+{'-' * (width + 4)}+"
    boxes = [f"|  {row:<{width}}  |" for row in rows]
    return "\n".join([edge, f"\n{edge}\n".join(boxes), edge])


def main() -> None:
    """Print the table, or the diagram."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("other", nargs="?", type=Path, help="another checkout")
    parser.add_argument("--diagram", action="store_true")
    asked = parser.parse_args()
    if asked.diagram:
        print(diagram(ROOT))
        return
    roots = [root for root in (asked.other, ROOT) if root is not None]
    columns = [measured(root.resolve()) for root in roots]
    for name in columns[-1]:
        print(f"{name:32}", *(f"{column[name]!s:>14}" for column in columns))


if __name__ == "__main__":
    main()
