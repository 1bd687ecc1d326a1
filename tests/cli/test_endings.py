"""However a command or a call ends, its worker processes end, and the rest is kept."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import bayes_rare as br
from bayes_rare.cli import main, signals
from bayes_rare.errors import InvalidInput
from bayes_rare.readers.tables.sample import SAMPLE

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")

# Computes until the file "go" is there, and says in which process.
BUSY = """
import os
from pathlib import Path

import bayes_rare as br

FOLDER = Path(__file__).parent


def forecast(evaluation, deployment):
    if not (FOLDER / "go").exists():
        (FOLDER / f"{os.getpid()}.pid").touch()
    while not (FOLDER / "go").exists():
        pass
    return br.gumbel_ols(evaluation, deployment)
"""


def busy(folder: Path) -> set[int]:
    return {int(path.stem) for path in folder.glob("*.pid")}


def alive(numbers: set[int]) -> list[int]:
    return [one for one in numbers if psutil.pid_exists(one) and not _zombie(one)]


def _zombie(number: int) -> bool:
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    """A place with a method that computes, whose processes end with the test."""
    (tmp_path / "busy.py").write_text(BUSY, encoding="utf-8")
    yield tmp_path
    for number in alive(busy(tmp_path)):
        os.kill(number, signal.SIGKILL)


def plan(folder: Path) -> dict[str, Any]:
    return {
        "methods": ["gumbel_ols", f"{folder / 'busy.py'}:forecast"],
        "evaluation_sizes": [100, 200],
        "deployment_sizes": 2_000,
        "repeats": 2,
        "behaviours": ["Death"],
    }


def words(folder: Path) -> list[str]:
    told = plan(folder)
    return [
        sys.executable,
        "-c",
        "import sys; from bayes_rare.cli import main; sys.exit(main())",
        "backtest",
        str(SAMPLE),
        *("--methods", *told["methods"]),
        *("--evaluation-sizes", "100", "200"),
        *("--deployment-sizes", "2000", "--repeats", "2", "--behaviours", "Death"),
        *("--workers", "2", "--output", str(folder / "out.parquet")),
    ]


def timeless(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="seconds")


@pytest.mark.parametrize(
    ("number", "group", "code"),
    [
        (signal.SIGTERM, False, 143),
        (signal.SIGKILL, False, -signal.SIGKILL),
        pytest.param(signal.SIGHUP, False, 129, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, True, 129, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, True, 130, marks=pytest.mark.slow),
    ],
)
def test_a_backtest_that_is_ended_leaves_no_worker_and_what_was_finished(
    folder: Path, number: signal.Signals, group: bool, code: int
) -> None:
    output, parts = folder / "out.parquet", folder / "out.parquet.parts"
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            words(folder), start_new_session=True, stdout=said, stderr=said
        )
    try:
        wait_for(
            lambda: (
                process.poll() is not None
                or (len(busy(folder)) == 2 and len(list(parts.glob("0*.parquet"))) == 2)
            ),
            120,
            "both workers were to compute",
        )
        workers = busy(folder)
        (os.killpg if group else os.kill)(process.pid, number)
        assert process.wait(20) == code
    finally:
        if process.poll() is None:
            process.kill()
    wait_for(lambda: not alive(workers), 5, f"{workers} still compute")
    if number is not signal.SIGKILL and not group:
        assert "Traceback" not in (folder / "said.txt").read_text(encoding="utf-8")
    finished = sorted(parts.glob("0*.parquet"))
    assert [path.name[:6] for path in finished] == ["000000", "000002"]
    (folder / "go").touch()
    told: list[tuple[int, int]] = []
    again = br.backtest(
        SAMPLE,
        **plan(folder),
        output=output,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[0] == (2, 4)
    whole = br.backtest(SAMPLE, **plan(folder))
    pd.testing.assert_frame_equal(
        timeless(again.table), timeless(whole.table), check_exact=True
    )
    assert not parts.exists()


def test_an_interrupted_call_ends_its_workers_while_its_traceback_is_kept(
    folder: Path,
) -> None:
    """As in a notebook, which keeps the last one."""

    def interrupt(done: int, _: int) -> None:
        if done:
            wait_for(lambda: busy(folder), 60, "a worker was to compute")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:
        br.backtest(SAMPLE, **plan(folder), workers=2, progress=interrupt)
    wait_for(lambda: not alive(busy(folder)), 5, "a worker still computes")
    assert kept.tb is not None


@pytest.mark.slow
def test_a_worker_that_is_killed_is_said_and_what_was_finished_kept(
    folder: Path,
) -> None:
    (folder / "dies.py").write_text(
        "import os, signal\n\n\n"
        "def forecast(evaluation, deployment):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        encoding="utf-8",
    )
    dying: dict[str, Any] = {
        **plan(folder),
        "methods": ["gumbel_ols", f"{folder / 'dies.py'}:forecast"],
    }
    with pytest.raises(InvalidInput, match="workers=1"):
        br.backtest(SAMPLE, **dying, workers=2, output=folder / "out.parquet")


CHILD = """
import multiprocessing
import os
import sys
import time
from pathlib import Path

from bayes_rare.backtesting.orphans import end_with_starter_of


def work(caller: int, folder: str) -> None:
    end_with_starter_of(caller)
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(60)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    told = os.getpid() + int(sys.argv[3]), sys.argv[2]
    context.Process(target=work, args=told).start()
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("way", "other", "ends"),
    [
        ("fork", 0, True),
        ("spawn", 0, True),
        ("forkserver", 0, True),
        # What works for a process that did not start it stays: a cluster's.
        ("spawn", 1, False),
    ],
)
def test_a_process_ends_with_the_call_that_it_works_for(
    folder: Path, way: str, other: int, ends: bool
) -> None:
    program = folder / "child.py"
    program.write_text(CHILD, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(program), way, str(folder), str(other)],
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: busy(folder), 30, "the child was to begin")
    process.kill()
    process.wait()
    if ends:
        wait_for(lambda: not alive(busy(folder)), 5, "the child is still there")
    else:
        time.sleep(1.2)
        assert alive(busy(folder))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_unwinds_and_leaves_the_signals_as_they_were(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = signal.signal(number, signal.SIG_DFL)  # else as the tests were started
    before = [signal.getsignal(one) for one in (number, signal.SIGINT)]
    unwound: list[bool] = []

    def command(*_: Any, **__: Any) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(30)
        finally:
            unwound.append(True)

    monkeypatch.setattr("bayes_rare.cli.app", command)
    try:
        assert main(["models"]) == 128 + number
        assert unwound == [True]
        assert [signal.getsignal(one) for one in (number, signal.SIGINT)] == before
    finally:
        signal.signal(number, given)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As ``nohup`` asks for."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.in_order():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_step_that_does_not_look_at_signals_is_ended_all_the_same(
    number: signal.Signals,
) -> None:
    program = (
        "import hashlib, sys\n"
        "from bayes_rare.cli import signals\n"
        "signals._PATIENCE_SECONDS = 0.2\n"
        "with signals.in_order():\n"
        "    print('begun', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.2)
    process.send_signal(number)
    try:
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert said == ""
