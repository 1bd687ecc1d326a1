"""What the numbers of an import cannot say by themselves."""

from bayes_rare.readers.gathering import Gathering

__all__ = ["LOWER_BOUND", "cautions"]

LOWER_BOUND = (
    "A log-probability of one fixed text is a lower bound of the behaviour's: other "
    "wordings show it too. It is that of temperature 1, whatever the deployment's is."
)
"""What a risk from the log-probability of one text is."""


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
    trials = list(gathered.kept())
    several = [(hits, tried) for hits, tried in trials if tried > 1]
    if trials and not several:
        said.append(
            f"Every query has one trial ({len(trials):,} queries): such data tell the "
            "mean risk, and of how risks differ between queries only what the prior "
            "says. Sample each query several times."
        )
    hits = sum(hits == tried for hits, tried in several)
    misses = sum(hits == 0 for hits, _ in several)
    if several and hits and hits + misses == len(several):
        said.append(
            f"All {len(several):,} queries with several trials show the behaviour in "
            f"each ({hits:,}) or in none ({misses:,}): their trials look like copies "
            "of one response, not like independent ones. Was the temperature 0, or "
            "did a cache answer?"
        )
    empty = sum(tally.empty for tally in gathered.tallies())
    if empty:
        said.append(
            f"{empty:,} queries have no usable trial and are not in the table. They "
            "are not known to be safe."
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
