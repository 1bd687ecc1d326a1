"""Faults, tried: what a command leaves when it is killed, cut short or out of room.

Each fault is made to happen to a real command in a folder of its own, and what is left
is held against what docs/faults.md says of it. Prints the table's rows, and ends with
exit code 1 if one of them is not so:

    python benchmarks/faults.py                      # all of them, some minutes
    python benchmarks/faults.py kill backtest
    python benchmarks/faults.py kill fit --at 2      # after two seconds
    python benchmarks/faults.py --list               # the rows, untried

Needs Linux. A small or read-only disk is a tmpfs, which only root may make; others try
a limit on the size of files and a folder without permission.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_rare.readers.tables.sample import SAMPLE

PROGRAM = [
    sys.executable,
    "-c",
    "import sys; from bayes_rare.cli import main; sys.exit(main())",
]
# Computes long enough to be killed at it.
METHOD = """
import time

import bayes_rare as br


def forecast(evaluation, deployment):
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        pass
    return br.gumbel_ols(evaluation, deployment)
"""
OLD = b"what was there before"
# Workers look twice a second whether they are still wanted; a command has five seconds.
PATIENCE_SECONDS = 15


class NotMet(Exception):
    """Something is not as the table says."""


def held(condition: object, what: str) -> None:
    """Refuse to go on where something is not as the table says."""
    if not condition:
        raise NotMet(what)


@dataclass
class Run:
    """A command under way, or done."""

    process: subprocess.Popen[bytes]
    said: Path

    @property
    def text(self) -> str:
        """What it has said on both its outputs."""
        return self.said.read_text("utf-8", errors="replace")

    def ended(self, *codes: int) -> str:
        """What it said, once it has ended with one of the exit codes."""
        code = self.process.wait(600)
        held(code in codes, f"exit code {code}, not {codes}: {self.text[-600:]}")
        held("Traceback" not in self.text, f"a traceback: {self.text[-900:]}")
        return self.text

    def signalled(self, number: int) -> None:
        """Send it a signal; none of its processes may be left soon after."""
        os.kill(self.process.pid, number)
        code = self.process.wait(PATIENCE_SECONDS)
        # Ended by itself, or by the system where Python is just beginning or ending: to
        # a shell both are the same.
        usual = code in (-number, 128 + number)
        held(usual, f"exit code {code}, not {128 + number}: {self.text[-600:]}")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left := in_session(self.process.pid):
            held(time.monotonic() < deadline, f"processes are left: {left}")
            time.sleep(0.1)
        if number != signal.SIGKILL:
            held("Traceback" not in self.text, f"a traceback: {self.text[-900:]}")


def in_session(number: int) -> list[int]:
    """Processes that a command has started and that still run."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == number and fields[0] != "Z":
            found.append(int(folder.name))
    return found


