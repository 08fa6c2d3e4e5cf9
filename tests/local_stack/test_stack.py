"""The whole local stack on real processes. One stack serves the file; each test leaves it running."""

import contextlib
import os
import signal
import socket
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis

from dbconnect import Settings, load_settings
from local_stack.account import server_account
from local_stack.paths import StackPaths
from local_stack.pgbouncer import find_pgbouncer
from local_stack.ports import is_free, plan_ports, recorded_ports
from local_stack.processes import is_listening, kill_all, process_tree
from local_stack.programs import STACK_MARK
from local_stack.stack import StackOptions, down, up
from local_stack.status import stack_status
from local_stack.supervisor import Supervisor
from local_stack.waiting import wait_until
from pipelines.migrate import migrate_all
from tests.servers import Shared

POOLERS = ["pgbouncer_dashboard", "pgbouncer_pipeline"] if find_pgbouncer(server_account()) else []
PROGRAMS = [
    "postgres_primary", "postgres_standby", "redis", *POOLERS, "dashboard", "code_server", "worker", "daemon", "webserver",
]  # fmt: skip

_TRIVIAL = {"repositoryLocationName": "salespulse", "repositoryName": "__repository__", "jobName": "trivial"}
_LAUNCH = """
mutation ($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
_STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"

# Every program has to cope with what a path may hold.
DATA_DIR = "Zoë's sales, 100%"

NICE_VALUES = {"postgres_primary": 2, "worker": 3}

needs_pgbouncer = pytest.mark.skipif(not POOLERS, reason="PgBouncer is not installed (tests/install-debian-packages)")


class Stack:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.log: list[str] = []

    def up(self) -> None:
        self.log.clear()
        options = StackOptions(
            self.data_dir,
            definitions_module="tests.local_stack.trivial_definitions",
            worker_processes=1,
            nice_values=NICE_VALUES,
        )
        up(options, migrate=migrate_all, log=self.log.append)

    @property
    def settings(self) -> Settings:
        return load_settings(data_dir=self.data_dir)

    def pids(self) -> dict[str, int | None]:
        return {each.name: each.pid for each in stack_status(self.data_dir)}

    def processes(self) -> list[psutil.Process]:
        members = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(STACK_MARK) == str(self.data_dir):
                    members.append(process)
        return members

    def run_trivial(self) -> str:
        """Launch a run as a user of the UI would, and give its final status."""
        ended = {"SUCCESS", "FAILURE", "CANCELED"}
        with httpx.Client(base_url=self.settings.dagster_webserver_url, timeout=30) as client:

            def ask(query: str, **variables: object) -> dict:
                answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
                assert "errors" not in answer, answer
                return answer["data"]

            launched = ask(_LAUNCH, selector=_TRIVIAL)["launchRun"]
            assert launched["__typename"] == "LaunchRunSuccess", launched
            run_id = launched["run"]["runId"]
            status = ""

            def is_over() -> bool:
                nonlocal status
                status = ask(_STATUS, id=run_id)["runOrError"]["status"]
                return status in ended

            wait_until(is_over, timeout_s=60, what="the run to end")
            return status


@pytest.fixture(scope="module")
def shared_stack(server_directory: Callable[[str], Path]) -> Iterator[Shared[Stack]]:
    @contextlib.contextmanager
    def run() -> Iterator[Stack]:
        running = Stack(server_directory("salespulse-stack") / DATA_DIR)
        try:
            running.up()
            yield running
        finally:
            down(running.data_dir, log=running.log.append)
            assert running.processes() == []

    with contextlib.closing(Shared(run)) as shared:
        yield shared


@pytest.fixture
def stack(shared_stack: Shared[Stack], request: pytest.FixtureRequest) -> Iterator[Stack]:
    with shared_stack.lend(request.session) as running:
        yield running


def _query(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        return connection.execute(statement).fetchone()[0]


def test_everything_runs(stack: Stack) -> None:
    states = stack_status(stack.data_dir)
    assert [each.name for each in states] == PROGRAMS
    assert all(each.is_running and each.pid for each in states), states


def test_programs_stand_back_for_others_as_they_are_told(stack: Stack) -> None:
    base = psutil.Process().nice()
    nice = {name: psutil.Process(pid).nice() - base for name, pid in stack.pids().items()}
    assert nice == {name: NICE_VALUES.get(name, 0) for name in PROGRAMS}


def test_every_route_reaches_its_server_as_its_role(stack: Stack) -> None:
    routes = {
        "admin_url": ("postgres", "salespulse", False),
        "primary_url": ("salespulse_pipeline", "salespulse", False),
        "replica_url": ("salespulse_reader", "salespulse", True),
        "replica_direct_url": ("salespulse_reader", "salespulse", True),
        "warehouse_url": ("salespulse_pipeline", "salespulse", False),
        "dashboard_url": ("salespulse_dashboard", "salespulse", True),
        "dashboard_fallback_url": ("salespulse_dashboard", "salespulse", False),
        "application_url": ("sample_app", "salespulse", False),
        "dagster_url": ("salespulse_dagster", "dagster", False),
    }
    for name, expected in routes.items():
        url = stack.settings.url(name)
        with psycopg.connect(url, prepare_threshold=None) as connection:
            row = connection.execute("SELECT current_user, current_database(), pg_is_in_recovery()").fetchone()
        assert row == expected, name
    assert redis.Redis.from_url(stack.settings.url("redis_url")).config_get("maxmemory-policy") == {
        "maxmemory-policy": "noeviction"
    }


def test_roles_are_limited(stack: Stack) -> None:
    fallback = stack.settings.url("dashboard_fallback_url")
    assert _query(fallback, "SHOW statement_timeout") == "2s"
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        _query(fallback, "CREATE TABLE public.t (n int)")
    with pytest.raises(psycopg.Error, match="permission denied"):
        _query(stack.settings.url("primary_url"), "SELECT rolpassword FROM pg_authid")
    superusers = "SELECT array_agg(rolname::text) FROM pg_roles WHERE rolsuper OR rolcreaterole OR rolbypassrls"
    assert _query(stack.settings.url("admin_url"), superusers) == ["postgres"]
    dagster_role_elsewhere = stack.settings.url("admin_url").replace(
        stack.settings.url("admin_url").partition("@")[0], stack.settings.url("dagster_url").partition("@")[0]
    )
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(dagster_role_elsewhere)


def test_a_run_goes_through_queue_broker_and_worker(stack: Stack) -> None:
    assert stack.run_trivial() == "SUCCESS"
    assert "execute_job" in (stack.data_dir / "logs" / "worker.log").read_text()


def test_secrets_stay_out_of_logs_and_process_lists(stack: Stack) -> None:
    paths = StackPaths(stack.data_dir)
    credentials = paths.credentials.read_text()
    passwords = [each for each in credentials.split('"') if len(each) == 32]
    assert len(passwords) == 8
    for log in paths.logs.iterdir():
        text = log.read_text(errors="replace")
        assert not any(password in text for password in passwords), log
    for process in stack.processes():
        command = " ".join(process.cmdline())
        assert not any(password in command for password in passwords), command
    for private in (paths.credentials, paths.supervisor_config, stack.data_dir / "stack.env"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert not any(password in text for text in stack.settings.masked().values() for password in passwords)
    for userlist in paths.servers.glob("pgbouncer*/userlist.txt"):
        assert not any(password in userlist.read_text() for password in passwords)


def test_up_again_leaves_everything_alone(stack: Stack) -> None:
    before = stack.pids()
    stack.up()
    assert stack.pids() == before
    assert stack.log == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_program_comes_back(stack: Stack, name: str) -> None:
    pid = stack.pids()[name]
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: stack.pids()[name] not in (None, pid), timeout_s=30, what=f"another {name}")
    stack.up()
    wait_until(lambda: not any(each.is_running() for each in family), timeout_s=30, what=f"the old {name} to be gone")
    assert stack.pids()[name] != pid


def _kill_and_suspend_the_next(stack: Stack, name: str, port: int | None) -> psutil.Process:
    """Kill a program, and suspend its next process before that listens."""
    supervisor = psutil.Process(int(StackPaths(stack.data_dir).supervisor_pid.read_text()))
    state = Supervisor(StackPaths(stack.data_dir)).state
    for _ in range(20):
        wait_until(lambda: state(name) == "RUNNING", timeout_s=60, what=f"{name} to run")
        before = {each.pid for each in supervisor.children()}
        members = process_tree(psutil.Process(stack.pids()[name]))
        members[0].kill()
        after: list[psutil.Process] = []
        while not after:
            after = [each for each in supervisor.children() if each.pid not in before]
        after[0].suspend()
        kill_all(members)  # or PostgreSQL's next server waits for them, and ends itself
        if port is None or not is_listening(after[0].pid, port):
            return after[0]
        after[0].resume()
    pytest.fail(f"{name} always listened at once")


@pytest.mark.parametrize("name", PROGRAMS)
def test_up_beside_a_restart_leaves_the_program_and_its_port_alone(stack: Stack, name: str, monkeypatch) -> None:
    """`up` sees a new process that does not listen yet, and then, asking whether the port is free, that it is listeners."""
    ports = recorded_ports(StackPaths(stack.data_dir).ports)
    port = ports.get(name)
    process = _kill_and_suspend_the_next(stack, name, port)

    def is_free_a_moment_later(candidate: int) -> bool:
        if candidate == port:
            process.resume()
            wait_until(lambda: is_listening(process.pid, candidate), timeout_s=120, what=f"{name} to listen")
        return is_free(candidate)

    for module in ("ports", "stack"):
        monkeypatch.setattr(f"local_stack.{module}.is_free", is_free_a_moment_later)
    if port is None:
        process.resume()
    stack.up()
    assert recorded_ports(StackPaths(stack.data_dir).ports) == ports
    assert stack.pids()[name] == process.pid
    assert stack.log == []
    assert all(each.is_running for each in stack_status(stack.data_dir))


def test_runs_succeed_after_everything_was_killed_once(stack: Stack) -> None:
    assert stack.run_trivial() == "SUCCESS"


def test_a_killed_supervisor_takes_its_programs_along_and_up_recovers(stack: Stack) -> None:
    admin = stack.settings.url("admin_url")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS public.kept AS SELECT 42 AS n")
    redis.Redis.from_url(stack.settings.url("redis_url")).set("kept", "42")
    pid = int(StackPaths(stack.data_dir).supervisor_pid.read_text())
    os.kill(pid, signal.SIGKILL)
    stack.up()
    assert all(each.is_running for each in stack_status(stack.data_dir))
    assert _query(stack.settings.url("replica_direct_url"), "SELECT pg_is_in_recovery()") is True
    assert _query(stack.settings.url("admin_url"), "SELECT n FROM public.kept") == 42
    assert redis.Redis.from_url(stack.settings.url("redis_url")).get("kept") == b"42"


def test_down_and_up_from_a_messy_state(stack: Stack) -> None:
    """A supervisor that hangs, then all that a reboot leaves: stale pid files, listeners ports, drafts, a lost standby."""
    paths = StackPaths(stack.data_dir)
    before = {name: stack.settings.url(name) for name in ("redis_url", "admin_url")}
    os.kill(int(paths.supervisor_pid.read_text()), signal.SIGSTOP)
    assert down(stack.data_dir, log=stack.log.append)
    assert stack.processes() == []
    assert {each.state for each in stack_status(stack.data_dir)} == {"STOPPED"}
    assert not down(stack.data_dir, log=stack.log.append)

    (paths.servers / "postgres_primary" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    paths.supervisor_pid.write_text(f"{os.getpid()}\n")
    paths.supervisor_socket.touch()
    (paths.servers / ".postgres_standby.abcd").mkdir()
    (paths.servers / "postgres_standby" / "standby.signal").unlink()
    with contextlib.ExitStack() as listeners:
        for url in before.values():
            other = listeners.enter_context(socket.socket())
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0])))
            other.listen()
        stack.up()
    after = {name: stack.settings.url(name) for name in before}
    assert before["redis_url"] != after["redis_url"]
    assert before["admin_url"] != after["admin_url"]
    assert all(each.is_running for each in stack_status(stack.data_dir))
    assert any("set aside" in line for line in stack.log)
    assert _query(stack.settings.url("replica_direct_url"), "SELECT pg_is_in_recovery()") is True
    assert stack.run_trivial() == "SUCCESS"
    assert not (paths.servers / ".postgres_standby.abcd").exists()


@needs_pgbouncer
def test_ports_that_others_took_meanwhile_are_replaced(stack: Stack, monkeypatch) -> None:
    """Somebody takes a port after it was chosen: `up` notices that it is not ours, and takes another."""
    before = stack.settings.url("dashboard_url")
    port = int(before.rpartition(":")[2].partition("/")[0])
    Supervisor(StackPaths(stack.data_dir)).stop_program("pgbouncer_dashboard")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def plan_and_lose(path: Path, *, running: Collection[str]) -> dict[str, int]:
            ports = plan_ports(path, running=running)
            with contextlib.suppress(OSError):  # the second time, it is ours already
                other.bind(("127.0.0.1", port))
                other.listen()
            return ports

        monkeypatch.setattr("local_stack.stack.plan_ports", plan_and_lose)
        stack.up()
    assert stack.settings.url("dashboard_url") != before
    assert any("another process listens" in line for line in stack.log)
    assert _query(stack.settings.url("dashboard_url"), "SELECT pg_is_in_recovery()") is True
