"""The supervisor (supervisord) of one stack: start it, talk to it over its unix socket, end it and what it left."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from local_stack.errors import StackError
from local_stack.layout import Layout
from local_stack.programs import STACK_MARK
from local_stack.waiting import wait_until

_UNREACHABLE = (OSError, http.client.HTTPException)
_CALL_TIMEOUT_S = 10.0
_RUNNING = 1  # supervisord's own state, of `getState`


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_CALL_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        del host
        return _UnixConnection(self._path)


class Supervisor:
    """Controls the supervisor of one stack, running or not."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def is_running(self) -> bool:
        """Whether it answers."""
        try:
            return int(self._call("getState")["statecode"]) == _RUNNING
        except (*_UNREACHABLE, xmlrpc.client.Error):
            return False

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it as a daemon, from the configuration file, after ending what an earlier one left behind.

        Raises:
            StackError: it did not come up; the message holds what it said.
        """
        self.end_leftovers()
        began = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._layout.supervisor_config)],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._layout.root,
            env={**environment, STACK_MARK: str(self._layout.root)},
        )
        if began.returncode != 0:
            raise StackError(f"the supervisor did not start: {(began.stderr or began.stdout).strip()[-1500:]}")
        wait_until(self.is_running, timeout_s=20, what="the supervisor to answer")

    def reload(self) -> None:
        """Take over a changed configuration file: programs that changed or went are stopped, new ones are known."""
        added, changed, removed = self._call("reloadConfig")[0]
        for name in (*changed, *removed):
            self._call("stopProcessGroup", name, True)
            self._call("removeProcessGroup", name)
        for name in (*changed, *added):
            self._call("addProcessGroup", name)

    def processes(self) -> dict[str, dict[str, Any]]:
        """What it says of each program, by name; empty when it does not run."""
        try:
            return {each["name"]: each for each in self._call("getAllProcessInfo")}
        except _UNREACHABLE:
            return {}

    def start_program(self, name: str) -> None:
        """Start a program, or leave it alone when it runs already."""
        with contextlib.suppress(xmlrpc.client.Fault):  # ALREADY_STARTED; whether it is ready is asked separately
            self._call("startProcess", name, False)

    def stop_program(self, name: str) -> None:
        """Stop a program and wait for its end."""
        with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING
            self._call("stopProcess", name, False)
        wait_until(lambda: self.processes().get(name, {}).get("pid", 0) == 0, timeout_s=90, what=f"{name} to stop")

    def signal_program(self, name: str, signal_name: str) -> None:
        """Send a signal to a running program."""
        with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING
            self._call("signalProcess", name, signal_name)

    def stop(self, *, timeout_s: float = 120) -> None:
        """Stop every program, in the opposite order of their start, and the supervisor; nothing is left behind."""
        with contextlib.suppress(*_UNREACHABLE, xmlrpc.client.Error):
            self._call("shutdown")
            pid = self._pid()
            if pid is not None:
                with contextlib.suppress(StackError):  # then it is ended by force, below
                    wait_until(lambda: _is_over(pid), timeout_s=timeout_s, what="the supervisor to end")
        self.end_leftovers()

    def end_leftovers(self, *, patience_s: float = 30) -> int:
        """End processes of this stack that no living supervisor keeps: orphans, and a supervisor that hangs.

        Returns:
            How many there were.
        """
        found = list(self._marked())
        family = {child for each in found for child in _children(each)} | set(found)
        for each in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                # PostgreSQL waits for its clients on TERM, for ever; INT tells it to end them.
                each.send_signal(signal.SIGINT if "postgres" in each.name() else signal.SIGTERM)
                each.resume()  # a stopped process gets no signal but KILL
        with contextlib.suppress(StackError):  # those are killed
            wait_until(lambda: all(map(_is_over, family)), timeout_s=patience_s, what="leftover processes to end")
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        wait_until(lambda: all(map(_is_over, family)), timeout_s=10, what="killed processes to end")
        for leftover in (self._layout.supervisor_pid, self._layout.supervisor_socket):
            leftover.unlink(missing_ok=True)
        return len(family)

    def _pid(self) -> int | None:
        try:
            return int(self._layout.supervisor_pid.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def _marked(self) -> Iterator[psutil.Process]:
        root = str(self._layout.root)
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(STACK_MARK) == root and not _is_over(process):
                    yield process

    def _call(self, method: str, *arguments: Any) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(self._layout.supervisor_socket))
        return getattr(proxy.supervisor, method)(*arguments)


def _is_over(process: psutil.Process | int) -> bool:
    """Whether a process ended; a zombie did (nobody may be there to reap an orphan, in a container)."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return not found.is_running() or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
