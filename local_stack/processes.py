"""Processes that are not our children: whether they live, what they listen on, and how they end."""

import contextlib
import shutil
from collections.abc import Collection

import psutil

from local_stack.waiting import wait_until


def has_ended(process: psutil.Process | int) -> bool:
    """Whether a process ended; a zombie did (in a container, nobody may be there to reap an orphan)."""
    try:
        process = psutil.Process(process) if isinstance(process, int) else process
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def process_tree(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all its descendants; empty when it ended meanwhile."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def is_listening(pid: int, port: int) -> bool:
    """Whether this process itself accepts TCP connections on the port."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def kill_all(processes: Collection[psutil.Process]) -> None:
    """Kill processes, and return when they are gone.

    Raises:
        StackError: one is not gone after ten seconds.
    """
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    wait_until(lambda: all(map(has_ended, processes)), timeout_s=10, what="killed processes to end")


def signalled_with_parent(signal_name: str) -> list[str]:
    """Return a command prefix by which the kernel sends this signal when the parent ends; empty where it can't (macOS)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal_name, "--"] if setpriv else []
