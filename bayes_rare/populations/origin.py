"""Where families of queries come from."""

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from bayes_rare.populations.population import Draws, FamilyDraws

__all__ = ["Origin"]

# Logarithms of scales are held within what float64 can raise to a power.
_FARTHEST = 60.0


@dataclass(frozen=True, eq=False)
class Origin:
    """The population of families: where the location and the scale of a new one are.

    ``location = centre + width * T`` with T from Student's t distribution, and
    ``log(scale - finest) = log_scale + spread * Z`` with Z standard normal.

    Parameters
    ----------
    centre, width
        Centre and scale of the locations of families.
    log_scale, spread
        Mean and standard deviation of the logarithms of their scales.
    freedom
        Degrees of freedom of T.
    finest
        Smallest scale that a family can have.
    """

    centre: Draws
    width: Draws
    log_scale: Draws
    spread: Draws
    freedom: float
    finest: float = 0.0

    def taken(self, draws: Int[np.ndarray, " taken"]) -> "Origin":
        """The same of some draws, perhaps several times.

        Parameters
        ----------
        draws
            Places of the draws.
        """
        return Origin(
            self.centre[draws],
            self.width[draws],
            self.log_scale[draws],
            self.spread[draws],
            self.freedom,
            self.finest,
        )

    def drawn(self, families: int) -> tuple[FamilyDraws, FamilyDraws]:
        """Locations and scales of new families; asked twice, the same.

        Parameters
        ----------
        families
            How many, at least 1.
        """
        seed = zlib.crc32(np.concatenate([self.centre, self.width]).tobytes())
        rng = np.random.default_rng(seed)
        size = (families, self.centre.size)
        location = self.centre + self.width * rng.standard_t(self.freedom, size)
        log_scale = self.log_scale + self.spread * rng.standard_normal(size)
        return location, self.finest + np.exp(np.clip(log_scale, -_FARTHEST, _FARTHEST))
