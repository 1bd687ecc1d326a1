"""Loops over draws and families, compiled by Numba.

Imported where they are used: a program that forecasts nothing does not pay for Numba.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np

from bayes_rare.populations.spliced import LOG_TAIL, SPLICE, SPLICED_SCALE, STEEP

__all__ = ["panels", "quantiles", "survivals", "tabulated", "tails"]

_TAIL = math.exp(LOG_TAIL)
_ROOT_HALF, _PEAK = math.sqrt(0.5), 1 / math.sqrt(math.tau)
# Sums of survivals below this lose digits: they are made of logarithms instead.
_TINY = 1e-280


def _compiled[F: Callable[..., Any]](function: F) -> F:
    """Compiled when it is first called, and kept on disk where there is a place."""
    plain = inspect.unwrap(function)
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        made: Any = numba.njit(cache=True, **options)(plain)
    except RuntimeError:  # neither the package nor the user's cache can be written
        made = numba.njit(**options)(plain)
    return cast("F", made)


@_compiled
def _part(deviate: Any, shape: Any) -> Any:
    """Survival, its complement and density of the spliced distribution."""
    if deviate < SPLICE:
        density = _PEAK * math.exp(-0.5 * deviate * deviate)
        if deviate > -1.0:
            above = 0.5 * math.erfc(deviate * _ROOT_HALF)
            return above, 1.0 - above, density
        below = 0.5 * math.erfc(-deviate * _ROOT_HALF)
        return 1.0 - below, below, density
    bend = shape * (deviate - SPLICE) / SPLICED_SCALE
    if bend <= -1.0:
        return 0.0, 1.0, 0.0
    above = _TAIL * math.exp(-math.log1p(bend) / shape)
    return above, 1.0 - above, above / (SPLICED_SCALE * (1.0 + bend))


@_compiled
def _mixed(score: Any, location: Any, scale: Any, weight: Any, shape: Any) -> Any:
    """Survival, its complement and density of one draw's mixture."""
    above, below, density = 0.0, 0.0, 0.0
    for family in range(location.size):
        if weight[family] > 0.0:
            deviate = (score - location[family]) / scale[family]
            one, other, peak = _part(deviate, shape)
            above += weight[family] * one
            below += weight[family] * other
            density += weight[family] * peak / scale[family]
    return above, below, density


@_compiled
def _log_part(deviate: Any, shape: Any) -> Any:
    """Log survival and hazard of the spliced distribution, however deep."""
    if deviate < SPLICE:
        above, below, density = _part(deviate, shape)
        return (math.log1p(-below) if below < 0.5 else math.log(above)), density / above
    bend = shape * (deviate - SPLICE) / SPLICED_SCALE
    if bend <= -1.0:
        return -math.inf, 0.0
    return LOG_TAIL - math.log1p(bend) / shape, 1.0 / (SPLICED_SCALE * (1.0 + bend))


@_compiled
def _log_mixed(score: Any, location: Any, scale: Any, weight: Any, shape: Any) -> Any:
    """Log survival of one draw's mixture and its hazard, however deep."""
    largest = -math.inf
    for family in range(location.size):
        if weight[family] > 0.0:
            deviate = (score - location[family]) / scale[family]
            largest = max(largest, _log_part(deviate, shape)[0])
    if largest == -math.inf:
        return -math.inf, math.nan
    total, density = 0.0, 0.0
    for family in range(location.size):
        if weight[family] > 0.0:
            deviate = (score - location[family]) / scale[family]
            level, hazard = _log_part(deviate, shape)
            part = weight[family] * math.exp(level - largest)
            total += part
            density += part * hazard / scale[family]
    return largest + math.log(total), density / total


@_compiled
def tails(
    score: Any,
    chosen: Any,
    location: Any,
    scale: Any,
    weight: Any,
    shape: Any,
    log_survival: Any,
    hazard: Any,
) -> None:
    """Log survival and hazard of each of some draws at a score of its own."""
    for place in range(score.size):
        draw = chosen[place]
        bend = shape[draw] if abs(shape[draw]) > STEEP else STEEP
        own = location[draw], scale[draw], weight[draw], bend
        above, below, density = _mixed(score[place], *own)
        if above < _TINY:
            log_survival[place], hazard[place] = _log_mixed(score[place], *own)
        else:
            deep = above < 0.5
            level = math.log(above) if deep else math.log1p(-below)
            # Weights add up to 1 but for rounding; a survival is at most 1.
            log_survival[place] = min(level, 0.0)
            hazard[place] = density / above


