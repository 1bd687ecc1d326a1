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
# Scores of neighbouring nodes differ by more than rounding does.
_CLOSEST = 1e-13
# Log odds of a survival that float64 does not tell from 1.
_SURE = 40.0
# A panel of a mean goes over so many nodes, which are close where a density bends.
_MERGED = 5


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
def _steep(shape: Any) -> Any:
    """A shape that is not 0, where the limit is as good as reached."""
    return shape if abs(shape) > STEEP else STEEP


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
        own = location[draw], scale[draw], weight[draw], _steep(shape[draw])
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
    """Log odds of the survival and minus their slope, or -1 where float64 has none."""
    above, below, density = _mixed(score, location, scale, weight, shape)
    if above < _TINY or below < _TINY:
        return 0.0, -1.0
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
        found, rise, halved = 0.0, -1.0, False
        while stride > _CLOSEST * (1.0 + abs(start)):
            found, rise = _odds(start + sign * stride, location, scale, weight, shape)
            missed = abs(found - odds + sign * stride * (slope + rise) / 2)
            if rise >= 0.0 and missed <= error * (1.0 + 0.1 * abs(odds)):
                break
            stride, rise, halved = stride / 2, -1.0, True
        if rise < 0.0:
            break
        length = abs(found - odds) if halved else 2.0 * length
        start, odds, slope = start + sign * stride, found, rise
        nodes[count] = start, odds, slope
        count += 1
    return count


@_compiled
def _with_room(held: Any, needed: Any) -> Any:
    """An array with rows for what is needed, twice as many where it has too few."""
    if needed <= len(held):
        return held
    longer = np.empty((2 * needed, *held.shape[1:]))
    longer[: len(held)] = held
    return longer


@_compiled
def tabulated(
    location: Any,
    scale: Any,
    weight: Any,
    shape: Any,
    ends: Any,
    error: Any,
    most: Any,
) -> Any:
    """Nodes of all draws, end to end, and where each draw begins.

    A node is a score, the log odds of the survival there, and minus their slope; they
    go from the first of the ends to the second.
    """
    draws = shape.size
    below, above = np.empty((most, 3)), np.empty((most, 3))
    nodes, start = np.empty((draws * 160, 3)), np.zeros(draws + 1, np.int64)
    for draw in range(draws):
        own = location[draw], scale[draw], weight[draw], _steep(shape[draw])
        middle = (weight[draw] * location[draw]).sum()
        odds, slope = _odds(middle, *own)
        under, over, count = 0, 0, 0
        if slope >= 0.0:
            under = _march(-1.0, middle, odds, slope, ends[1], error, *own, below)
            over = _march(1.0, middle, odds, slope, ends[0], error, *own, above)
            count = under + 1 + over
        begin = start[draw]
        start[draw + 1] = begin + count
        nodes = _with_room(nodes, begin + count)
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
    """The score of log odds between two nodes: Newton's steps, kept between them."""
    left, right = nodes[low, 0], nodes[high, 0]
    width = nodes[high, 1] - nodes[low, 1]
    score = _cubic(
        (odds - nodes[low, 1]) / width,
        left,
        right,
        -width / nodes[low, 2],
        -width / nodes[high, 2],
    )
    for _ in range(60):
        if not left < score < right:
            score = (left + right) / 2
        found, slope = _odds_at(score, nodes, low, high)
        gap = found - odds
        if abs(gap) <= 1e-10 * (1.0 + abs(odds)):
            break
        if gap > 0.0:
            left = score
        else:
            right = score
        score += gap / slope
    return score


@_compiled
def _node_before(sign: Any, value: Any, held: Any, first: Any, last: Any) -> Any:
    """The last node but one that is not beyond a value; held ascends by sign 1."""
    while last - first > 1:
        middle = (first + last) // 2
        if sign * held[middle] <= sign * value:
            first = middle
        else:
            last = middle
    return first


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
            low = _node_before(-1.0, odds, nodes[:, 1], first, last)
            score[row, draw] = _score_at(odds, nodes, low, low + 1)


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
            if own < nodes[first, 0] and nodes[first, 1] < _SURE:
                level[row, draw] = math.nan
                continue
            if own < nodes[first, 0]:
                beyond = nodes[first, 2] * (nodes[first, 0] - own)
                level[row, draw] = -math.exp(-nodes[first, 1] - beyond)
                continue
            low = _node_before(1.0, own, nodes[:, 0], first, last)
            odds = _odds_at(own, nodes, low, low + 1)[0]
            below = math.log1p(math.exp(-abs(odds)))
            level[row, draw] = -below if odds > 0.0 else odds - below


