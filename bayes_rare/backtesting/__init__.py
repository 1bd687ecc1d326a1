"""Backtests: forecasts from small evaluations, held against queries kept from them.

A larger evaluation is split many times into queries that methods see and queries that
they must forecast. A backtest grows on disk part by part, a part being one method's
forecasts of a few splits. Killed at any moment, it goes on where it was, and ends with
the same numbers: each split, fit and draw is seeded by what it is, not by when it runs.
"""

from bayes_rare.backtesting.options import Options
from bayes_rare.backtesting.running import backtest
from bayes_rare.backtesting.tables import (
    COLUMNS,
    PREDICTIVE,
    Backtest,
    load_backtest,
)

__all__ = [
    "COLUMNS",
    "PREDICTIVE",
    "Backtest",
    "Options",
    "backtest",
    "load_backtest",
]