class Place:
    """A folder with inputs, and what commands write in ``out``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.out.mkdir()
        self.runs = 0
        sampled = {"do_sample": True, "temperature": 1.0}
        (folder / "busy.py").write_text(METHOD, encoding="utf-8")
        with (folder / "samples_made_2026-01-01T00-00-00.000000.jsonl").open(
            "w"
        ) as log:
            for number in range(20_000):
                asked = f"question {number}"
                line = {
                    "doc_id": number,
                    "doc": {"question": asked},
                    "target": "",
                    "arguments": {"gen_args_0": {"arg_0": asked, "arg_1": sampled}},
                    "resps": [["yes" if number % 97 == 0 else "no"] * 3],
                    "filtered_resps": ["no"],
                    "filter": "none",
                    "metrics": ["exact_match"],
                    "exact_match": 0.0,
                    "doc_hash": f"d{number}",
                    "prompt_hash": f"p{number}",
                    "target_hash": "t",
                }
                log.write(json.dumps(line) + "\n")

    @property
    def log(self) -> Path:
        """A log to import."""
        return next(self.folder.glob("samples_*.jsonl"))

    @property
    def posterior(self) -> Path:
        """A posterior to report on, fitted once."""
        path = self.folder / "posterior.nc"
        if not path.exists():
            self.run(*self.words("fit", path)).ended(0)
        return path

    def words(self, command: str, output: Path) -> list[str]:
        """The words of a command that writes to a file."""
        told = {
            "fit": [
                str(SAMPLE),
                *("--behaviours", "Death", "--model", "gumbel_tail"),
                *("--chains", "2", "--warmup", "200", "--draws", "200"),
                "--allow-unconverged",
            ],
            "import": ["lm-eval", str(self.log), "--success", "yes"],
            "backtest": [
                str(SAMPLE),
                *("--methods", "gumbel_ols", f"{self.folder / 'busy.py'}:forecast"),
                *("--evaluation-sizes", "100", "200", "--deployment-sizes", "2000"),
                *("--behaviours", "Death", "--repeats", "40", "--workers", "2"),
            ],
            "report": [] if command != "report" else [str(self.posterior)],
        }[command]
        return [command, *told, "--output", str(output)]

    def output(self, command: str) -> Path:
        """What a command is to write."""
        name = {"fit": "posterior.nc", "report": "report.html"}
        return self.out / name.get(command, f"{command}.parquet")

    def run(self, *words: str, file_size: int | None = None) -> Run:
        """Start a command, which may write no file beyond a size."""

        def limit() -> None:
            if file_size is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

        self.runs += 1
        said = self.folder / f"said-{self.runs}.txt"
        # A pipe is no file: its size has no limit.
        with said.open("wb") as target:
            process = subprocess.Popen(
                [*PROGRAM, *words],
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                start_new_session=True,
                preexec_fn=limit,
                env={**os.environ, "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        return Run(process, said)

    def names(self) -> list[str]:
        """What lies in the folder of outputs, and is not what is asked for there."""
        return sorted(path.name for path in self.out.iterdir())


def whole(command: str, path: Path) -> Any:
    """What a complete output says, but for times."""
    content = path.read_bytes()
    held(content != OLD, f"{path.name} is what it was before")
    if command == "report":
        held(content.rstrip().endswith(b"</html>"), "half a page")
        return None
    if command == "fit":
        import arviz

        draws = arviz.from_netcdf(path)["posterior"]
        return [float(draws[name].sum()) for name in sorted(draws.data_vars)]
    import pandas as pd

    table = pd.read_parquet(path)
    return table.drop(columns="seconds", errors="ignore").to_json()


def beside(command: str) -> set[str]:
    """What a finished command writes."""
    names = {"fit": {"posterior.nc"}, "report": {"report.html"}}
    record = {"import.parquet", "import.dropped.json"}
    return {"import": record, **names}.get(command, {f"{command}.parquet"})


REFERENCE: dict[str, tuple[Any, float]] = {}


def undisturbed(place: Place, command: str) -> tuple[Any, float]:
    """What a command makes where nothing goes wrong, and its seconds."""
    if command not in REFERENCE:
        path = place.folder / f"whole-{place.output(command).name}"
        started = time.monotonic()
        place.run(*place.words(command, path)).ended(0)
        REFERENCE[command] = whole(command, path), time.monotonic() - started
    return REFERENCE[command]


def ended_by(number: signal.Signals) -> Callable[[Place, str, float | None], None]:
    """A signal at several moments; then the command runs to its end."""

    def attempt(place: Place, command: str, at: float | None) -> None:
        expected, seconds = undisturbed(place, command)
        words = place.words(command, place.output(command))
        moments = [at] if at is not None else [seconds * f for f in (0.4, 0.8)]
        for moment in moments:
            place.output(command).write_bytes(OLD)
            run = place.run(*words)
            try:
                run.process.wait(moment)
            except subprocess.TimeoutExpired:
                run.signalled(number)
            else:  # faster than the time before
                run.ended(0)
                whole(command, place.output(command))
                continue
            held(
                place.output(command).read_bytes() == OLD
                or whole(command, place.output(command)) == expected,
                "the old output is neither intact nor replaced by a whole one",
            )
            more = set(place.names()) - beside(command) - {"backtest.parquet.parts"}
            if number == signal.SIGKILL:  # a file that was being written
                more = {name for name in more if not name.startswith(".")}
            held(not more, f"left over: {sorted(more)}")
        place.run(*words).ended(0)
        held(whole(command, place.output(command)) == expected, "other numbers")
        more = {name for name in place.names() if not name.startswith(".")}
        held(more <= beside(command), f"left over: {sorted(more - beside(command))}")

    return attempt


def refused(place: Place, command: str, run: Run) -> None:
    """Refused in one paragraph; what was there is intact, and nothing is beside it."""
    text = run.ended(1)
    lines = [line for line in text.splitlines() if line.startswith("bayes-rare: ")]
    held(len(lines) == 1, f"not one paragraph: {text[-900:]}")
    held(len(lines[0]) < 700, f"{len(lines[0])} characters: {lines[0][:300]}")
    held(place.output(command).read_bytes() == OLD, "the old output has changed")
    more = set(place.names()) - {place.output(command).name, "backtest.parquet.parts"}
    held(not more, f"left over: {sorted(more)}")


def full(place: Place, command: str, at: float | None) -> None:
    """No file may grow beyond the size; then there is room."""
    expected, _ = undisturbed(place, command)
    output = place.output(command)
    output.write_bytes(OLD)
    words = place.words(command, output)
    size = int(at or 4_096)
    run = place.run(*words, file_size=size)
    run.process.wait(600)
    refused(place, command, run)
    place.run(*words).ended(0)
    held(whole(command, output) == expected, "other numbers once there is room")


def full_disk(place: Place, command: str, at: float | None) -> None:
    """A disk of so many bytes; then one with room."""
    expected, _ = undisturbed(place, command)
    with disk(place, f"size={int(at or 8_192)}"):
        output = place.output(command)
        output.write_bytes(OLD)
        refused(place, command, place.run(*place.words(command, output)))
        subprocess.run(["mount", "-o", "remount,size=64m", place.out], check=True)
        place.run(*place.words(command, output)).ended(0)
        held(whole(command, output) == expected, "other numbers once there is room")


@contextmanager
def disk(place: Place, options: str) -> Iterator[None]:
    """A disk of memory at the folder of outputs."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place.out)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        raise NotTried("only root may make a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place.out)], check=True)


