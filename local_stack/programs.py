"""One record per supervised program, and the supervisor's configuration file made of them."""

import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.errors import StackError
from local_stack.paths import StackPaths
from local_stack.processes import signalled_with_parent

# An environment variable of every process of a stack, by which orphans are found.
STACK_MARK = "SALESPULSE_STACK_OF"

PROGRAM_SECTION = "program:"

_HEAD = """\
[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=10MB
logfile_backups=2
pidfile={pid}
childlogdir={logs}
identifier=salespulse
directory={root}
{user}
[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

_PROGRAM = """
[program:{name}]
command={command}
directory={directory}
environment={environment}
priority={priority}
stopsignal={stop_signal}
stopwaitsecs={stop_wait_s}
killasgroup=true
autostart=false
autorestart=true
startsecs=1
startretries=60
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
{user}"""


@dataclass(frozen=True)
class Program:
    """One supervised process.

    The programs of a stage start together, once all of the stage before are ready; stages stop in the opposite order. A
    program with a port is ready when it listens there and `is_ready()` is true.

    Attributes:
        before_start: called while it has no process.
        reload_signal: makes it read its configuration again; None if it can't.
        stop_wait_s: seconds until it is killed.
        starts_early: whether it starts with the first stage, because it loads code for seconds; it is waited for in its
            own stage.
        nice: added to the process's nice value.
        ready_timeout_s: for what hangs; on a busy machine the webserver takes more than a minute.
    """

    name: str
    command: Sequence[str]
    stage: int
    port: int | None = None
    before_start: Callable[[], object] = field(default=lambda: None, repr=False)
    is_ready: Callable[[], bool] = field(default=lambda: True, repr=False)
    reload_signal: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    starts_early: bool = False
    nice: int = 0
    ready_timeout_s: float = 180


def render_config(
    paths: StackPaths, programs: Iterable[Program], *, environment: Mapping[str, str], user: str | None
) -> str:
    """Return the text of the supervisor's configuration file.

    Args:
        paths: of the stack.
        programs: to supervise.
        environment: variables of every program; its own come first.
        user: the account of the supervisor itself; needed only for root.

    Raises:
        StackError: supervisord can't read a value.
    """
    head = _HEAD.format(
        logs=_escape(paths.logs),
        pid=_escape(paths.supervisor_pid),
        root=_escape(paths.root),
        socket=_escape(paths.supervisor_socket),
        user=f"user={user}\n" if user else "",
    )
    return head + "".join(_render_program(paths, program, environment) for program in programs)


def _render_program(paths: StackPaths, program: Program, environment: Mapping[str, str]) -> str:
    own = {**environment, **program.environment, STACK_MARK: str(paths.root)}
    return _PROGRAM.format(
        name=program.name,
        # A supervisor that is killed takes its programs along.
        command=_escape(
            shlex.join([*signalled_with_parent(program.stop_signal), *_nice(program.nice), *program.command])
        ),
        directory=_escape(paths.root if program.user is None else Path("/")),
        environment=",".join(f"{name}={_quoted(name, value)}" for name, value in sorted(own.items())),
        priority=program.stage * 10,
        stop_signal=program.stop_signal,
        stop_wait_s=program.stop_wait_s,
        log=_escape(_escape(paths.logs / f"{program.name}.log")),  # supervisord expands this one twice
        user=f"user={program.user}\n" if program.user else "",
    )


def _nice(increment: int) -> list[str]:
    return ["nice", "-n", str(increment)] if increment and shutil.which("nice") else []


def _escape(value: object) -> str:
    text = str(value)
    if re.search(r"\n|\s[;#]", text):
        raise StackError(f"{text!r} has a line break or a comment sign (; or #), which supervisord can't read")
    return text.replace("%", "%%")


def _quoted(name: str, value: str) -> str:
    # Supervisord knows no escapes here, and strips every quote at both ends.
    quote = "'" if '"' in value else '"'
    if quote in value or value != value.strip("'\""):
        raise StackError(f"{name} has quotes that supervisord can't pass on: write them as %22 and %27 in a URL")
    return f"{quote}{_escape(value)}{quote}"
