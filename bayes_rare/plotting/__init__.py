"""Pictures, from tables: each function takes frames and gives a matplotlib figure."""

from bayes_rare.plotting.backtests import coverage, pit, skill
from bayes_rare.plotting.figures import save, written
from bayes_rare.plotting.forecasts import scaling

__all__ = ["coverage", "pit", "save", "scaling", "skill", "written"]
