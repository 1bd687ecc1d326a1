"""Processes that do not outlive the one that started them."""

import multiprocessing
import os
import threading
import time
from functools import cache
from typing import Any

__all__ = ["end_with", "end_with_starter_of"]

_LOOK_SECONDS = 0.5


@cache
def end_with(starter: int) -> None:
    """End this process soon after the one that started it, whatever ends that.

    A signal that the operating system sends to orphans (PR_SET_PDEATHSIG) would come
    when the *thread* ends that started this process, which may be long before. On
    Windows, where a process keeps the number of its parent, nothing is done.
    """
    if os.name == "posix":
        threading.Thread(target=_wait_and_end, args=(starter,), daemon=True).start()


def _wait_and_end(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


@cache
def end_with_starter_of(caller: int) -> None:
    """The same, told late: in a process that already works for the caller.

    Where it was started by something else, a cluster, that looks after it.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid != caller:
        return
    if getattr(parent, "_sentinel", None) is None or os.getppid() == caller:
        end_with(caller)
    else:  # a fork server is the starter, and stays as long as what it has forked
        threading.Thread(target=_join_and_end, args=(parent,), daemon=True).start()


def _join_and_end(parent: Any) -> None:
    parent.join()
    os._exit(1)
