"""Plan one `up`: servers, URLs, programs. Configuration files are written; nothing is started."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg

from dbconnect import Settings, load_settings
from local_stack import credentials as roles
from local_stack.account import Account
from local_stack.credentials import Credentials
from local_stack.databases import APPLICATION_DATABASE, DAGSTER_DATABASE
from local_stack.environment import (
    CELERY_CONFIG,
    dagster_environment,
    explicit_settings,
    explicit_urls,
    install_dagster_home,
    write_stack_file,
)
from local_stack.errors import StackError
from local_stack.paths import StackPaths
from local_stack.pgbouncer import Pooler, configure_pgbouncer, find_pgbouncer, plan_poolers
from local_stack.ports import LOOPBACK
from local_stack.postgres_binaries import cache_directory, find_binaries
from local_stack.postgres_cluster import SUPERUSER, Cluster, Passwords, server_url
from local_stack.programs import Program
from local_stack.redis_server import configure_redis, find_redis, redis_url, responds_to_ping

# Programs read these from the stack file, so that no secret is in a process's environment.
_IN_STACK_FILE = {"data_dir", "dagster_home", "api_port", "jwt_secret", "webhook_private_networks"}

_PROJECT = Path(__file__).parents[1]
_INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PYTHONPATH", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME")


@dataclass(frozen=True)
class StackOptions:
    """What to start, and where.

    Attributes:
        data_dir: the data directory.
        with_ui: whether to start the dashboard and Dagster's webserver.
        definitions_module: of the Dagster definitions.
        worker_processes: the number of runs that execute at a time.
        nice_values: added to the nice value of programs, by name.
        commands: further commands of `salespulse` to supervise: arguments by name.
    """

    data_dir: Path
    with_ui: bool = True
    definitions_module: str = "pipelines.definitions"
    worker_processes: int = 3
    nice_values: Mapping[str, int] = field(default_factory=dict)
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class StackPlan:
    """What the programs are made of; `clusters` and `redis` are None when the user's own servers are used."""

    paths: StackPaths
    account: Account
    ports: Mapping[str, int]
    credentials: Credentials
    settings: Settings
    clusters: tuple[Cluster, Cluster] | None
    redis: tuple[Path, Path] | None  # binary, configuration
    poolers: Sequence[tuple[Path, Path, Pooler]]  # binary, configuration, what it is
    # An alias of its own: the webserver does SET statement_timeout, which would stay with a pooled session.
    webserver_storage_url: str
    options: StackOptions


