"""Pictures of matplotlib inside a page."""

import base64
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "picture"]


class Picture(NamedTuple):
    """A picture that needs no file.

    Parameters
    ----------
    source
        Its content, as a data URL of SVG: what is in an image runs nothing.
    text
        What it shows, for those who do not see it.
    caption
        How to read it.
    width
        Its width in pixels of a page.
    """

    source: str
    text: str
    caption: str
    width: int


def picture(figure: "Figure", text: str, caption: str) -> Picture:
    """A figure as an image with no background, the same each time."""
    import matplotlib as mpl

    written = BytesIO()
    # Identifiers inside the image from a fixed salt, and no date.
    with mpl.rc_context({"svg.hashsalt": "bayes_rare", "svg.fonttype": "path"}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    source = base64.b64encode(written.getvalue()).decode("ascii")
    return Picture(
        source=f"data:image/svg+xml;base64,{source}",
        text=text,
        caption=caption,
        width=round(figure.get_figwidth() * 88),
    )
