"""The state of the stack's programs."""

from dataclasses import dataclass
from pathlib import Path

from local_stack.errors import StackError
from local_stack.paths import StackPaths
from local_stack.supervisor import PING_TIMEOUT_S, Supervisor


@dataclass(frozen=True)
class ProgramStatus:
    """One program of the stack.

    `state` is supervisord's word: RUNNING, STARTING, BACKOFF (failed to start, will be tried again), FATAL (given up),
    STOPPED, EXITED; or UNKNOWN (the supervisor does not answer). `pid` and `uptime_s` are None unless it runs. `detail`
    is the supervisor's remark.
    """

    name: str
    state: str
    pid: int | None
    uptime_s: int | None
    detail: str
    log: Path

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        return self.state == "RUNNING"


def stack_status(data_dir: Path) -> list[ProgramStatus]:
    """Return the status of each program in the order of their start; empty where no stack was ever started."""
    paths = StackPaths(data_dir.absolute())
    supervisor = Supervisor(paths)
    default: dict[str, object] = {"statename": "STOPPED", "description": "the supervisor is not running"}
    try:
        processes = supervisor.processes(timeout_s=PING_TIMEOUT_S)
    except StackError as error:
        processes, default = {}, {"statename": "UNKNOWN", "description": str(error)}
    return [_status(paths, name, processes.get(name, default)) for name in supervisor.stages()]


def _status(paths: StackPaths, name: str, process: dict[str, object]) -> ProgramStatus:
    pid = int(str(process.get("pid", 0)))
    uptime_s = int(str(process.get("now", 0))) - int(str(process.get("start", 0)))
    return ProgramStatus(
        name=name,
        state=str(process["statename"]),
        pid=pid or None,
        uptime_s=uptime_s if pid else None,
        detail=str(process["description"]),
        log=paths.logs / f"{name}.log",
    )
