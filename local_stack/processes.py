"""Whether processes that are not our children live, and their end."""

import contextlib
from collections.abc import Collection

import psutil

from local_stack.waiting import wait_until


def is_over(process: psutil.Process | int) -> bool:
    """Whether a process ended; a zombie did (in a container, nobody may be there to reap an orphan)."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return not found.is_running() or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all its descendants; empty when it ended meanwhile."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def listens(pid: int, port: int) -> bool:
    """Whether the process accepts TCP connections on this port, rather than somebody else."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def kill_all(processes: Collection[psutil.Process]) -> None:
    """Kill processes at once, and return when they are gone.

    Raises:
        StackError: one is not gone after ten seconds.
    """
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    wait_until(lambda: all(map(is_over, processes)), timeout_s=10, what="killed processes to end")
