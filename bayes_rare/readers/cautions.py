"""What the numbers of an import cannot say by themselves."""

from collections.abc import Sequence

from bayes_rare.readers.gathering import Gathering
from bayes_rare.shortening import shortened

__all__ = ["LOWER_BOUND", "cautions"]

LOWER_BOUND = (
    "A log-probability of one fixed text is a lower bound of the behaviour's: other "
    "wordings show it too. It is that of temperature 1, whatever the deployment's is."
)
"""What a risk from the log-probability of one text is."""

_NAMED, _SHOWN = 3, 60


def cautions(gathered: Gathering) -> tuple[str, ...]:
    """What trials themselves give reason to warn of.

    Parameters
    ----------
    gathered
        The trials.

    Examples
    --------
    >>> gathered = Gathering()
    >>> for number in range(20):
    ...     gathered.add("leak", f"q{number}", 1, number % 2)
    >>> cautions(gathered)[0].partition(":")[0]
    'Every query has one trial (20 queries)'
    """
    said: list[str] = []
    trials: dict[str, list[tuple[int, int]]] = {}
    for behaviour, hits, tried in gathered.outcomes():
        trials.setdefault(behaviour, []).append((hits, tried))
    single = {
        name: len(own)
        for name, own in trials.items()
        if all(tried == 1 for _, tried in own)
    }
    if single:
        said.append(
            f"Every query{_of(list(single), len(trials))} has one trial "
            f"({sum(single.values()):,} queries): such data tell the mean risk, and of "
            "how risks differ between queries only what the prior says. Sample each "
            "query several times."
        )
    alike: dict[str, tuple[int, int]] = {}
    for name, own in trials.items():
        several = [(hits, tried) for hits, tried in own if tried > 1]
        hits = sum(hits == tried for hits, tried in several)
        misses = sum(hits == 0 for hits, _ in several)
        if several and hits and hits + misses == len(several):
            alike[name] = hits, misses
    if alike:
        hits, misses = (sum(numbers) for numbers in zip(*alike.values(), strict=True))
        said.append(
            f"All {hits + misses:,} queries with several trials"
            f"{_of(list(alike), len(trials))} show the behaviour in each ({hits:,}) or "
            f"in none ({misses:,}): their trials look like copies of one response, "
            "not like independent ones. Was the temperature 0, or did a cache answer?"
        )
    retried = gathered.retried()
    if retried:
        said.append(
            f"{retried:,} trials are of a later attempt, for earlier ones failed, and "
            "the log has no score of those: where a query that shows the behaviour is "
            "likelier to fail, its risk is understated."
        )
    if gathered.halves is not None:
        total, example = gathered.halves
        such = f", as in {shortened(example, _SHOWN)!r}" if example else ""
        said.append(
            f"{total:,} texts had half of a character (a lone surrogate), which no "
            f"file can hold: U+FFFD stands in its place{such}. Names that differ in "
            "nothing else have a number added."
        )
    tallies = gathered.tallies()
    empty = {tally.behaviour: tally.empty for tally in tallies if tally.empty}
    if empty:
        said.append(
            f"{sum(empty.values()):,} queries{_of(list(empty), len(tallies))} have no "
            "usable trial and are not in the table. They are not known to be safe."
        )
    if gathered.retold:
        said.append(
            f"{len(gathered.retold):,} queries have more than one text under one "
            f"identity, {next(iter(gathered.retold))!r} among them: their trials are "
            "added up as if it were one query."
        )
    if gathered.superseded:
        said.append(
            f"{len(gathered.superseded):,} queries have another text in an older log, "
            f"{next(iter(gathered.superseded))!r} among them: only the newest text "
            "counts, and the trials of the older one were set aside as duplicated."
        )
    spread = gathered.spread()
    if spread is not None:
        name, most = spread
        said.append(
            f"Log-probabilities of one query differ between its trials, by {most:.3g} "
            f"for {name!r}: the logarithm of the mean probability is taken."
        )
    return tuple(said)


def _of(names: Sequence[str], all_of_them: int) -> str:
    """Of which behaviours; nothing where it is all of them."""
    if len(names) == all_of_them:
        return ""
    named = ", ".join(repr(shortened(name, _SHOWN)) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f" of {named}{more}"
