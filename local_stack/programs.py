"""What the supervisor keeps running: one small record per program.

A program is a command line and says nothing of how it is written; adding one is adding a record to the list that
`local_stack.stack` puts together.
"""

import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.errors import StackError
from local_stack.layout import Layout

# Carried by every process of a stack, so that those which lost their supervisor are found.
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
stopasgroup={as_group}
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

    Programs start stage by stage: those of a stage together, once all of the stage before are ready. They stop in the
    opposite order. A program with a port is ready when it listens there and `is_ready()`.
    """

    name: str
    command: Sequence[str]
    stage: int
    port: int | None = None
    # Called before the first process starts, while the supervisor keeps none.
    prepare: Callable[[], object] = field(default=lambda: None, repr=False)
    is_ready: Callable[[], bool] = field(default=lambda: True, repr=False)
    # Makes a running process read its configuration again.
    reload_signal: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    # A program that needs no other to begin (it loads code for seconds) starts at once, and is waited for in its stage.
    begins_early: bool = False
    niceness: int = 0
    # Whether the children get the stop signal too; off where the parent stops them in an order of its own.
    stops_as_group: bool = False
    ready_timeout_s: float = 180  # a deadline for what hangs: a busy machine starts the webserver in more than a minute


def render_config(
    layout: Layout, programs: Iterable[Program], *, environment: Mapping[str, str], user: str | None
) -> str:
    """The supervisor's configuration file.

    Args:
        layout: where logs and socket go.
        programs: what it keeps.
        environment: given to every program, under its own.
        user: whom the supervisor itself runs as; said only when that is root.
    """
    head = _HEAD.format(
        logs=_escape(layout.logs),
        pid=_escape(layout.supervisor_pid),
        root=_escape(layout.root),
        socket=_escape(layout.supervisor_socket),
        user=f"user={user}\n" if user else "",
    )
    return head + "".join(_render_program(layout, program, environment) for program in programs)


def _render_program(layout: Layout, program: Program, environment: Mapping[str, str]) -> str:
    own = {**environment, **program.environment, STACK_MARK: str(layout.root)}
    return _PROGRAM.format(
        name=program.name,
        command=_escape(
            shlex.join([*_tied_to_supervisor(program.stop_signal), *_niced(program.niceness), *program.command])
        ),
        directory=_escape(layout.root if program.user is None else Path("/")),
        environment=",".join(f"{name}={_quoted(name, value)}" for name, value in sorted(own.items())),
        priority=program.stage * 10,
        stop_signal=program.stop_signal,
        stop_wait_s=program.stop_wait_s,
        as_group=str(program.stops_as_group).lower(),
        log=_escape(_escape(layout.logs / f"{program.name}.log")),  # it expands this one twice
        user=f"user={program.user}\n" if program.user else "",
    )


def _niced(niceness: int) -> list[str]:
    nice = shutil.which("nice")
    return [nice, "-n", str(niceness)] if nice and niceness else []


def _tied_to_supervisor(stop_signal: str) -> list[str]:
    # Where the kernel can do it (Linux), a supervisor that is killed takes its programs along, in good order.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", stop_signal, "--"] if setpriv else []


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
