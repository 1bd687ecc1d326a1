"""Everything that forecasts, by name: models, baselines, and functions of yours."""

from bayes_rare.evaluation.observed_shares import PSEUDOCOUNT, observed_shares
from bayes_rare.methods.base import Answer, Method, Sampling
from bayes_rare.methods.by_name import method, methods, names
from bayes_rare.methods.fitted_models import AverageMethod, ModelMethod, StackMethod
from bayes_rare.methods.functions import FileFunction, FunctionMethod

__all__ = [
    "PSEUDOCOUNT",
    "Answer",
    "AverageMethod",
    "FileFunction",
    "FunctionMethod",
    "Method",
    "ModelMethod",
    "Sampling",
    "StackMethod",
    "method",
    "methods",
    "names",
    "observed_shares",
]