class NotTried(Exception):
    """A fault that cannot be tried here."""


def cut(place: Place, kind: str, _: float | None) -> None:
    """An input, cut short in the middle."""
    if kind == "part":
        return cut_part(place)
    if kind == "table":
        short = place.folder / "short.parquet"
        short.write_bytes(SAMPLE.read_bytes()[: SAMPLE.stat().st_size // 2])
        words = ["fit", str(short), "--output", str(place.output("fit"))]
    elif kind == "log":
        content = place.log.read_bytes()
        short = place.folder / "samples_short_2026-01-01T00-00-00.000000.jsonl"
        short.write_bytes(content[: len(content) // 2])
        output = str(place.output("import"))
        words = ["import", "lm-eval", str(short), "--success", "yes"]
        run = place.run(*words, "--output", output, "--max-dropped", "0")
        text = run.ended(0, 1)
        held("cut" in text or "cannot be read" in text, f"it is not said: {text}")
        return None
    elif kind == "posterior":
        short = place.folder / "short.nc"
        content = place.posterior.read_bytes()
        short.write_bytes(content[: len(content) // 2])
        words = ["forecast", str(short), "--queries", "1e6"]
    else:
        short = place.folder / "short.parquet"
        undisturbed(place, "backtest")
        content = (place.folder / "whole-backtest.parquet").read_bytes()
        short.write_bytes(content[: len(content) // 2])
        words = ["compare", str(short)]
    text = place.run(*words).ended(1)
    held(short.name in text, f"the file is not named: {text}")
    held(not place.names(), f"left over: {place.names()}")
    return None


def stopped(place: Place, parts: int) -> None:
    """A backtest that is killed once it has so many parts."""
    run = place.run(*place.words("backtest", place.output("backtest")))
    folder = place.out / "backtest.parquet.parts"
    while len(list(folder.glob("0*.parquet"))) < parts:
        held(run.process.poll() is None, f"it ended: {run.text[-600:]}")
        time.sleep(0.02)
    run.signalled(signal.SIGKILL)


def cut_part(place: Place) -> None:
    """Finished parts of a backtest, cut short in the middle."""
    expected, _ = undisturbed(place, "backtest")
    stopped(place, 2)
    for part in (place.out / "backtest.parquet.parts").glob("0*.parquet"):
        part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    place.run(*place.words("backtest", place.output("backtest"))).ended(0)
    held(whole("backtest", place.output("backtest")) == expected, "other numbers")
    held(set(place.names()) == beside("backtest"), f"left over: {place.names()}")


def writers(place: Place, command: str, _: float | None) -> None:
    """Two commands that write one file at once."""
    expected, _ = undisturbed(place, command)
    words = place.words(command, place.output(command))
    first = place.run(*words)
    if command == "backtest":
        label = place.out / "backtest.parquet.parts" / "backtest.json"
        while not label.exists():
            held(first.process.poll() is None, f"it ended: {first.text[-600:]}")
            time.sleep(0.02)
        text = place.run(*words).ended(1)
        held("another process is at work" in text, text[-600:])
    else:
        place.run(*words).ended(0)
    first.ended(0)
    held(whole(command, place.output(command)) == expected, "other numbers")
    held(set(place.names()) == beside(command), f"left over: {place.names()}")


def removed(place: Place, command: str, _: float | None) -> None:
    """The folder that a command is to write to, removed while it runs."""
    expected, seconds = undisturbed(place, command)
    words = place.words(command, place.output(command))
    run = place.run(*words)
    if command == "backtest":
        folder = place.out / "backtest.parquet.parts"
        while not list(folder.glob("0*.parquet")):
            held(run.process.poll() is None, f"it ended: {run.text[-600:]}")
            time.sleep(0.02)
        shutil.rmtree(place.out)
        held("removed while" in (text := run.ended(1)), text[-600:])
        held(not place.out.exists(), "half of it is back")
        place.run(*words).ended(0)
    else:
        time.sleep(seconds * 0.4)
        shutil.rmtree(place.out)
        run.ended(0)
    held(whole(command, place.output(command)) == expected, "other numbers")
    held(set(place.names()) == beside(command), f"left over: {place.names()}")


def closed(place: Place, command: str, _: float | None) -> None:
    """A folder that may not be written to."""
    words = place.words(command, place.output(command))
    if os.geteuid():
        place.output(command).write_bytes(OLD)
        place.out.chmod(0o500)
        try:
            refused(place, command, place.run(*words))
        finally:
            place.out.chmod(0o700)
        return
    with disk(place, "size=64k"):
        place.output(command).write_bytes(OLD)
        subprocess.run(["mount", "-o", "remount,ro", place.out], check=True)
        refused(place, command, place.run(*words))


def long_name(place: Place, command: str, at: float | None) -> None:
    """Names around the longest that file systems take, 255 bytes."""
    ending = place.output(command).suffix
    for length in [int(at)] if at else [230, 245, 255, 300]:
        name = "x" * (length - len(ending)) + ending
        run = place.run(*place.words(command, place.out / name))
        text = run.ended(0, 1)
        if run.process.returncode:
            held("name" in text or "long" in text, text[-600:])
            held(not place.names(), f"left over at {length}: {place.names()}")
        else:
            whole(command, place.out / name)
            (place.out / name).unlink()
            for path in place.out.glob("*.dropped.json"):
                path.unlink()
        shutil.rmtree(place.out)
        place.out.mkdir()


@dataclass(frozen=True)
class Fault:
    """A row of the table: a fault, to whom it happens, and what is promised."""

    name: str
    title: str
    whom: Sequence[str]
    happens: str
    kept: str
    attempt: Callable[[Place, str, float | None], None]

    def row(self, whom: str) -> str:
        """The row, as the table has it."""
        command = f"`python benchmarks/faults.py {self.name} {whom}`"
        return f"| {self.title}: {whom} | {self.happens} | {self.kept} | {command} |"


ALL = ("fit", "import", "backtest", "report")
INTACT = "the old output"
PARTS = (
    "the old output, and the finished parts: the same command goes on from there, and "
    "ends with the same numbers"
)
ENDS = "no process is left; nothing half written"
REFUSED = "one paragraph, exit code 1"


def faults() -> list[Fault]:
    """All rows, in the order of the table."""
    made: list[Fault] = []
    for name, title, number, happens in [
        (
            "kill",
            "killed (`kill -9`)",
            signal.SIGKILL,
            "no process is left after a second; a file that was being written stays "
            "half written, under a hidden name with the process's number",
        ),
        ("term", "ended (`kill`, SIGTERM)", signal.SIGTERM, f"exit code 143; {ENDS}"),
        ("interrupt", "Ctrl-C", signal.SIGINT, f"exit code 130; {ENDS}"),
        ("hangup", "the terminal is closed", signal.SIGHUP, f"exit code 129; {ENDS}"),
    ]:
        for whom in ALL:
            kept = PARTS if whom == "backtest" else INTACT
            made.append(Fault(name, title, [whom], happens, kept, ended_by(number)))
    for whom in ALL:
        kept = PARTS if whom == "backtest" else INTACT
        for name, title, attempt in [
            ("full", "no room for the file", full),
            ("full-disk", "the disk is full", full_disk),
        ]:
            made.append(Fault(name, title, [whom], REFUSED, kept, attempt))
    for whom in ("table", "log", "posterior", "backtest"):
        happens = f"{REFUSED}, which names the file"
        if whom == "log":
            happens = "said, with the number of lines; refused where it says too little"
        made.append(Fault("cut", "cut short", [whom], happens, "the file", cut))
    made.append(
        Fault(
            "cut",
            "cut short",
            ["part"],
            "the part of a backtest is made again",
            "the other parts; the same numbers",
            cut,
        )
    )
    for whom in ALL:
        happens = "both end; the output is that of the later one, whole"
        kept = "one whole output"
        if whom == "backtest":
            happens = f"the second is refused: {REFUSED}"
            kept = "the first goes on"
        made.append(Fault("writers", "two at once", [whom], happens, kept, writers))
    for whom in ALL:
        happens, kept = "the folder is made again", "the output, whole"
        if whom == "backtest":
            happens, kept = REFUSED, "nothing: it was removed; the next run is whole"
        title = "the output's folder is removed under way"
        made.append(Fault("removed", title, [whom], happens, kept, removed))
    for whom in ALL:
        title = "a folder that may not be written to"
        made.append(Fault("closed", title, [whom], REFUSED, INTACT, closed))
    for whom in ALL:
        title = "a name of 230, 245, 255 and 300 bytes"
        happens = f"written, or {REFUSED}"
        made.append(Fault("long", title, [whom], happens, "nothing is left", long_name))
    return made


def main() -> int:
    """Try the faults that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("fault", nargs="?", choices=sorted({f.name for f in faults()}))
    parser.add_argument("whom", nargs="?")
    parser.add_argument("--at", type=float, help="seconds, or bytes")
    parser.add_argument("--list", action="store_true", help="the rows, untried")
    asked = parser.parse_args()
    chosen = [
        (fault, whom)
        for fault in faults()
        for whom in fault.whom
        if asked.fault in (None, fault.name) and asked.whom in (None, whom)
    ]
    if not chosen:
        parser.error(f"{asked.fault} does not happen to {asked.whom}")
    print("| fault | what happens | what is kept | tried by |\n|---|---|---|---|")
    failed = 0
    with tempfile.TemporaryDirectory() as shared:
        base = Place(Path(shared))
        for fault, whom in chosen:
            if not asked.list:
                shutil.rmtree(base.out, ignore_errors=True)
                base.out.mkdir()
                try:
                    fault.attempt(base, whom, asked.at)
                except NotTried as reason:
                    print(f"not tried, {reason}: ", end="")
                except (NotMet, OSError, subprocess.TimeoutExpired) as reason:
                    failed += 1
                    print(f"NOT SO ({reason}): ", end="")
            print(fault.row(whom), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
