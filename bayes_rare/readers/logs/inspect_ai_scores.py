"""Which score of each task is read, where the user names one or several."""

from collections.abc import Mapping, Sequence

from bayes_rare.errors import InvalidInput, listed, shortened
from bayes_rare.readers.tables.contract import near

__all__ = ["Scores"]

_SHOWN = 40


class Scores:
    """The score that is read of each task.

    Parameters
    ----------
    wanted
        A name for all tasks; several, of which the first that a task has is read; a
        name for each task, as a mapping or as texts "task=name"; or none, where each
        sample has the same one score.
    tasks
        The tasks there are.

    Examples
    --------
    >>> scores = Scores(["b=judge", "match"], ["a", "b"])
    >>> scores.of("a", ["match"]), scores.of("b", ["match", "judge"])
    ('match', 'judge')
    """

    def __init__(
        self,
        wanted: str | Sequence[str] | Mapping[str, str] | None,
        tasks: Sequence[str],
    ) -> None:
        self._named: dict[str, str] = {}
        self._any: list[str] = []
        self._tasks = list(dict.fromkeys(tasks))
        if isinstance(wanted, Mapping):
            unknown = [task for task in wanted if task not in self._tasks]
            if unknown:
                raise InvalidInput(
                    f"a score is named for the task {unknown[0]!r}, which is not there"
                    f"{near(unknown[0], self._tasks)}. There are: "
                    f"{listed(self._tasks)}."
                )
            self._named.update(wanted)
            wanted = None
        for text in [wanted] if isinstance(wanted, str) else wanted or []:
            # A name may have the sign too: it is one where no such task is there.
            task, sign, name = text.rpartition("=")
            if sign and task in self._tasks:
                self._named[task] = name
            else:
                self._any.append(text)
        self.chosen: dict[str, str] = {}
        """The score of each task that has one."""
        self.found: dict[str, dict[str, None]] = {}
        """All scores of each task that has some."""

    def of(self, task: str, known: Sequence[str], place: str) -> str | None:
        """The name of the score to read; None while nothing tells it."""
        found = self.found.get(task)
        if known:
            if found is None:
                found = self.found[task] = {}
            new = [name for name in known if name not in found]
            if new:
                found.update(dict.fromkeys(new))
                self._choose(task, known, place)
        return self.chosen.get(task)

    def _choose(self, task: str, known: Sequence[str], place: str) -> None:
        found = self.found[task]
        if task in self._named:
            self.chosen[task] = self._named[task]
            return
        if self._any:
            first = next((name for name in self._any if name in found), None)
            if first is not None and self.chosen.setdefault(task, first) != first:
                raise InvalidInput(
                    f"{place} has the score {first!r}, and samples of its task before "
                    f"it have {self.chosen[task]!r} alone. Name one for this task: "
                    f"--scorer {_typed(task, first)}."
                )
            return
        if len(found) > 1:
            beside = "" if len(known) > 1 else ", counting those of samples before it"
            raise InvalidInput(
                f"{place} has the scores {listed([*map(repr, found)])}{beside}. Name "
                f"the one that tells the behaviour: --scorer {next(iter(known))}."
            )
        (self.chosen[task],) = found
        guessed = [t for t in self.chosen if t not in self._named]
        other = next((t for t in guessed if self.chosen[t] not in found), None)
        if other is not None:
            raise InvalidInput(
                f"{place}: task {shortened(task, _SHOWN)!r} has the score "
                f"{shortened(self.chosen[task], _SHOWN)!r}, and "
                f"{shortened(other, _SHOWN)!r} has "
                f"{shortened(self.chosen[other], _SHOWN)!r}. If the values that are "
                "the behaviour mean the same in both, name one for each task: --scorer "
                f"{_typed(other, self.chosen[other])} {_typed(task, self.chosen[task])}"
                "; else import them one by one."
            )

    def finish(self, files: str) -> None:
        """Refuse a name that is no score of the task it is for, or of any."""
        every = list(dict.fromkeys(n for names in self.found.values() for n in names))
        for name in self._any:
            if name not in every:
                self._refuse(files, name, every)
        for task, found in self.found.items():
            name = self._named.get(task)
            if name is not None and name not in found:
                self._refuse(f"{files}: in task {task!r}", name, list(found))
            if task not in self.chosen:
                raise InvalidInput(
                    f"{files}: task {task!r} has none of the scores that are named. It "
                    f"has {listed(list(found))}. Name one of them too: --scorer "
                    f"{_typed(task, next(iter(found)))}."
                )

    def _refuse(self, files: str, name: str, known: Sequence[str]) -> None:
        hint = near(name, known)
        several = f" (the tasks are {listed(self._tasks)})" if "=" in name else ""
        raise InvalidInput(
            f"{files}: there is no score {shortened(name, _SHOWN)!r}{hint}{several}. "
            f"There are: {listed(sorted(known))}."
        )


def _typed(task: str, name: str) -> str:
    text = f"{task}={name}"
    return f"'{text}'" if " " in text else text
