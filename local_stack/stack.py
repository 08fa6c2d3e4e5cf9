"""Start and stop the whole local stack. `up` brings it up from any state, however the last one ended."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dbconnect import Settings, load_settings
from local_stack.account import Account, server_account
from local_stack.credentials import DAGSTER_ROLE, load_credentials
from local_stack.dagster_home import install_dagster_home
from local_stack.databases import APPLICATION_DATABASE, DAGSTER_DATABASE, create_databases
from local_stack.errors import PortTakenError, StackError
from local_stack.files import locked, write_private
from local_stack.layout import Layout
from local_stack.pgbouncer import configure_pgbouncer, find_pgbouncer, poolers
from local_stack.plan import (
    PORT_NAMES,
    Parts,
    base_environment,
    command_programs,
    dagster_programs,
    dashboard_programs,
    plan_ports,
    recorded_ports,
    server_programs,
    stack_urls,
)
from local_stack.ports import is_free
from local_stack.postgres_binaries import cache_directory, find_binaries
from local_stack.postgres_cluster import Cluster, Passwords, server_url
from local_stack.processes import listens
from local_stack.programs import Program, render_config
from local_stack.redis_server import configure_redis, find_redis, redis_url
from local_stack.stack_file import given_settings, given_urls, write_stack_file
from local_stack.standby import make_clusters, repair_standby
from local_stack.supervisor import KEPT, Supervisor
from local_stack.waiting import wait_until

Say = Callable[[str], None]

# Several stacks that start at the same moment like the same ports.
_PORT_ATTEMPTS = 5


@dataclass(frozen=True)
class StackOptions:
    """What to start.

    `commands` are further programs of the `salespulse` command line to keep running: a name and its arguments. `niceness` is that of
    programs by name, 0 of others: where the cores are full, who has more of it stands back.
    """

    data_dir: Path
    with_ui: bool = True
    definitions_module: str = "pipelines.definitions"
    worker_processes: int = 3
    niceness: Mapping[str, int] = field(default_factory=dict)
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class StackReport:
    """What came of `up`: the settings now in force, and the seconds that each step took."""

    settings: Settings
    seconds: Mapping[str, float]


def up(options: StackOptions, *, migrate: Callable[[Settings], object] | None = None, say: Say = print) -> StackReport:
    """Start what does not run, and return when everything is ready.

    Args:
        options: what to start, and where.
        migrate: brings the databases to the newest schema; called when they can be reached, before anything uses them.
        say: told what happens, one line at a time.

    Raises:
        StackError: a part can't be made, started, or does not become ready; the message holds its log's end.
    """
    layout = Layout(options.data_dir.absolute())
    account = server_account(data=layout.servers)
    layout.root.mkdir(parents=True, exist_ok=True, mode=0o755 if account.is_other else 0o700)
    with locked(layout.lock):
        layout.prepare(account, say)
        return _Upward(layout, account, options, say).run(migrate)


def down(data_dir: Path, *, say: Say = print) -> bool:
    """Stop every process of the stack; none is left.

    Returns:
        Whether there was anything to stop.
    """
    layout = Layout(data_dir.absolute())
    if not layout.supervisor_config.exists():
        return False
    with locked(layout.lock):
        say("stopping")
        return Supervisor(layout).stop()


class _Upward:
    """One `up`: the steps share what they found out."""

    def __init__(self, layout: Layout, account: Account, options: StackOptions, say: Say) -> None:
        self._layout = layout
        self._account = account
        self._options = options
        self._say = say
        self._supervisor = Supervisor(layout)
        self._seconds: dict[str, float] = {}

    def run(self, migrate: Callable[[Settings], object] | None) -> StackReport:
        if not self._supervisor.is_running():
            ended = self._supervisor.end_leftovers()
            if ended:
                self._say(f"ended {ended} processes that an earlier stack left behind")
        for _ in range(_PORT_ATTEMPTS - 1):
            try:
                return self._attempt(migrate)
            except PortTakenError as taken:
                self._say(f"{taken}; taking another")
        return self._attempt(migrate)

    def _attempt(self, migrate: Callable[[Settings], object] | None) -> StackReport:
        parts = self._parts()
        niceness = self._options.niceness
        programs = [
            replace(program, niceness=niceness.get(program.name, 0))
            for program in (
                *server_programs(parts),
                *command_programs(self._options.commands, parts),
                *dashboard_programs(parts),
                *dagster_programs(parts),
            )
        ]
        self._timed("PostgreSQL's data", lambda: self._make_clusters(parts))
        self._supervise(programs)
        for program in programs:
            if program.begins_early:
                self._start_program(program)
        self._timed("PostgreSQL", lambda: self._start_postgres(programs, parts))
        self._timed("servers", lambda: self._start_stages(programs, 1, 2))
        if migrate is not None:
            self._timed("migrations", lambda: migrate(parts.settings))
        self._timed("code server and worker", lambda: self._start_stages(programs, 3))
        self._timed("Dagster", lambda: self._start_stages(programs, 4))
        return StackReport(parts.settings, self._seconds)

    def _parts(self) -> Parts:
        layout, options = self._layout, self._options
        account, credentials = self._account, load_credentials(layout.credentials)
        ports = self._plan_ports()
        given = given_settings(layout, credentials)
        runs_postgres = given.admin_url is None and given.primary_url is None
        if not runs_postgres and given.dagster_url is None:
            raise StackError(
                "PostgreSQL is given by URL, so Dagster's database must be too: create a database for it there, "
                "with a role that owns it, and set SALESPULSE_DAGSTER_URL"
            )
        passwords = Passwords(credentials.superuser, credentials.replication)
        clusters = self._clusters(ports, passwords) if runs_postgres else None
        pgbouncer = find_pgbouncer(account) if runs_postgres else None
        if runs_postgres and pgbouncer is None and not self._supervisor.is_running():
            self._say("PgBouncer is not installed: connections are bounded by each process's own pool only")
        own_redis = redis_url(ports["redis"], credentials.redis) if given.redis_url is None else None
        urls = stack_urls(ports, credentials, postgres=runs_postgres, redis_url=own_redis, pooled=pgbouncer is not None)
        ui_port = ports["webserver"] if options.with_ui else None
        own = {"api_port": str(ports["dashboard"])}
        # A receiver on this machine, for trying it out.
        own["webhook_private_networks"] = json.dumps(list(given.webhook_private_networks) or ["127.0.0.0/8"])
        if given.jwks_url is None:
            own["jwt_secret"] = given.jwt_secret.get_secret_value() if given.jwt_secret else credentials.jwt
        write_stack_file(layout, {**urls, **given_urls(given), **own}, ui_port=ui_port)
        settings = load_settings(data_dir=layout.root)
        both = poolers(ports=ports, application_database=APPLICATION_DATABASE, dagster_database=DAGSTER_DATABASE)
        alias = server_url(ports["pgbouncer_pipeline"], "dagster_ui", DAGSTER_ROLE, credentials.roles[DAGSTER_ROLE])
        own_alias = pgbouncer is not None and given.dagster_url is None
        install_dagster_home(layout, code_server_port=ports["code_server"])
        return Parts(
            layout=layout,
            account=account,
            ports=ports,
            credentials=credentials,
            settings=settings,
            clusters=clusters,
            redis=(
                find_redis(account, cache_directory(account)),
                configure_redis(layout.servers / "redis", ports["redis"], credentials.redis, account),
            )
            if own_redis
            else None,
            poolers=[
                (pgbouncer, configure_pgbouncer(layout.servers / each.name, each, credentials, account), each)
                for each in both
            ]
            if pgbouncer
            else [],
            webserver_storage_url=alias if own_alias else settings.url("dagster_url"),
            definitions_module=options.definitions_module,
            worker_processes=options.worker_processes,
            with_ui=options.with_ui,
        )

    def _plan_ports(self) -> dict[str, int]:
        """Plan ports for the programs that are not there; a running one whose port nobody knows is stopped first."""
        running = self._supervisor.programs_kept()
        unknown = running & (set(PORT_NAMES) - recorded_ports(self._layout.ports).keys())
        for name in unknown:
            self._supervisor.stop_program(name)
        return plan_ports(self._layout.ports, running=running - unknown)

    def _clusters(self, ports: Mapping[str, int], passwords: Passwords) -> tuple[Cluster, Cluster]:
        binaries = find_binaries(self._account)
        primary, standby = (
            Cluster(binaries, self._layout.servers / name, ports[name], passwords)
            for name in ("postgres_primary", "postgres_standby")
        )
        return primary, standby

    def _make_clusters(self, parts: Parts) -> None:
        if parts.clusters is not None:
            make_clusters(*parts.clusters, say=self._say)

    def _supervise(self, programs: Sequence[Program]) -> None:
        """Have the supervisor run with exactly these programs; those that changed are stopped."""
        config = self._layout.supervisor_config
        environment = base_environment()
        user = "root" if self._account.is_other else None
        text = render_config(self._layout, programs, environment=environment, user=user)
        write_private(config, text)
        if self._supervisor.is_running():
            self._supervisor.reload()
        else:
            self._timed("supervisor", lambda: self._supervisor.start(environment))

    def _start_postgres(self, programs: Sequence[Program], parts: Parts) -> None:
        if parts.clusters is None:
            return
        primary, standby = parts.clusters
        by_name = {program.name: program for program in programs}
        self._start([by_name["postgres_primary"]])
        repair_standby(primary, standby, self._supervisor, say=self._say)
        self._start([by_name["postgres_standby"]])
        create_databases(primary.url(), parts.credentials)

    def _start(self, programs: Sequence[Program]) -> None:
        """Start programs together, and return when all are ready."""
        running = [program for program in programs if not self._start_program(program)]
        for program in programs:
            self._wait_until_ready(program)
        for program in running:
            # Its configuration may name another program's new port.
            if program.reload_signal is not None:
                self._supervisor.signal_program(program.name, program.reload_signal)

    def _start_stages(self, programs: Sequence[Program], *stages: int) -> None:
        for stage in stages:
            self._start([program for program in programs if program.stage == stage])

    def _start_program(self, program: Program) -> bool:
        """Start a program, and return True, unless the supervisor keeps it."""
        state = self._supervisor.state(program.name)
        if state in KEPT and state != "BACKOFF":
            return False
        self._supervisor.stop_program(program.name)  # ends the attempts of one that fails to start
        program.prepare()
        self._say(f"starting {program.name}")
        self._supervisor.start_program(program.name)
        return True

    def _wait_until_ready(self, program: Program) -> None:
        def is_ready() -> bool:
            process = self._supervisor.processes().get(program.name, {})
            if process.get("statename") == "FATAL":
                raise StackError(f"{program.name} does not stay up: {self._log_end(program.name)}")
            if program.port is not None and not listens(process.get("pid", 0), program.port):
                self._replace_taken_port(program, program.port)
                return False
            return process.get("statename") == "RUNNING" and program.is_ready()

        wait_until(
            is_ready,
            timeout_s=program.ready_timeout_s,
            what=lambda: f"{program.name}: {self._log_end(program.name)}",
            every_s=0.05,
        )

    def _replace_taken_port(self, program: Program, port: int) -> None:
        """Have another port planned where a process that is not of this stack listens on the program's.

        While the supervisor keeps the program, one of its processes may come or go between two looks. So it is stopped
        on suspicion, and the port is given up only if somebody listens there without it.
        """
        if not self._is_taken(port):
            return
        self._supervisor.stop_program(program.name)
        if self._is_taken(port):
            raise PortTakenError(f"another process listens on port {port}, meant for {program.name}")
        self._supervisor.start_program(program.name)

    def _is_taken(self, port: int) -> bool:
        return not is_free(port) and not self._supervisor.listens(port)

    def _log_end(self, name: str) -> str:
        log = self._layout.logs / f"{name}.log"
        return f"{log} ends:\n{log.read_text(encoding='utf-8', errors='replace')[-1500:]}" if log.exists() else "no log"

    def _timed(self, step: str, work: Callable[[], object]) -> None:
        began = time.monotonic()
        work()
        self._seconds[step] = round(time.monotonic() - began, 3)