@_compiled
def _odds_at(score: Any, nodes: Any, low: Any, high: Any) -> Any:
    """Log odds of a score between two nodes, and minus their slope."""
    width = nodes[high, 0] - nodes[low, 0]
    place = (score - nodes[low, 0]) / width
    left, right = -width * nodes[low, 2], -width * nodes[high, 2]
    odds = _cubic(place, nodes[low, 1], nodes[high, 1], left, right)
    bend = 6.0 * place * (1.0 - place) * (nodes[high, 1] - nodes[low, 1])
    slope = bend + (1.0 - place) * (1.0 - 3.0 * place) * left
    slope += place * (3.0 * place - 2.0) * right
    return odds, -slope / width


@_compiled
def _panel_end(
    score: Any, odds: Any, nodes: Any, first: Any, place: Any, top: Any
) -> Any:
    """Score at which a panel ends that begins at a node or between two.

    A panel is at most 2.5 wide in log odds, half a unit in score, and a few nodes. A
    chance that is in proportion to the risk falls by a factor of exp(60) as -log(risk)
    grows by 60: up to there a panel is at most 4 wide on that scale.
    """
    rarity = math.exp(min(-score, 700.0))
    width = max(0.5, score / 4.0)
    if rarity < top + 60.0:
        width = min(width, 4.0 / rarity)
    elif score < 0.0:
        width = max(width, -score / 4.0)
    end, last = score, max(place - _MERGED, first - 1)
    while place > last and score - nodes[place, 0] <= width:
        if nodes[place, 1] - odds > 2.5 and end < score:
            break
        end = nodes[place, 0]
        place -= 1
    return end if end < score else score - width


@_compiled
def panels(level: Any, nodes: Any, start: Any, point: Any, share: Any) -> Any:
    """Scores and weights of a mean below a level, draw after draw, and their begins.

    Sums by Gauss-Legendre points in panels of the score s, of ``f(s) S (1 - S) dt``
    with the log odds t; the weights of a panel add up to its part of the queries.
    """
    draws, each = start.size - 1, point.size
    score, measure = np.empty(draws * 300), np.empty(draws * 300)
    begin, count = np.empty(draws, np.int64), 0
    for draw in range(draws):
        first, last = start[draw], start[draw + 1] - 1
        begin[draw] = count
        now, odds, place = nodes[last, 0], nodes[last, 1], last - 1
        if level[draw] > -math.inf:
            own = min(level[draw], -1e-300)
            asked = own - math.log(-math.expm1(own))
            while place > first and nodes[place, 1] < asked:
                place -= 1
            if asked > odds:
                odds = min(asked, nodes[first, 1])
                now = _score_at(odds, nodes, place, place + 1)
        top = math.exp(min(-now, 700.0))
        if now <= nodes[first, 0]:  # nothing is left below
            score = _with_room(score, count + 1)
            measure = _with_room(measure, count + 1)
            score[count], measure[count] = nodes[first, 0], 0.0
            count += 1
        while now > nodes[first, 0]:
            while place > first and nodes[place, 0] >= now:
                place -= 1
            end = _panel_end(now, odds, nodes, first, place, top)
            end = max(end, nodes[first, 0])
            score = _with_room(score, count + each)
            measure = _with_room(measure, count + each)
            total, spot = 0.0, place
            for k in range(each):
                own = now + (end - now) * point[k]
                while spot > first and nodes[spot, 0] > own:
                    spot -= 1
                at, slope = _odds_at(own, nodes, spot, spot + 1)
                part = math.exp(-abs(at))
                score[count + k] = own
                measure[count + k] = share[k] * slope * part / (1.0 + part) ** 2
                total += measure[count + k]
            while spot > first and nodes[spot, 0] > end:
                spot -= 1
            at_end = _odds_at(end, nodes, spot, spot + 1)[0]
            mass = _between(odds, at_end)
            for k in range(each):
                even = share[k] if total <= 0.0 else measure[count + k] / total
                measure[count + k] = mass * even
            count += each
            now, odds = end, at_end
    return score[:count].copy(), measure[:count].copy(), begin


@_compiled
def _between(low: Any, high: Any) -> Any:
    """Part of the queries whose survival has log odds between two."""
    ratio = -math.expm1(low - high)
    part = math.exp(-abs(high))
    one = 1.0 / (1.0 + part) if high > 0.0 else part / (1.0 + part)
    return one * ratio / (1.0 + math.exp(low))