def configure_servers(
    paths: StackPaths,
    account: Account,
    credentials: Credentials,
    ports: Mapping[str, int],
    options: StackOptions,
) -> StackPlan:
    """Decide which servers the stack runs itself, and write their configuration, `stack.env` and Dagster's home.

    Raises:
        StackError: a program is not installed, or Dagster's database is missing beside a PostgreSQL of the user's.
    """
    explicit = explicit_settings(paths, credentials)
    entries: dict[str, str] = {"dagster_home": str(paths.dagster_home)}
    clusters, pgbouncer, redis = None, None, None
    if explicit.admin_url is None and explicit.primary_url is None:
        passwords = Passwords(credentials.superuser, credentials.replication)
        binaries = find_binaries(account)
        clusters = (
            Cluster(binaries, paths.servers / "postgres_primary", ports["postgres_primary"], passwords),
            Cluster(binaries, paths.servers / "postgres_standby", ports["postgres_standby"], passwords),
        )
        pgbouncer = find_pgbouncer(account)
        entries |= _postgres_urls(ports, credentials, pooled=pgbouncer is not None)
    elif explicit.dagster_url is None:
        raise StackError(
            "SALESPULSE_DAGSTER_URL is not set, but PostgreSQL is given by URL: create a database for Dagster there, "
            "with a role that owns it, and set SALESPULSE_DAGSTER_URL"
        )
    if explicit.redis_url is None:
        config = configure_redis(paths.servers / "redis", ports["redis"], credentials.redis, account)
        redis = (find_redis(account, cache_directory(account)), config)
        entries["redis_url"] = redis_url(ports["redis"], credentials.redis)
    entries |= explicit_urls(explicit)
    entries["api_port"] = str(ports["dashboard"])
    # A webhook receiver on this machine, for trying it out.
    entries["webhook_private_networks"] = json.dumps(list(explicit.webhook_private_networks) or ["127.0.0.0/8"])
    if explicit.jwks_url is None:
        entries["jwt_secret"] = explicit.jwt_secret.get_secret_value() if explicit.jwt_secret else credentials.jwt
    if options.with_ui:
        entries["dagster_webserver_url"] = f"http://{LOOPBACK}:{ports['webserver']}"
    write_stack_file(paths, entries)
    install_dagster_home(paths, code_server_port=ports["code_server"])
    settings = load_settings(data_dir=paths.root)
    webserver_storage_url = settings.url("dagster_url")
    if pgbouncer is not None and explicit.dagster_url is None:
        password = credentials.roles[roles.DAGSTER_ROLE]
        webserver_storage_url = server_url(ports["pgbouncer_pipeline"], "dagster_ui", roles.DAGSTER_ROLE, password)
    poolers = plan_poolers(ports)
    return StackPlan(
        paths=paths,
        account=account,
        ports=ports,
        credentials=credentials,
        settings=settings,
        clusters=clusters,
        redis=redis,
        poolers=[
            (pgbouncer, configure_pgbouncer(paths.servers / each.name, each, credentials, account), each)
            for each in poolers
        ]
        if pgbouncer is not None
        else [],
        webserver_storage_url=webserver_storage_url,
        options=options,
    )


def _postgres_urls(ports: Mapping[str, int], credentials: Credentials, *, pooled: bool) -> dict[str, str]:
    """Return the `…_url` settings of the stack's PostgreSQL, through PgBouncer where it is `pooled`."""

    def direct(role: str, server: str, database: str = APPLICATION_DATABASE) -> str:
        return server_url(ports[server], database, role, credentials.roles[role])

    def route(role: str, server: str, pooler: str, alias: str, database: str = APPLICATION_DATABASE) -> str:
        return direct(role, pooler, alias) if pooled else direct(role, server, database)

    primary, standby = "postgres_primary", "postgres_standby"
    pipeline, dashboard = "pgbouncer_pipeline", "pgbouncer_dashboard"
    return {
        "admin_url": server_url(ports[primary], APPLICATION_DATABASE, SUPERUSER, credentials.superuser),
        "primary_url": route(roles.PIPELINE_ROLE, primary, pipeline, "pipeline_write"),
        "replica_url": route(roles.READER_ROLE, standby, pipeline, "pipeline_read"),
        "replica_direct_url": direct(roles.READER_ROLE, standby),
        "dashboard_url": route(roles.DASHBOARD_ROLE, standby, dashboard, "dashboard"),
        "dashboard_fallback_url": route(roles.DASHBOARD_ROLE, primary, dashboard, "dashboard_fallback"),
        "dashboard_direct_url": direct(roles.DASHBOARD_ROLE, standby),
        "dashboard_fallback_direct_url": direct(roles.DASHBOARD_ROLE, primary),
        "application_url": direct(roles.APPLICATION_ROLE, primary),
        "dagster_url": route(roles.DAGSTER_ROLE, primary, pipeline, "dagster", DAGSTER_DATABASE),
        "dagster_direct_url": direct(roles.DAGSTER_ROLE, primary, DAGSTER_DATABASE),
    }


