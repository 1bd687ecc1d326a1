"""The choice of the score to read for each task."""

from collections.abc import Mapping, Sequence

from bayes_rare.errors import InvalidInput, listed, shortened
from bayes_rare.readers.tables.contract import near

__all__ = ["Scores"]

_SHOWN = 40


class Scores:
    """The score to read for each task.

    ``wanted`` is a name; several names, of which the first that a task has is used; a
    mapping from task to name, or texts "task=name"; or None if samples have one score.

    Examples
    --------
    >>> scores = Scores(["b=judge", "match"], ["a", "b"])
    >>> scores.of("a", ["match"], ""), scores.of("b", ["match", "judge"], "")
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
                    f"a score is named for the task {unknown[0]!r}, which does not "
                    "exist"
                    f"{near(unknown[0], self._tasks)}. There are: "
                    f"{listed(self._tasks)}."
                )
            self._named.update(wanted)
            wanted = None
        for text in [wanted] if isinstance(wanted, str) else wanted or []:
            # A name may contain "=" too: it is a name if there is no such task.
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
        """The name of the score to read; None while it is not known."""
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
                    f"{place} has the score {first!r}, but earlier samples of its task "
                    f"have only {self.chosen[task]!r}. Choose one for this task: "
                    f"--scorer {_typed(task, first)}."
                )
            return
        if len(found) > 1:
            beside = "" if len(known) > 1 else ", together with earlier samples"
            raise InvalidInput(
                f"{place} has the scores {listed([*map(repr, found)])}{beside}. Choose "
                f"the one that measures the behaviour: --scorer {next(iter(known))}."
            )
        (self.chosen[task],) = found
        guessed = [t for t in self.chosen if t not in self._named]
        other = next((t for t in guessed if self.chosen[t] not in found), None)
        if other is not None:
            raise InvalidInput(
                f"{place}: task {shortened(task, _SHOWN)!r} has the score "
                f"{shortened(self.chosen[task], _SHOWN)!r}, and "
                f"{shortened(other, _SHOWN)!r} has "
                f"{shortened(self.chosen[other], _SHOWN)!r}. If their values mean the "
                "same, choose one for each task: --scorer "
                f"{_typed(other, self.chosen[other])} {_typed(task, self.chosen[task])}"
                "; otherwise import the tasks separately."
            )

    def finish(self, files: str) -> None:
        """Refuse a name that is not a score of its task, or of any task."""
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
                    f"{files}: task {task!r} has none of the scores named. It has "
                    f"{listed(list(found))}. Add one of them: --scorer "
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
