"""What one `up` will run: ports, URLs, programs. Everything here is computed; nothing is started."""

import json
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from dbconnect import Settings
from local_stack import credentials as names
from local_stack.account import Account
from local_stack.credentials import Credentials
from local_stack.dagster_home import CELERY_CONFIG, dagster_environment
from local_stack.databases import APPLICATION_DATABASE, DAGSTER_DATABASE
from local_stack.files import write_private
from local_stack.layout import Layout
from local_stack.pgbouncer import Pooler
from local_stack.ports import LOOPBACK, free_ports, is_free
from local_stack.postgres_cluster import Cluster, server_url
from local_stack.programs import Program
from local_stack.redis_server import answers

# Where people look first; any free port will do when these are taken.
_CUSTOMARY = {"pgbouncer_dashboard": 6543, "pgbouncer_pipeline": 6544, "webserver": 3000, "dashboard": 8400}
PORT_NAMES = ("postgres_primary", "postgres_standby", "redis", "code_server", *_CUSTOMARY)

# The programs read these from the file that `up` writes, so that no secret stands in a process's environment.
_IN_STACK_FILE = {"data_dir", "dagster_home", "api_port", "jwt_secret", "webhook_private_networks"}

_PROJECT = Path(__file__).parents[1]
_INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PYTHONPATH", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME")


def recorded_ports(path: Path) -> dict[str, int]:
    """Return the ports of the last start by program; empty when the file is missing or damaged."""
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
    for name, spare in zip(PORT_NAMES, free_ports(len(PORT_NAMES)), strict=True):
        preferred = (recorded.get(name), _CUSTOMARY.get(name))
        usable = (port for port in preferred if port and port not in ports.values() and is_free(port))
        ports.setdefault(name, next(usable, spare))
    write_private(path, json.dumps(ports, indent=1))
    return ports


def stack_urls(
    ports: Mapping[str, int], credentials: Credentials, *, postgres: bool, redis_url: str | None, pooled: bool
) -> dict[str, str]:
    """The `…_url` settings of the servers that the stack runs itself.

    Args:
        ports: of each program.
        credentials: of each role.
        postgres: whether the stack runs PostgreSQL.
        redis_url: of the stack's own Redis; None when another is used.
        pooled: whether PgBouncer stands before PostgreSQL.
    """
    urls = {} if redis_url is None else {"redis_url": redis_url}
    if not postgres:
        return urls

    def route(role: str, server: str, pooler: str, alias: str) -> str:
        port, database = (ports[pooler], alias) if pooled else (ports[server], APPLICATION_DATABASE)
        return server_url(port, database, role, credentials.roles[role])

    def direct(server: str, role: str, password: str) -> str:
        return server_url(ports[server], APPLICATION_DATABASE, role, password)

    dagster = ports["pgbouncer_pipeline"] if pooled else ports["postgres_primary"]
    return urls | {
        "admin_url": direct("postgres_primary", "postgres", credentials.superuser),
        "primary_url": route(names.PIPELINE_ROLE, "postgres_primary", "pgbouncer_pipeline", "pipeline_write"),
        "replica_url": route(names.READER_ROLE, "postgres_standby", "pgbouncer_pipeline", "pipeline_read"),
        "replica_direct_url": direct("postgres_standby", names.READER_ROLE, credentials.roles[names.READER_ROLE]),
        "dashboard_url": route(names.DASHBOARD_ROLE, "postgres_standby", "pgbouncer_dashboard", "dashboard"),
        "dashboard_fallback_url": route(
            names.DASHBOARD_ROLE, "postgres_primary", "pgbouncer_dashboard", "dashboard_fallback"
        ),
        "dashboard_direct_url": direct(
            "postgres_standby", names.DASHBOARD_ROLE, credentials.roles[names.DASHBOARD_ROLE]
        ),
        "dashboard_fallback_direct_url": direct(
            "postgres_primary", names.DASHBOARD_ROLE, credentials.roles[names.DASHBOARD_ROLE]
        ),
        "application_url": direct(
            "postgres_primary", names.APPLICATION_ROLE, credentials.roles[names.APPLICATION_ROLE]
        ),
        "dagster_url": server_url(dagster, DAGSTER_DATABASE, names.DAGSTER_ROLE, credentials.roles[names.DAGSTER_ROLE]),
        "dagster_direct_url": server_url(
            ports["postgres_primary"], DAGSTER_DATABASE, names.DAGSTER_ROLE, credentials.roles[names.DAGSTER_ROLE]
        ),
    }


@dataclass(frozen=True)
class Parts:
    """What the programs are made of; a server that was given by URL is None."""

    layout: Layout
    account: Account
    ports: Mapping[str, int]
    credentials: Credentials
    settings: Settings
    clusters: tuple[Cluster, Cluster] | None
    redis: tuple[Path, Path] | None  # binary, configuration
    poolers: Sequence[tuple[Path, Path, Pooler]]  # binary, configuration, what it is
    # An alias of its own: the webserver does SET statement_timeout, which would stay with a pooled session.
    webserver_storage_url: str
    definitions_module: str
    worker_processes: int
    with_ui: bool


