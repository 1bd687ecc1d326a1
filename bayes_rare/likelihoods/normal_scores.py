"""The likelihood of exact scores, kept in cells, under a normal distribution."""

from typing import Any

import numpy as np
import pytensor.tensor
from jaxtyping import Float

from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.likelihoods.exceedances import BODY_CELLS
from bayes_rare.likelihoods.layout import padded_length, padded_rows

__all__ = [
    "cell_data",
    "normal_cell_logp",
    "normal_logcdf",
]

type Array = Float[np.ndarray, "..."]

pt: Any = pytensor.tensor


def cell_data(evaluation: Evaluation) -> dict[str, Array]:
    """All scores of each behaviour, in cells, ready for a density of the whole.

    Parameters
    ----------
    evaluation
        Exact risks of one or more behaviours.

    Returns
    -------
    By name, of shape (behaviour, cell): ``cell_score``, ``cell_count`` and
    ``cell_squares``, the mean, number and squared deviations of a cell's members;
    ``cell_censored``, 1 where scores are known only to be larger, -1 where only to be
    smaller.

    Raises
    ------
    NotApplicable
        If a behaviour has fewer than two distinct scores.
    """
    rows: list[dict[str, Array]] = []
    for behaviour in evaluation.behaviours:
        scores = evaluation.scores(behaviour)
        if scores.score.size < 2:
            raise NotApplicable(
                f"behaviour {behaviour!r} has {scores.score.size} distinct known "
                f"scores among its {scores.size} queries, and a spread needs two. "
                "Evaluate more queries, or record log_risk in float64."
            )
        cells = scores.coarsen(BODY_CELLS - 2)
        above, below = scores.censored_above, scores.censored_below
        ends = [(scores.highest, above, 1.0), (scores.lowest, below, -1.0)]
        seen = [(edge, float(count), side) for edge, count, side in ends if count]
        zeros = np.zeros(len(seen))
        rows.append(
            {
                "cell_score": np.append(cells.score, [edge for edge, _, _ in seen]),
                "cell_count": np.append(cells.count, [count for _, count, _ in seen]),
                "cell_squares": np.append(cells.squares, zeros),
                "cell_censored": np.append(
                    np.zeros(cells.score.size), [side for _, _, side in seen]
                ),
            }
        )
    length = padded_length(max(row["cell_score"].size for row in rows))
    return {name: padded_rows([row[name] for row in rows], length) for name in rows[0]}


def normal_cell_logp(
    score: Any, location: Any, scale: Any, count: Any, squares: Any, censored: Any
) -> Any:
    """Symbolic log density of the members of cells of normal scores.

    With k members of mean s and squared deviations q,
    ``k * log N(s | location, scale) - q / (2 * scale ** 2)``: exact, whatever the
    cells. Censored cells count by their distribution function.
    """
    deviate = (score - location) / scale
    log_density = -0.5 * deviate**2 - pt.log(scale) - 0.5 * np.log(2 * np.pi)
    known = count * log_density - squares / (2 * scale**2)
    side = pt.switch(pt.eq(censored, 0.0), 1.0, -censored)
    known_to_be_beyond = count * normal_logcdf(side * deviate)
    return pt.switch(pt.eq(censored, 0.0), known, known_to_be_beyond)


def normal_logcdf(deviate: Any) -> Any:
    """Symbolic log distribution function of the standard normal.

    ``log(erfc(-x / sqrt(2)) / 2)`` down to -20, and below it the asymptotic series
    ``-x**2 / 2 - log(-x sqrt(2 pi)) + log(1 - 1/x**2 + 3/x**4 - 15/x**6)``, off by less
    than 1e-8 (Abramowitz & Stegun 26.2.12). PyTensor's own needs a function that JAX
    lacks.
    """
    # The gradient of a maximum would be shared between equal arguments.
    is_near = pt.gt(deviate, _FAR)
    near = pt.switch(is_near, deviate, _FAR)
    far = pt.switch(is_near, _FAR, deviate)
    square = 1 / far**2
    series = pt.log1p(-square * (1 - square * (3 - 15 * square)))
    tail = -0.5 * far**2 - pt.log(-far) - 0.5 * np.log(2 * np.pi) + series
    return pt.switch(is_near, pt.log(0.5 * pt.erfc(-near / np.sqrt(2))), tail)


_FAR = -20.0
