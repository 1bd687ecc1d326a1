"""PyMC model to JAX to NUTS, for one data set or for a thousand at once."""

from bayes_rare.inference.averaging import average, average_many, blend_many
from bayes_rare.inference.choosing import fit
from bayes_rare.inference.fitting import fit_many

__all__ = ["average", "average_many", "blend_many", "fit", "fit_many"]
