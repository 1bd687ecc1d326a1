"""Which library draws: matplotlib, or any of ArviZ's where a picture is made for all.

ArviZ draws by *backends* and keeps what it drew in a `PlotCollection`. A picture that
is made of its visuals alone takes any of them; the others are of matplotlib, and say so
where another is asked for.
"""

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from bayes_rare.arguments.near_words import shown
from bayes_rare.errors import BayesRareError, InvalidInput
from bayes_rare.files import replacing

__all__ = [
    "BACKENDS",
    "chosen_backend",
    "only_matplotlib",
    "picture_file",
    "save_collection",
]

BACKENDS = ("matplotlib", "plotly", "bokeh", "none")
"""Backends of ArviZ; ``none`` draws nothing, and keeps what would be drawn."""


def chosen_backend(backend: str | None) -> str:
    """The backend that was named, or that ArviZ is set to.

    Examples
    --------
    >>> chosen_backend("none")
    'none'
    """
    from arviz_base import rcParams

    name = str(rcParams["plot.backend"]) if backend is None else backend
    if name not in BACKENDS:
        raise InvalidInput(
            f"there is no backend {name!r}. ArviZ has: {', '.join(BACKENDS)}."
        )
    try:
        import_module(f"arviz_plots.backend.{name}")
    except ImportError as error:
        raise InvalidInput(
            f"the backend {name!r} is not installed ({error}): pip install "
            f'"arviz-plots[{name}]". matplotlib is there.'
        ) from error
    return name


def only_matplotlib(backend: str | None) -> None:
    """Refuse a backend other than matplotlib, for a picture that is drawn by it alone.

    Examples
    --------
    >>> only_matplotlib("matplotlib")
    """
    if backend not in (None, "matplotlib"):
        raise InvalidInput(
            f"this picture is drawn by matplotlib alone, got backend={backend!r}. "
            "Leave backend out; for pictures of the draws by another, give "
            "posterior.tree to ArviZ: arviz.plot_rank(posterior.tree, "
            f"backend={backend!r})."
        )


def save_collection(collection: Any, path: str | Path) -> Path:
    """Write a `PlotCollection` atomically; replaces an existing file.

    Parameters
    ----------
    collection
        What to write.
    path
        Where; the ending says in which format, of those that its backend writes.
    """
    path = Path(path)
    with picture_file(path) as written:
        collection.savefig(written)
    return path


@contextmanager
def picture_file(path: Path) -> Generator[Path]:
    """A path to write a picture to, as `bayes_rare.files.replacing` gives one."""
    way_out = "Give a name that ends in .png, .svg or .pdf."
    if not path.suffix:
        raise InvalidInput(
            f"cannot write a picture to {shown(str(path))}, whose name has no ending "
            f"that tells the format. {way_out}"
        )
    try:
        with replacing(path) as written:
            yield written
    except BayesRareError:
        raise
    except (ValueError, ImportError, RuntimeError) as error:
        raise InvalidInput(
            f"cannot write a picture to {shown(str(path))}: "
            f"{' '.join(str(error).split())[:300]}. {way_out}"
        ) from error
