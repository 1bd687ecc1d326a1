"""PyMC model to JAX to NUTS, for one data set or for a thousand at once."""

from bayes_rare.inference.fitting import fit, fit_many

__all__ = ["fit", "fit_many"]
