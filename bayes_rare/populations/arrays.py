"""The shapes that populations take and give: the last axis of all is the draw."""

import numpy as np
from jaxtyping import Float

from bayes_rare.scores import Numbers

__all__ = ["Array", "Draws", "FamilyDraws", "as_array", "by_draw"]

type Array = Float[np.ndarray, "..."]
type Draws = Float[np.ndarray, " draw"]
type FamilyDraws = Float[np.ndarray, "family draw"]


def as_array(numbers: Numbers) -> Array:
    """Numbers as an array of float64."""
    return np.asarray(numbers, dtype=np.float64)


def by_draw(numbers: Numbers) -> Array:
    """Numbers with an axis of one draw where they have none."""
    return np.atleast_1d(as_array(numbers))
