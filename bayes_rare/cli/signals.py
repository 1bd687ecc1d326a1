"""How a command ends that is told to end: tidily where it can, and soon."""

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["Ended", "at_once", "in_order"]

# SIGTERM is what `kill`, a scheduler and a shutdown send, SIGHUP a terminal that is
# closed. Windows has no SIGHUP.
_ENDING = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]
# Enough to end the workers of a backtest and to remove what is half written.
_PATIENCE_SECONDS = 5.0


class Ended(SystemExit):
    """A signal that ends the process, with the exit code that shells give it."""


def _end(number: int, _: Any) -> None:
    for other in _ENDING:
        if signal.getsignal(other) is _end:
            signal.signal(other, signal.SIG_IGN)  # once is enough
    raise Ended(128 + number)


def _end_at_once(number: int, _: Any = None) -> None:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h")  # the cursor, which a bar hides
    os._exit(128 + number)


@contextmanager
def in_order() -> Generator[None]:
    """Unwind where a signal ends the block, so that nothing is left half done.

    Python looks at signals between two of its own steps, and a step may be a fit of
    minutes: after a few seconds the process ends as it is. Signals that somebody else
    handles or ignores, as ``nohup`` does, are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = [one for one in _ENDING if signal.getsignal(one) is signal.SIG_DFL]
    told = {*mine}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        told.add(signal.SIGINT)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    over = threading.Event()

    def watch() -> None:
        while number := os.read(reader, 1):
            if number[0] in told and not over.wait(_PATIENCE_SECONDS):
                _end_at_once(number[0])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    for one in mine:
        signal.signal(one, _end)
    try:
        yield
    finally:
        over.set()
        for one in mine:
            signal.signal(one, signal.SIG_DFL)
        signal.set_wakeup_fd(before)
        os.close(writer)
        watcher.join()
        os.close(reader)


@contextmanager
def at_once() -> Generator[None]:
    """End at once where a signal ends the block, which has nothing to tidy up."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {
            one: handler
            for one in _ENDING
            if (handler := signal.getsignal(one)) in (_end, signal.default_int_handler)
        }
    for one in before:
        signal.signal(one, _end_at_once)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
