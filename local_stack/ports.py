"""TCP ports on the loopback interface: which are free, and which each program of a stack has."""

import json
import socket
from collections.abc import Collection
from pathlib import Path

from local_stack.paths import write_private

LOOPBACK = "127.0.0.1"

# Where people look first; another free port will do when these are taken.
_DEFAULTS = {"pgbouncer_dashboard": 6543, "pgbouncer_pipeline": 6544, "webserver": 3000, "dashboard": 8400}
PROGRAMS_WITH_PORTS = ("postgres_primary", "postgres_standby", "redis", "code_server", *_DEFAULTS)


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections linger in TIME_WAIT can be listened on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Return distinct ports that are free now. Another process may take one before it is used."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def recorded_ports(path: Path) -> dict[str, int]:
    """Return the port of each program at the last start; empty when the file is missing or damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def plan_ports(path: Path, *, running: Collection[str]) -> dict[str, int]:
    """Return a port for each program, and record them.

    Args:
        path: the file of recorded ports.
        running: programs that the supervisor keeps. Each has its recorded port, whoever seems to listen there now:
            between two of its processes nobody does. Ports are chosen for the other programs only.
    """
    recorded = recorded_ports(path)
    ports = {name: port for name, port in recorded.items() if name in running}
    for name, spare in zip(PROGRAMS_WITH_PORTS, free_ports(len(PROGRAMS_WITH_PORTS)), strict=True):
        preferred = (recorded.get(name), _DEFAULTS.get(name))
        usable = (port for port in preferred if port and port not in ports.values() and is_free(port))
        ports.setdefault(name, next(usable, spare))
    write_private(path, json.dumps(ports, indent=1))
    return ports