@_compiled
def _odds(score: Any, location: Any, scale: Any, weight: Any, shape: Any) -> Any:
    """Log odds of the survival and minus their slope, or 0 where there is none."""
    above, below, density = _mixed(score, location, scale, weight, shape)
    if above < _TINY or below < _TINY or density <= 0.0:
        return 0.0, 0.0
    return math.log(above) - math.log(below), density * (1.0 / above + 1.0 / below)


@_compiled
def _march(
    sign: Any,
    start: Any,
    odds: Any,
    slope: Any,
    end: Any,
    error: Any,
    location: Any,
    scale: Any,
    weight: Any,
    shape: Any,
    nodes: Any,
) -> Any:
    """Nodes from a score on, upwards by sign 1 and downwards by -1: how many there are.

    A step is as long as the trapezoid rule of the slope agrees with the log odds, which
    bounds what a cubic between the two nodes can miss.
    """
    count, length = 0, 0.25
    finest = scale.min()
    stride = finest
    while odds * sign > end * sign and count < len(nodes):
        length = min(length, 0.4 + 0.04 * abs(odds))
        stride = min(length / slope, max(finest, 2.0 * stride))
        found, rise = 0.0, 0.0
        for _ in range(60):
            found, rise = _odds(start + sign * stride, location, scale, weight, shape)
            missed = abs(found - odds + sign * stride * (slope + rise) / 2)
            if rise > 0.0 and missed <= error * (1.0 + 0.1 * abs(odds)):
                break
            stride, rise = stride / 2, 0.0
        if rise == 0.0:
            break
        length = 2.0 * abs(found - odds)
        start, odds, slope = start + sign * stride, found, rise
        nodes[count] = start, odds, slope
        count += 1
    return count


@_compiled
def tabulated(
    location: Any,
    scale: Any,
    weight: Any,
    shape: Any,
    deepest: Any,
    highest: Any,
    error: Any,
    most: Any,
) -> Any:
    """Nodes of all draws, one draw after the other, and where each draw begins.

    A node is a score, the log odds of the survival there, and minus their slope.
    """
    draws = shape.size
    below, above = np.empty((most, 3)), np.empty((most, 3))
    nodes, start = np.empty((draws * 160, 3)), np.zeros(draws + 1, np.int64)
    for draw in range(draws):
        bend = shape[draw] if abs(shape[draw]) > STEEP else STEEP
        own = location[draw], scale[draw], weight[draw], bend
        middle = (weight[draw] * location[draw]).sum()
        odds, slope = _odds(middle, *own)
        count = 0
        if slope > 0.0:
            under = _march(-1.0, middle, odds, slope, highest, error, *own, below)
            over = _march(1.0, middle, odds, slope, deepest, error, *own, above)
            count = under + 1 + over
        begin = start[draw]
        start[draw + 1] = begin + count
        if begin + count > len(nodes):
            longer = np.empty((2 * (begin + count), 3))
            longer[:begin] = nodes[:begin]
            nodes = longer
        if count:
            nodes[begin : begin + under] = below[:under][::-1]
            nodes[begin + under] = middle, odds, slope
            nodes[begin + under + 1 : begin + count] = above[:over]
    return nodes[: start[-1]].copy(), start


@_compiled
def _cubic(place: Any, left: Any, right: Any, at_left: Any, at_right: Any) -> Any:
    """A cubic by its values at the ends of [0, 1] and its slopes there."""
    square = place * place
    cube = square * place
    return (
        (2 * cube - 3 * square + 1) * left
        + (cube - 2 * square + place) * at_left
        + (3 * square - 2 * cube) * right
        + (cube - square) * at_right
    )


@_compiled
def _score_at(odds: Any, nodes: Any, low: Any, high: Any) -> Any:
    """The score of log odds between two nodes."""
    width = nodes[high, 1] - nodes[low, 1]
    return _cubic(
        (odds - nodes[low, 1]) / width,
        nodes[low, 0],
        nodes[high, 0],
        -width / nodes[low, 2],
        -width / nodes[high, 2],
    )


@_compiled
def quantiles(level: Any, nodes: Any, start: Any, score: Any) -> None:
    """Scores of log survivals, by row and draw; NaN beyond a table."""
    for draw in range(start.size - 1):
        first, last = start[draw], start[draw + 1] - 1
        for row in range(len(level)):
            own = level[row, draw]
            odds = own - math.log(-math.expm1(own)) if own < 0.0 else math.inf
            if last <= first or not nodes[last, 1] <= odds <= nodes[first, 1]:
                score[row, draw] = math.nan
                continue
            low, high = first, last
            while high - low > 1:
                middle = (low + high) // 2
                if nodes[middle, 1] >= odds:
                    low = middle
                else:
                    high = middle
            score[row, draw] = _score_at(odds, nodes, low, high)