def base_environment() -> dict[str, str]:
    """Return the few variables of our own environment that every program gets."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    directories = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return inherited | {"PATH": os.pathsep.join(directories)}


def server_programs(plan: StackPlan) -> list[Program]:
    """Return the programs of PostgreSQL, Redis and PgBouncer, as far as the stack runs them."""
    user = plan.account.name if plan.account.is_other_user else None
    programs = []
    if plan.clusters is not None:
        programs += [
            Program(
                name=name,
                command=cluster.command(),
                stage=1,
                port=cluster.port,
                before_start=cluster.clear_stale_pid_file,
                is_ready=partial(_accepts_connections, cluster.url()),
                reload_signal="HUP",
                user=user,
                stop_signal="INT",
                stop_wait_s=60,
                ready_timeout_s=600,  # recovery after a crash reads all WAL since the last checkpoint
            )
            for name, cluster in zip(("postgres_primary", "postgres_standby"), plan.clusters, strict=True)
        ]
    if plan.redis is not None:
        binary, config = plan.redis
        url = plan.settings.url("redis_url")
        redis = Program(
            "redis", [str(binary), str(config)], 1, plan.ports["redis"], partial(responds_to_ping, url), user=user
        )
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
        for binary, config, pooler in plan.poolers
    ]
    return programs


def dagster_programs(plan: StackPlan) -> list[Program]:
    """Return Dagster's code server, worker, daemon and, with the UI, webserver."""
    environment = python_environment(plan)
    python = [sys.executable, "-m"]
    workspace = str(plan.paths.workspace)
    code_port, ui_port = plan.ports["code_server"], plan.ports["webserver"]
    programs = [
        Program(
            name="code_server",
            command=[
                *python, "dagster", "api", "grpc", "--host", LOOPBACK, "--port", str(code_port),
                "--module-name", plan.options.definitions_module, "--location-name", "salespulse",
                "--use-python-environment-entry-point",
            ],
            stage=3,
            port=code_port,
            starts_early=True,
            environment=environment,
            ready_timeout_s=300,  # on a busy machine the definitions take a minute to load
        ),
        Program(
            name="worker",
            command=[
                *python, "celery", "-A", "dagster_celery.app", "worker", "--pool", "prefork",
                "--concurrency", str(plan.options.worker_processes), "--queues", "dagster", "--hostname", "salespulse@%h",
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
    if plan.options.with_ui:
        programs.append(
            Program(
                name="webserver",
                command=[
                    *python, "dagster_webserver", "--host", LOOPBACK, "--port", str(ui_port),
                    "--workspace", workspace, "--log-level", "warning",
                ],
                stage=4,
                port=ui_port,
                environment={**environment, **_dagster_variables(plan, plan.webserver_storage_url)},
            )
        )  # fmt: skip
    return programs


def python_environment(plan: StackPlan) -> dict[str, str]:
    """Return the variables of the project's own programs: Dagster's, and the settings that the user made."""
    path = [str(_PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    explicit = {
        f"SALESPULSE_{name.upper()}": str(getattr(plan.settings, name))
        for name in plan.settings.model_fields_set
        if not name.endswith("_url") and name not in _IN_STACK_FILE
    }
    return {
        **explicit,
        **_dagster_variables(plan, plan.settings.url("dagster_url")),
        "SALESPULSE_DATA_DIR": str(plan.paths.root),
        "SALESPULSE_DEFINITIONS_MODULE": plan.options.definitions_module,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
    }


def command_programs(plan: StackPlan) -> list[Program]:
    """Return the programs that are commands of `salespulse`, such as the heartbeat."""
    salespulse = shutil.which("salespulse")
    start = [salespulse] if salespulse else [sys.executable, "-c", "from salespulse.cli import main; main()"]
    environment = python_environment(plan)
    return [
        Program(name, [*start, *arguments], 3, environment=environment)
        for name, arguments in plan.options.commands.items()
    ]


def dashboard_programs(plan: StackPlan) -> list[Program]:
    """Return the dashboard's API and page: nothing without the UI, or without a server to read from."""
    if not plan.options.with_ui or plan.settings.dashboard_url is None:
        return []
    return [
        Program(
            name="dashboard",
            command=[sys.executable, "-m", "dashboard_api"],
            stage=3,
            port=plan.ports["dashboard"],
            environment=python_environment(plan),
        )
    ]


def _dagster_variables(plan: StackPlan, storage_url: str) -> Mapping[str, str]:
    redis_url = plan.settings.url("redis_url")
    return dagster_environment(home=plan.paths.dagster_home, storage_url=storage_url, redis_url=redis_url)


def _accepts_connections(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
