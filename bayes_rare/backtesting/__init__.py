"""Backtests: forecasts from small evaluations, held against queries kept from them.

A larger evaluation is split many times into queries that methods see and queries that
they must forecast. A backtest grows on disk part by part, a part being one method's
forecasts of a few splits. Killed at any moment, it goes on where it was, and ends with
the same numbers: each split, fit and draw is seeded by what it is, not by when it runs.
"""

from bayes_rare.backtesting.bootstrap import resampled_means
from bayes_rare.backtesting.cells import Cell
from bayes_rare.backtesting.comparison import Comparison, compare
from bayes_rare.backtesting.coverage import coverage_interval, plot_coverage, plot_pit
from bayes_rare.backtesting.learn_stack import mixture_parts, stack
from bayes_rare.backtesting.options import Options
from bayes_rare.backtesting.run import backtest
from bayes_rare.backtesting.scoring import PREDICTIVE
from bayes_rare.backtesting.table import COLUMNS, Backtest, load_backtest

__all__ = [
    "COLUMNS",
    "PREDICTIVE",
    "Backtest",
    "Cell",
    "Comparison",
    "Options",
    "backtest",
    "compare",
    "coverage_interval",
    "load_backtest",
    "mixture_parts",
    "plot_coverage",
    "plot_pit",
    "resampled_means",
    "stack",
]
