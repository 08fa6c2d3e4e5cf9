"""The supervisor (supervisord) of one stack: start it, talk to it over its unix socket, end it and what it left."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import xmlrpc.client
from collections.abc import Collection, Iterator, Mapping
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import psutil

from local_stack.errors import StackError
from local_stack.layout import Layout
from local_stack.processes import family, is_over, kill_all, listens
from local_stack.programs import PROGRAM_SECTION, STACK_MARK
from local_stack.waiting import wait_until

_UNREACHABLE = (OSError, http.client.HTTPException)
# Calls return at once (nothing waits inside a call but `reload`, for programs that stop); one that hangs is not ours.
_CALL_TIMEOUT_S = 90.0
# A supervisor that does not answer for so long is ended: on a busy machine a living one may need seconds.
PING_TIMEOUT_S = 10.0
_RUNNING = 1  # supervisord's own state, of `getState`
# States of a program that has a process, or gets one without being asked: after an end of its own (EXITED), too.
KEPT = frozenset({"STARTING", "RUNNING", "BACKOFF", "EXITED"})


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        del host
        return _UnixConnection(self._path, self._timeout_s)


class Supervisor:
    """Controls the supervisor of one stack, running or not."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def is_running(self) -> bool:
        """Whether it answers."""
        try:
            return int(self._call("getState", timeout_s=PING_TIMEOUT_S)["statecode"]) == _RUNNING
        except (*_UNREACHABLE, xmlrpc.client.Error):
            return False

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it as a daemon, from the configuration file, after ending what an earlier one left behind.

        Raises:
            StackError: it did not come up; the message holds what it said.
        """
        self.end_leftovers()
        began = subprocess.run(
            [sys.executable, "-X", "utf8", "-m", "supervisor.supervisord", "-c", str(self._layout.supervisor_config)],
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

    def processes(self, *, timeout_s: float = _CALL_TIMEOUT_S) -> dict[str, dict[str, Any]]:
        """Return supervisord's record of each program by name; empty when it does not run.

        Raises:
            StackError: it runs and does not answer, so nothing is known of its programs.
        """
        try:
            return {each["name"]: each for each in self._call("getAllProcessInfo", timeout_s=timeout_s)}
        except (FileNotFoundError, ConnectionRefusedError):
            return {}
        except (*_UNREACHABLE, xmlrpc.client.Error) as error:
            raise StackError(f"the supervisor does not answer: {error}") from None

    def state(self, name: str) -> str:
        """Return supervisord's word for a program's state; STOPPED when the supervisor does not know it."""
        return str(self.processes().get(name, {}).get("statename", "STOPPED"))

    def programs_kept(self) -> set[str]:
        """Return the programs that run or are about to run again, once none is being stopped any more.

        Raises:
            StackError: a program does not stop, or the supervisor does not answer.
        """
        processes: dict[str, dict[str, Any]] = {}

        def is_settled() -> bool:
            processes.update(self.processes())
            return all(each["statename"] != "STOPPING" for each in processes.values())

        wait_until(is_settled, timeout_s=90, what="programs to stop", every_s=0.05)
        return {name for name, each in processes.items() if each["statename"] in KEPT}

    def start_program(self, name: str) -> None:
        """Start a program, or leave it alone when it runs already."""
        with contextlib.suppress(xmlrpc.client.Fault):  # ALREADY_STARTED; whether it is ready is asked separately
            self._call("startProcess", name, False)

    def stop_program(self, name: str) -> None:
        """Stop a program and wait for its end."""
        with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING
            self._call("stopProcess", name, False)
        self._wait_stopped([name], 90)

    def signal_program(self, name: str, signal_name: str) -> None:
        """Send a signal to a running program."""
        with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING
            self._call("signalProcess", name, signal_name)

    def stages(self) -> dict[str, int]:
        """Every program of the configuration file, and the stage that it starts in."""
        config = RawConfigParser()
        config.read(self._layout.supervisor_config, encoding="utf-8")
        sections = (section for section in config.sections() if section.startswith(PROGRAM_SECTION))
        return {each.removeprefix(PROGRAM_SECTION): config.getint(each, "priority") for each in sections}

    def stop(self, *, timeout_s: float = 120) -> bool:
        """Stop the programs, last stage first and those of a stage together, then the supervisor; nothing is left.

        Returns:
            Whether there was anything to stop.
        """
        was_running = self.is_running()
        if was_running:
            with contextlib.suppress(*_UNREACHABLE, xmlrpc.client.Error, StackError):  # ended by force, below
                self._stop_in_order(timeout_s)
        return self.end_leftovers() > 0 or was_running

    def end_leftovers(self, *, patience_s: float = 30) -> int:
        """End processes of this stack that no living supervisor keeps: orphans, and a supervisor that hangs.

        Returns:
            How many there were.
        """
        found = list(self._marked())
        related = {member for each in found for member in family(each)}
        for each in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                # PostgreSQL waits for its clients on TERM, for ever; INT tells it to end them.
                each.send_signal(signal.SIGINT if "postgres" in each.name() else signal.SIGTERM)
                each.resume()  # a stopped process gets no signal but KILL
        with contextlib.suppress(StackError):  # those are killed
            wait_until(lambda: all(map(is_over, related)), timeout_s=patience_s, what="leftover processes to end")
        kill_all(related)
        for leftover in (self._layout.supervisor_pid, self._layout.supervisor_socket):
            leftover.unlink(missing_ok=True)
        return len(related)

    def _stop_in_order(self, timeout_s: float) -> None:
        stages = self.stages()
        for stage in sorted(set(stages.values()), reverse=True):
            due = [name for name, its_stage in stages.items() if its_stage == stage]
            for name in due:
                with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING, or not known to a running supervisor
                    self._call("stopProcess", name, False)
            self._wait_stopped(due, timeout_s)
        pid = self._pid()
        self._call("shutdown")
        if pid is not None:
            wait_until(lambda: is_over(pid), timeout_s=timeout_s, what="the supervisor to end")

    def _wait_stopped(self, names: Collection[str], timeout_s: float) -> None:
        def running() -> list[str]:
            processes = self.processes()
            return [name for name in names if processes.get(name, {}).get("pid", 0) != 0]

        wait_until(
            lambda: not running(),
            timeout_s=timeout_s,
            what=lambda: f"{', '.join(running())} to stop",
            every_s=0.05,
            progress=running,
        )

    def _pid(self) -> int | None:
        try:
            return int(self._layout.supervisor_pid.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def listens(self, port: int) -> bool:
        """Whether any process of this stack, an orphan too, accepts TCP connections on this port."""
        return any(listens(each.pid, port) for each in self._marked())

    def _marked(self) -> Iterator[psutil.Process]:
        root = str(self._layout.root)
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(STACK_MARK) == root and not is_over(process):
                    yield process

    def _call(self, method: str, *arguments: Any, timeout_s: float = _CALL_TIMEOUT_S) -> Any:
        transport = _UnixTransport(self._layout.supervisor_socket, timeout_s)
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        return getattr(proxy.supervisor, method)(*arguments)