@_compiled
def survivals(score: Any, nodes: Any, start: Any, end: Any, level: Any) -> None:
    """Log survivals of scores, by row and draw; NaN where a table does not go so deep.

    Below a table the log odds go on in a straight line: a survival of 1 in float64.
    """
    for draw in range(start.size - 1):
        first, last = start[draw], start[draw + 1] - 1
        for row in range(len(score)):
            own = score[row, draw]
            if own >= end[draw]:
                level[row, draw] = -math.inf
                continue
            if last <= first or not own <= nodes[last, 0]:
                level[row, draw] = math.nan
                continue
            if own < nodes[first, 0]:
                beyond = nodes[first, 2] * (nodes[first, 0] - own)
                level[row, draw] = -math.exp(-nodes[first, 1] - beyond)
                continue
            low, high = first, last
            while high - low > 1:
                middle = (low + high) // 2
                if nodes[middle, 0] <= own:
                    low = middle
                else:
                    high = middle
            width = nodes[high, 0] - nodes[low, 0]
            odds = _cubic(
                (own - nodes[low, 0]) / width,
                nodes[low, 1],
                nodes[high, 1],
                -width * nodes[low, 2],
                -width * nodes[high, 2],
            )
            below = math.log1p(math.exp(-abs(odds)))
            level[row, draw] = -below if odds > 0.0 else odds - below


@_compiled
def _panel_ends(odds: Any, nodes: Any, first: Any, last: Any, ends: Any) -> Any:
    """Log odds at the ends of panels, from a level up to the top of a draw's table.

    A panel is at most 2.5 wide in log odds and half a unit in score. A chance in
    proportion to the risk falls by a factor of exp(60) as -log(risk) grows by 60: to
    there a panel is at most 4 wide on that scale.
    """
    ends[0] = odds
    count, place, least = 1, last, math.inf
    while ends[count - 1] < nodes[first, 1] and count < len(ends):
        odds = ends[count - 1]
        while place - 1 > first and nodes[place - 1, 1] <= odds:
            place -= 1
        score, slope = nodes[place, 0], max(nodes[place, 2], nodes[place - 1, 2])
        width, rarity = 0.5, math.exp(min(-score, 700.0))
        least = min(least, rarity)
        if rarity < least + 60.0:
            width = min(width, 4.0 / rarity)
        ends[count] = min(odds + min(2.5, max(width * slope, 0.05)), nodes[first, 1])
        count += 1
    return count


@_compiled
def panels(level: Any, nodes: Any, start: Any, point: Any, share: Any) -> Any:
    """Scores and weights of a mean below a level, draw after draw, and their begins.

    By Gauss-Legendre nodes in panels of the log odds t: ``dS = S (1 - S) dt``.
    """
    draws, each = start.size - 1, point.size
    ends, begin = np.empty(4096), np.empty(draws, np.int64)
    odds, measure = np.empty(draws * 200), np.empty(draws * 200)
    count = 0
    for draw in range(draws):
        first, last = start[draw], start[draw + 1] - 1
        lowest = nodes[last, 1]
        if level[draw] > -math.inf:
            own = min(level[draw], -1e-300)
            lowest = max(own - math.log(-math.expm1(own)), lowest)
        lowest = min(lowest, nodes[first, 1])
        found = _panel_ends(lowest, nodes, first, last, ends)
        begin[draw] = count
        room = max(found - 1, 1) * each
        if count + room > odds.size:
            odds = np.concatenate((odds, np.empty(odds.size + room)))
            measure = np.concatenate((measure, np.empty(measure.size + room)))
        if found == 1:  # nothing is left below
            odds[count : count + each] = lowest
            measure[count : count + each] = 0.0
            count += each
            continue
        for panel in range(found - 1):
            width = ends[panel + 1] - ends[panel]
            for k in range(each):
                own = ends[panel] + width * point[k]
                odds[count] = own
                part = math.exp(-abs(own))
                measure[count] = share[k] * width * part / (1.0 + part) ** 2
                count += 1
    score = np.empty(count)
    for draw in range(draws):
        end = begin[draw + 1] if draw + 1 < draws else count
        first, high = start[draw], start[draw + 1] - 1
        for place in range(begin[draw], end):  # log odds ascend, nodes descend
            while high - 1 > first and nodes[high - 1, 1] < odds[place]:
                high -= 1
            score[place] = _score_at(odds[place], nodes, high - 1, high)
    return score, measure[:count].copy(), begin
