"""The luck of a deployment: a source of randomness for each thing that is asked.

What is drawn depends on the seed and on what it is drawn for, not on what else is.
"""

import zlib

import numpy as np

from bayes_rare.errors import InvalidInput

__all__ = ["generator", "refuse_negative"]


def generator(
    seed: int, behaviour: str, target: str, size: int | None
) -> np.random.Generator:
    """Source of the luck of one behaviour, target and size."""
    if target == "worst_query_risk":  # of more queries, with the same luck
        size = None
    name = zlib.crc32(f"{behaviour} {target}".encode())
    return np.random.default_rng([seed, name, size or 0])


def refuse_negative(seed: int) -> None:
    """Refuse what is no seed."""
    if seed < 0:
        raise InvalidInput(f"a seed is a whole number from 0, got {seed}. Give seed=0.")
