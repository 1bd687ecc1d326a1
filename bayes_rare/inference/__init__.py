"""PyMC model to JAX to NUTS, for one data set or for a thousand at once."""

from bayes_rare.inference.averaging import average, average_many, blend_many
from bayes_rare.inference.batches import fit_many
from bayes_rare.inference.fitting import fit

__all__ = ["average", "average_many", "blend_many", "fit", "fit_many"]
