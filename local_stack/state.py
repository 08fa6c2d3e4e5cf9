"""What the stack's processes are doing now."""

from dataclasses import dataclass
from pathlib import Path

from local_stack.errors import StackError
from local_stack.layout import Layout
from local_stack.supervisor import PING_TIMEOUT_S, Supervisor


@dataclass(frozen=True)
class ProcessState:
    """One program of the stack.

    `state` is supervisord's word: RUNNING, STARTING, BACKOFF (failing, will be tried again), FATAL (given up),
    STOPPED, EXITED, UNKNOWN (the supervisor does not answer). `pid` and `uptime_s` are None unless it runs. `said` is the supervisor's remark.
    """

    name: str
    state: str
    pid: int | None
    uptime_s: int | None
    said: str
    log: Path

    @property
    def is_running(self) -> bool:
        """Whether it runs now."""
        return self.state == "RUNNING"


def stack_state(data_dir: Path) -> list[ProcessState]:
    """Every program of the stack in the order of their start; empty where no stack was ever started."""
    layout = Layout(data_dir.absolute())
    supervisor = Supervisor(layout)
    unknown: dict[str, object] = {}
    try:
        processes = supervisor.processes(timeout_s=PING_TIMEOUT_S)
    except StackError as error:
        processes, unknown = {}, {"statename": "UNKNOWN", "description": str(error)}
    return [_state(layout, name, processes.get(name, unknown)) for name in supervisor.stages()]


def _state(layout: Layout, name: str, process: dict[str, object]) -> ProcessState:
    pid = int(str(process.get("pid", 0)))
    uptime_s = int(str(process.get("now", 0))) - int(str(process.get("start", 0)))
    return ProcessState(
        name=name,
        state=str(process.get("statename", "STOPPED")),
        pid=pid or None,
        uptime_s=uptime_s if pid else None,
        said=str(process.get("description", "the supervisor is not running")),
        log=layout.logs / f"{name}.log",
    )
