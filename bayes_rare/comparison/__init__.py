"""Methods against each other: a backtest's table as means and paired differences.

Forecasts of one behaviour err together, so every interval here resamples whole
behaviours and not forecasts [1]_ [2]_; and all methods forecast the same splits, so
methods are compared by their differences, split by split [3]_.

.. [1] A. C. Davison, D. V. Hinkley (1997). Bootstrap methods and their application,
   section 3.8. Cambridge University Press.
.. [2] A. C. Cameron, J. B. Gelbach, D. L. Miller (2008). Bootstrap-based improvements
   for inference with clustered errors. Review of Economics and Statistics 90, 414-427.
.. [3] F. X. Diebold, R. S. Mariano (1995). Comparing predictive accuracy. Journal of
   Business & Economic Statistics 13, 253-263.
"""

from bayes_rare.comparison.bootstrap import resampled_means
from bayes_rare.comparison.cells import Cell
from bayes_rare.comparison.comparing import Comparison, compare
from bayes_rare.comparison.coverage import coverage_interval, plot_coverage, plot_pit
from bayes_rare.comparison.stacks import mixture_parts, stack

__all__ = [
    "Cell",
    "Comparison",
    "compare",
    "coverage_interval",
    "mixture_parts",
    "plot_coverage",
    "plot_pit",
    "resampled_means",
    "stack",
]
