"""Supervisord: start it, call it over its unix socket, and end it with every process of the stack."""

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
from local_stack.paths import StackPaths
from local_stack.processes import has_ended, is_listening, kill_all, process_tree
from local_stack.programs import PROGRAM_SECTION, STACK_MARK
from local_stack.waiting import wait_until

_UNREACHABLE = (OSError, http.client.HTTPException)
# Calls return at once, but for `reload`, which waits for programs to stop.
_CALL_TIMEOUT_S = 90.0
# A supervisor that does not answer for so long hangs; on a busy machine an answer may take seconds.
PING_TIMEOUT_S = 10.0
_RUNNING = 1  # the code of supervisord's own state
# States of a program that has a process, or that supervisord starts again by itself.
ACTIVE_STATES = frozenset({"STARTING", "RUNNING", "BACKOFF", "EXITED"})


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(host)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(self._timeout_s)
        connection.sock.connect(str(self._path))
        return connection


class Supervisor:
    """The supervisor of one stack, running or not."""

    def __init__(self, paths: StackPaths) -> None:
        self._paths = paths

    def is_running(self) -> bool:
        """Whether it answers."""
        try:
            return int(self._call("getState", timeout_s=PING_TIMEOUT_S)["statecode"]) == _RUNNING
        except (*_UNREACHABLE, xmlrpc.client.Error):
            return False

    def start(self, environment: Mapping[str, str]) -> None:
        """Start it as a daemon with the configuration file, after ending the processes of an earlier one.

        Raises:
            StackError: it did not start; the message ends with its output.
        """
        self.end_orphans()
        process = subprocess.run(
            [sys.executable, "-X", "utf8", "-m", "supervisor.supervisord", "-c", str(self._paths.supervisor_config)],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._paths.root,
            env={**environment, STACK_MARK: str(self._paths.root)},
        )
        if process.returncode != 0:
            raise StackError(f"the supervisor did not start: {(process.stderr or process.stdout).strip()[-1500:]}")
        wait_until(self.is_running, timeout_s=20, what="the supervisor to answer")

    def reload(self) -> None:
        """Read the configuration file again: programs that changed or are gone from it are stopped."""
        added, changed, removed = self._call("reloadConfig")[0]
        for name in (*changed, *removed):
            self._call("stopProcessGroup", name, True)
            self._call("removeProcessGroup", name)
        for name in (*changed, *added):
            self._call("addProcessGroup", name)

    def processes(self, *, timeout_s: float = _CALL_TIMEOUT_S) -> dict[str, dict[str, Any]]:
        """Return supervisord's record of each program by name; empty when it does not run.

        Raises:
            StackError: it does not answer, so nothing is known of its programs.
        """
        try:
            return {each["name"]: each for each in self._call("getAllProcessInfo", timeout_s=timeout_s)}
        except (FileNotFoundError, ConnectionRefusedError):
            return {}
        except (*_UNREACHABLE, xmlrpc.client.Error) as error:
            raise StackError(f"the supervisor does not answer: {error}") from None

    def state(self, name: str) -> str:
        """Return the state of a program in supervisord's words; STOPPED if it does not know the program."""
        return str(self.processes().get(name, {}).get("statename", "STOPPED"))

    def active_programs(self) -> set[str]:
        """Return the programs that run or will be started again, after waiting for those that are being stopped.

        Raises:
            StackError: a program does not stop, or the supervisor does not answer.
        """
        processes: dict[str, dict[str, Any]] = {}

        def is_settled() -> bool:
            processes.update(self.processes())
            return all(each["statename"] != "STOPPING" for each in processes.values())

        wait_until(is_settled, timeout_s=90, what="programs to stop", every_s=0.05)
        return {name for name, each in processes.items() if each["statename"] in ACTIVE_STATES}

    def start_program(self, name: str) -> None:
        """Start a program unless it runs."""
        with contextlib.suppress(xmlrpc.client.Fault):  # ALREADY_STARTED
            self._call("startProcess", name, False)

    def stop_program(self, name: str) -> None:
        """Stop a program, and return when it has ended."""
        with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING
            self._call("stopProcess", name, False)
        self._wait_until_stopped([name], 90)

    def signal_program(self, name: str, signal_name: str) -> None:
        """Send a signal to a running program."""
        with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING
            self._call("signalProcess", name, signal_name)

    def stages(self) -> dict[str, int]:
        """Return the stage of each program in the configuration file."""
        config = RawConfigParser()
        config.read(self._paths.supervisor_config, encoding="utf-8")
        sections = (section for section in config.sections() if section.startswith(PROGRAM_SECTION))
        return {each.removeprefix(PROGRAM_SECTION): config.getint(each, "priority") for each in sections}

    def stop(self, *, timeout_s: float = 120) -> bool:
        """Stop the programs stage by stage, the last stage first, then the supervisor; no process is left.

        Returns:
            Whether there was anything to stop.
        """
        was_running = self.is_running()
        if was_running:
            with contextlib.suppress(*_UNREACHABLE, xmlrpc.client.Error, StackError):  # ended by force below
                self._stop_in_order(timeout_s)
        return self.end_orphans() > 0 or was_running

    def end_orphans(self, *, timeout_s: float = 30) -> int:
        """End every process of this stack, whose supervisor is gone or hangs.

        Returns:
            The number of processes.
        """
        marked = list(self._marked())
        processes = {member for each in marked for member in process_tree(each)}
        for each in marked:
            with contextlib.suppress(psutil.NoSuchProcess):
                # PostgreSQL waits for its clients on TERM, for ever; INT tells it to end them.
                each.send_signal(signal.SIGINT if "postgres" in each.name() else signal.SIGTERM)
                each.resume()  # a stopped process gets no signal but KILL
        with contextlib.suppress(StackError):  # killed below
            wait_until(lambda: all(map(has_ended, processes)), timeout_s=timeout_s, what="orphans to end")
        kill_all(processes)
        for leftover in (self._paths.supervisor_pid, self._paths.supervisor_socket):
            leftover.unlink(missing_ok=True)
        return len(processes)

    def _stop_in_order(self, timeout_s: float) -> None:
        stages = self.stages()
        for stage in sorted(set(stages.values()), reverse=True):
            names = [name for name in stages if stages[name] == stage]
            for name in names:
                with contextlib.suppress(xmlrpc.client.Fault):  # NOT_RUNNING, or a name that it does not know
                    self._call("stopProcess", name, False)
            self._wait_until_stopped(names, timeout_s)
        pid = int(self._call("getPID"))
        self._call("shutdown")
        wait_until(lambda: has_ended(pid), timeout_s=timeout_s, what="the supervisor to end")

    def _wait_until_stopped(self, names: Collection[str], timeout_s: float) -> None:
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

    def is_any_listening(self, port: int) -> bool:
        """Whether any process of this stack, also an orphan, accepts TCP connections on this port."""
        return any(is_listening(each.pid, port) for each in self._marked())

    def _marked(self) -> Iterator[psutil.Process]:
        root = str(self._paths.root)
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(STACK_MARK) == root and not has_ended(process):
                    yield process

    def _call(self, method: str, *arguments: Any, timeout_s: float = _CALL_TIMEOUT_S) -> Any:
        transport = _UnixTransport(self._paths.supervisor_socket, timeout_s)
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=transport)
        return getattr(proxy.supervisor, method)(*arguments)
