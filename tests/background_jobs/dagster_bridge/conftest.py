"""One local stack per module: real Redis, PostgreSQL pair, Dagster's daemon, code server and Celery worker, and the bridge, in processes.

The bridge is kept by the stack's supervisor, as in production, so that what a test kills comes back by itself.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg
import pytest
import redis

from background_jobs.dagster_bridge.dagster_client import DagsterClient, RunState
from background_jobs.dagster_bridge.job_store import open_job_store
from background_jobs.dagster_bridge.run_tags import JOB_ID
from background_jobs.kinds import get_kind
from background_jobs.store import Deadlines, Job, JobState
from dbconnect import Settings, load_settings
from local_stack.environment import dagster_environment
from local_stack.paths import StackPaths
from local_stack.programs import STACK_MARK
from local_stack.stack import StackOptions, down, up
from local_stack.status import stack_status
from local_stack.supervisor import Supervisor
from local_stack.waiting import wait_until
from pipelines.migrate import migrate_all
from pipelines.source import install_source, load_mapping
from salespulse.cli.stack import supervised_commands
from sample_app import install_application
from sample_app.synthetic import generate
from tests.servers import Shared

# Deadlines are for hangs; conditions do the work.
PATIENCE_S = 120.0


class Stack:
    """The stack, and a view of its jobs from outside."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.settings: Settings
        self._open = contextlib.ExitStack()

    def up(self) -> None:
        options = StackOptions(self.data_dir, with_ui=False, worker_processes=2, commands=supervised_commands())
        # A busy machine may take longer for a step than `up` waits; what runs is left alone, so it is asked again.
        self.settings = up(options, migrate=self._prepare, log=lambda _: None).settings
        self.store = open_job_store(self.settings)
        self._open.callback(self.store.close)
        environment = dagster_environment(
            home=StackPaths(self.data_dir).dagster_home,
            storage_url=self.settings.url("dagster_url"),
            redis_url=self.settings.url("redis_url"),
        )
        for name, value in environment.items():
            os.environ[name] = value
        self.instance = self._open.enter_context(dg.DagsterInstance.get())
        self.dagster = DagsterClient(self.instance, StackPaths(self.data_dir).workspace)
        self._open.callback(self.dagster.close)

    def close(self) -> None:
        self._open.close()
        down(self.data_dir, log=lambda _: None)

    def _prepare(self, settings: Settings) -> None:
        """Before anything looks for changes: an application with sales."""
        migrate_all(settings)
        with psycopg.connect(settings.url("admin_url"), autocommit=True) as admin:
            if admin.execute("SELECT to_regclass('retail.sales')").fetchone() == (None,):
                install_application(admin)
                install_source(admin, load_mapping("retail"))
                generate(admin, tenants=2, sales=300, days=30, stores=2, products=20, last_day=datetime.now(UTC).date())

    def submit(
        self, kind: str = "hello_world", *, tenant: str = "t", deadlines: Deadlines | None = None, **options: Any
    ) -> Job:
        """Submit a job; its parameters and other options by name."""
        job_kind = get_kind(kind)
        params = {name: options.pop(name) for name in list(options) if name in job_kind.params.model_fields}
        if deadlines is not None:
            options["deadlines"] = deadlines
        return self.store.submit(job_kind.submission(tenant=tenant, params=params, **options)).job

    def get(self, job: Job) -> Job:
        stored = self.store.get(job.id)
        assert stored is not None, f"job {job.id} is lost"
        return stored

    def wait(self, job: Job, *states: JobState, at_percent: float = 0.0) -> Job:
        """Wait until the job is in one of these states (any ending unless given), at this percentage or further."""

        def is_there() -> bool:
            with contextlib.suppress(Exception):  # Redis may be what a test has killed
                stored = self.store.get(job.id)
                if stored is None:
                    return False
                has_state = stored.state in states if states else stored.is_ended
                return has_state and (stored.percent or 0) >= at_percent
            return False

        def describe() -> str:
            return f"{job.kind} to be {[str(state) for state in states] or 'ended'}; it is {self.store.get(job.id)}"

        wait_until(is_there, timeout_s=PATIENCE_S, what=describe)
        return self.get(job)

    def started(self, **options: Any) -> Job:
        """Submit a job and wait until it makes progress."""
        return self.wait(self.submit(**options), JobState.RUNNING, at_percent=0.01)

    def runs_of(self, job: Job) -> list[RunState]:
        return self.dagster.runs_with_tag(JOB_ID, job.id)

    def run_of(self, job: Job) -> RunState:
        (run,) = self.runs_of(job)
        return run

    def wait_for_run(self, job: Job, *expected: str, attempt: int = 1) -> None:
        """Wait until Dagster's own record of an attempt's run says so."""

        def is_there() -> bool:
            statuses = [run.status for run in self.runs_of(job) if run.tags["salespulse/job_attempt"] == str(attempt)]
            return len(statuses) == 1 and statuses[0] in expected

        wait_until(is_there, timeout_s=PATIENCE_S, what=f"the run of {job.id} to be {expected}")

    def pid(self, program: str) -> int:
        (pid,) = [each.pid for each in stack_status(self.data_dir) if each.name == program]
        assert pid is not None, f"{program} does not run"
        return pid

    def kill(self, program: str) -> None:
        """Kill -9 a program and its children; the supervisor starts it again."""
        family = [psutil.Process(self.pid(program))]
        family += family[0].children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def kill_run_worker(self) -> None:
        """Kill -9 the processes that execute runs; their parent makes new ones."""
        for process in psutil.Process(self.pid("worker")).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)

    def stop_program(self, program: str) -> None:
        Supervisor(StackPaths(self.data_dir)).stop_program(program)

    def start_program(self, program: str) -> None:
        Supervisor(StackPaths(self.data_dir)).start_program(program)

    def lose_redis(self) -> None:
        """Kill Redis and destroy its data before it comes back."""
        self.stop_program("redis")
        for path in (StackPaths(self.data_dir).servers / "redis" / "appendonlydir").glob("*"):
            path.unlink()
        self.start_program("redis")
        client = redis.Redis.from_url(self.settings.url("redis_url"))

        def answers() -> bool:
            with contextlib.suppress(redis.RedisError):
                return bool(client.ping())
            return False

        wait_until(answers, timeout_s=PATIENCE_S, what="Redis to answer")
        client.close()

    def query(self, statement: str, *parameters: Any, setting: str = "admin_url") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.url(setting), autocommit=True, prepare_threshold=None) as connection:
            return connection.execute(statement.encode(), parameters or None).fetchall()

    def processes(self) -> list[psutil.Process]:
        stored = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(STACK_MARK) == str(self.data_dir):
                    stored.append(process)
        return stored


@pytest.fixture(scope="module")
def shared_stack(server_directory: Callable[[str], Path]) -> Iterator[Shared[Stack]]:
    @contextlib.contextmanager
    def run() -> Iterator[Stack]:
        ours = ("SALESPULSE_", "DAGSTER_")
        before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(ours)}
        running = Stack(server_directory("salespulse-jobs") / "data")
        try:
            running.up()
            yield running
        finally:
            running.close()
            for name in [name for name in os.environ if name.startswith(ours)]:
                del os.environ[name]
            os.environ.update(before)

    with contextlib.closing(Shared(run)) as shared:
        yield shared


@pytest.fixture
def stack(shared_stack: Shared[Stack], request: pytest.FixtureRequest) -> Iterator[Stack]:
    with shared_stack.lend(request.session) as running:
        yield running


@pytest.fixture
def settings(stack: Stack) -> Settings:
    return load_settings(data_dir=stack.data_dir)
