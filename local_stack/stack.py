"""Start and stop the local stack. `up` starts it from any state, however the last one ended."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dbconnect import Settings
from local_stack.account import Account, server_account
from local_stack.credentials import load_credentials
from local_stack.databases import create_databases
from local_stack.errors import PortTakenError, StackError
from local_stack.paths import StackPaths, locked, write_private
from local_stack.ports import PROGRAMS_WITH_PORTS, is_free, plan_ports, recorded_ports
from local_stack.postgres_cluster import create_clusters, repair_standby
from local_stack.processes import is_listening
from local_stack.programs import Program, render_config
from local_stack.stack_plan import (
    StackOptions,
    StackPlan,
    base_environment,
    command_programs,
    configure_servers,
    dagster_programs,
    dashboard_programs,
    server_programs,
)
from local_stack.supervisor import ACTIVE_STATES, Supervisor
from local_stack.waiting import wait_until

__all__ = ["StackOptions", "StackReport", "down", "up"]

# Several stacks that start at the same moment prefer the same ports.
_PORT_ATTEMPTS = 5


@dataclass(frozen=True)
class StackReport:
    """The settings of a started stack, and the seconds that each step of its start took."""

    settings: Settings
    seconds: Mapping[str, float]


def up(
    options: StackOptions,
    *,
    migrate: Callable[[Settings], object] | None = None,
    log: Callable[[str], object] = print,
) -> StackReport:
    """Start what does not run, and return when everything is ready.

    Args:
        options: what to start, and where.
        migrate: migrates the databases; called once they accept connections, before any program uses them.
        log: called with a line for each step.

    Raises:
        StackError: a program can't be prepared or started, or does not become ready; the message ends with its log.
    """
    paths = StackPaths(options.data_dir.absolute())
    account = server_account(data=paths.servers)
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o755 if account.is_other_user else 0o700)
    with locked(paths.lock):
        paths.prepare(account, log)
        return _StackStartup(paths, account, options, log).run(migrate)


def down(data_dir: Path, *, log: Callable[[str], object] = print) -> bool:
    """Stop every process of the stack.

    Returns:
        Whether there was anything to stop.
    """
    paths = StackPaths(data_dir.absolute())
    if not paths.supervisor_config.exists():
        return False
    with locked(paths.lock):
        log("stopping")
        return Supervisor(paths).stop()


class _StackStartup:
    """One call of `up`."""

    def __init__(
        self, paths: StackPaths, account: Account, options: StackOptions, log: Callable[[str], object]
    ) -> None:
        self._paths = paths
        self._account = account
        self._options = options
        self._log = log
        self._supervisor = Supervisor(paths)
        self._seconds: dict[str, float] = {}

    def run(self, migrate: Callable[[Settings], object] | None) -> StackReport:
        if not self._supervisor.is_running():
            orphans = self._supervisor.end_orphans()
            if orphans:
                self._log(f"ended {orphans} processes of an earlier stack")
        for _ in range(_PORT_ATTEMPTS - 1):
            try:
                return self._attempt(migrate)
            except PortTakenError as error:
                self._log(f"{error}; choosing another port")
        return self._attempt(migrate)

    def _attempt(self, migrate: Callable[[Settings], object] | None) -> StackReport:
        plan = self._plan()
        programs = [
            replace(program, nice=self._options.nice_values.get(program.name, 0))
            for program in (
                *server_programs(plan),
                *command_programs(plan),
                *dashboard_programs(plan),
                *dagster_programs(plan),
            )
        ]
        if plan.clusters is not None:
            primary, standby = plan.clusters
            self._timed("PostgreSQL's data", lambda: create_clusters(primary, standby, log=self._log))
        self._supervise(programs)
        for program in programs:
            if program.starts_early:
                self._start_program(program)
        self._timed("PostgreSQL", lambda: self._start_postgres(programs, plan))
        self._timed("servers", lambda: self._start_stages(programs, 1, 2))
        if migrate is not None:
            self._timed("migrations", lambda: migrate(plan.settings))
        self._timed("code server and worker", lambda: self._start_stages(programs, 3))
        self._timed("Dagster", lambda: self._start_stages(programs, 4))
        return StackReport(plan.settings, self._seconds)

    def _plan(self) -> StackPlan:
        plan = configure_servers(
            self._paths,
            self._account,
            load_credentials(self._paths.credentials),
            self._plan_ports(),
            self._options,
        )
        if plan.clusters and not plan.poolers and not self._supervisor.is_running():
            self._log("PgBouncer is not installed: only each process's own pool limits connections")
        return plan

    def _plan_ports(self) -> dict[str, int]:
        """Plan ports for programs that do not run; one that runs on an unknown port is stopped first."""
        running = self._supervisor.active_programs()
        unknown = running & (set(PROGRAMS_WITH_PORTS) - recorded_ports(self._paths.ports).keys())
        for name in unknown:
            self._supervisor.stop_program(name)
        return plan_ports(self._paths.ports, running=running - unknown)

    def _supervise(self, programs: Sequence[Program]) -> None:
        """Have the supervisor run with exactly these programs; those that changed are stopped."""
        environment = base_environment()
        user = "root" if self._account.is_other_user else None
        text = render_config(self._paths, programs, environment=environment, user=user)
        write_private(self._paths.supervisor_config, text)
        if self._supervisor.is_running():
            self._supervisor.reload()
        else:
            self._timed("supervisor", lambda: self._supervisor.start(environment))

    def _start_postgres(self, programs: Sequence[Program], plan: StackPlan) -> None:
        if plan.clusters is None:
            return
        by_name = {program.name: program for program in programs}
        self._start([by_name["postgres_primary"]])
        stop_standby = partial(self._supervisor.stop_program, "postgres_standby")
        repair_standby(*plan.clusters, stop=stop_standby, log=self._log)
        self._start([by_name["postgres_standby"]])
        create_databases(plan.clusters[0].url(), plan.credentials)

    def _start_stages(self, programs: Sequence[Program], *stages: int) -> None:
        for stage in stages:
            self._start([program for program in programs if program.stage == stage])

    def _start(self, programs: Sequence[Program]) -> None:
        """Start programs together, and return when all are ready."""
        running = [program for program in programs if not self._start_program(program)]
        for program in programs:
            self._wait_until_ready(program)
        for program in running:
            # Its configuration may name another program's new port.
            if program.reload_signal is not None:
                self._supervisor.signal_program(program.name, program.reload_signal)

    def _start_program(self, program: Program) -> bool:
        """Start a program that the supervisor does not keep running; return whether it was started."""
        state = self._supervisor.state(program.name)
        if state in ACTIVE_STATES and state != "BACKOFF":
            return False
        self._supervisor.stop_program(program.name)  # ends the attempts of one that fails to start
        program.before_start()
        self._log(f"starting {program.name}")
        self._supervisor.start_program(program.name)
        return True

    def _wait_until_ready(self, program: Program) -> None:
        def is_ready() -> bool:
            process = self._supervisor.processes().get(program.name, {})
            if process.get("statename") == "FATAL":
                raise StackError(f"{program.name} exits again and again: {self._log_tail(program.name)}")
            if program.port is not None and not is_listening(process.get("pid", 0), program.port):
                self._check_port(program, program.port)
                return False
            return process.get("statename") == "RUNNING" and program.is_ready()

        wait_until(
            is_ready,
            timeout_s=program.ready_timeout_s,
            what=lambda: f"{program.name}: {self._log_tail(program.name)}",
            every_s=0.05,
        )

    def _check_port(self, program: Program, port: int) -> None:
        """Raise PortTakenError if a process that is not of this stack listens on the program's port.

        While the supervisor keeps the program, its processes come and go between two looks at the port. So the program
        is stopped on suspicion, and loses its port only if somebody listens there without it.
        """
        if not self._is_taken(port):
            return
        self._supervisor.stop_program(program.name)
        if self._is_taken(port):
            raise PortTakenError(f"another process listens on port {port} of {program.name}")
        self._supervisor.start_program(program.name)

    def _is_taken(self, port: int) -> bool:
        return not is_free(port) and not self._supervisor.is_any_listening(port)

    def _log_tail(self, name: str) -> str:
        path = self._paths.logs / f"{name}.log"
        if not path.exists():
            return "it has no log"
        return f"{path} ends with\n{path.read_text(encoding='utf-8', errors='replace')[-1500:]}"

    def _timed(self, step: str, work: Callable[[], object]) -> None:
        started = time.monotonic()
        work()
        self._seconds[step] = round(time.monotonic() - started, 3)