def base_environment() -> dict[str, str]:
    """What every program gets of our own environment: little, so that a stack does not depend on who started it."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    directories = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return kept | {"PATH": os.pathsep.join(directories)}


def server_programs(parts: Parts) -> list[Program]:
    """PostgreSQL, Redis and PgBouncer, as far as the stack runs them."""
    user = parts.account.name if parts.account.is_other else None
    programs = []
    if parts.clusters is not None:
        programs += [
            Program(
                name=name,
                command=cluster.command(),
                stage=1,
                port=cluster.port,
                prepare=cluster.clear_stale_pid_file,
                is_ready=partial(_accepts, cluster.url()),
                reload_signal="HUP",
                user=user,
                stop_signal="INT",
                stop_wait_s=60,
                ready_timeout_s=600,  # recovery after a crash reads all WAL since the last checkpoint
            )
            for name, cluster in zip(("postgres_primary", "postgres_standby"), parts.clusters, strict=True)
        ]
    if parts.redis is not None:
        binary, config = parts.redis
        url = parts.settings.url("redis_url")
        redis = Program("redis", [str(binary), str(config)], 1, parts.ports["redis"], partial(answers, url), user=user)
        programs.append(redis)
    programs += [
        Program(
            name=pooler.name,
            command=[str(binary), str(config)],
            stage=2,
            port=pooler.port,
            user=user,
            reload_signal="HUP",
            stop_signal="INT",
            stop_wait_s=10,
        )
        for binary, config, pooler in parts.poolers
    ]
    return programs


def dagster_programs(parts: Parts) -> list[Program]:
    """Dagster's code server, worker, daemon and (unless unwanted) webserver."""
    environment = python_environment(parts)
    python = [sys.executable, "-m"]
    workspace = str(parts.layout.workspace)
    code_port, ui_port = parts.ports["code_server"], parts.ports["webserver"]
    programs = [
        Program(
            name="code_server",
            command=[
                *python, "dagster", "api", "grpc", "--host", LOOPBACK, "--port", str(code_port),
                "--module-name", parts.definitions_module, "--location-name", "salespulse",
                "--use-python-environment-entry-point",
            ],
            stage=3,
            port=code_port,
            begins_early=True,
            environment=environment,
            ready_timeout_s=300,  # it loads the definitions: seconds, on a busy machine a minute
        ),
        Program(
            name="worker",
            command=[
                *python, "celery", "-A", "dagster_celery.app", "worker", "--pool", "prefork",
                "--concurrency", str(parts.worker_processes), "--queues", "dagster", "--hostname", "salespulse@%h",
                "--without-gossip", "--without-mingle", "--loglevel", "INFO",
            ],
            stage=3,
            environment={**environment, "PYTHONPATH": f"{CELERY_CONFIG}{os.pathsep}{environment['PYTHONPATH']}"},
            stop_wait_s=30,
        ),
        Program(
            name="daemon",
            command=[*python, "dagster._daemon", "run", "--workspace", workspace],
            stage=4,
            environment=environment,
        ),
    ]  # fmt: skip
    if parts.with_ui:
        programs.append(
            Program(
                name="webserver",
                command=[
                    *python, "dagster_webserver", "--host", LOOPBACK, "--port", str(ui_port),
                    "--workspace", workspace, "--log-level", "warning",
                ],
                stage=4,
                port=ui_port,
                environment={**environment, **_dagster_variables(parts, parts.webserver_storage_url)},
            )
        )  # fmt: skip
    return programs


def python_environment(parts: Parts) -> dict[str, str]:
    """The environment of the project's own programs: Dagster's variables, and the settings that were given to `up`."""
    path = [str(_PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    given = {name: getattr(parts.settings, name) for name in parts.settings.model_fields_set}
    passed_on = {
        f"SALESPULSE_{name.upper()}": str(value)
        for name, value in given.items()
        if not name.endswith("_url") and name not in _IN_STACK_FILE
    }
    return {
        **passed_on,
        **_dagster_variables(parts, parts.settings.url("dagster_url")),
        "SALESPULSE_DATA_DIR": str(parts.layout.root),
        "SALESPULSE_DEFINITIONS_MODULE": parts.definitions_module,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
    }


def command_programs(commands: Mapping[str, Sequence[str]], parts: Parts) -> list[Program]:
    """Further programs of the project's own command line, such as the heartbeat: name to arguments of `salespulse`."""
    salespulse = shutil.which("salespulse")
    start = [salespulse] if salespulse else [sys.executable, "-c", "from salespulse.cli import main; main()"]
    environment = python_environment(parts)
    return [Program(name, [*start, *arguments], 3, environment=environment) for name, arguments in commands.items()]


def dashboard_programs(parts: Parts) -> list[Program]:
    """The dashboard's API and page, unless the stack runs without pages or nothing says where to read."""
    if not parts.with_ui or parts.settings.dashboard_url is None:
        return []
    return [
        Program(
            name="dashboard",
            command=[sys.executable, "-m", "dashboard_api"],
            stage=3,
            port=parts.ports["dashboard"],
            environment=python_environment(parts),
        )
    ]


def _dagster_variables(parts: Parts, storage_url: str) -> Mapping[str, str]:
    redis_url = parts.settings.url("redis_url")
    return dagster_environment(home=parts.layout.dagster_home, storage_url=storage_url, redis_url=redis_url)


def _accepts(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
