"""Launch, read and cancel Dagster runs from another process: the only module that uses Dagster's private modules.

Dagster has no public interface for launching a run without its webserver. This does what Dagster's own sensor daemon does
(`dagster._daemon.sensor`, 1.13): the job's snapshot comes from the code server, and the run goes through the instance's run
coordinator. `tests/background_jobs/dagster_bridge/test_jobs_on_a_stack.py` tests it on a real Dagster.
"""

import logging
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy
from dagster._core.errors import (
    DagsterCodeLocationLoadError,
    DagsterRunAlreadyExists,
    DagsterUserCodeProcessError,
    DagsterUserCodeUnreachableError,
)
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.remote_representation.code_location import CodeLocation
from dagster._core.remote_representation.external import RemoteJob
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_postgres.utils import DagsterPostgresException

from background_jobs.errors import DagsterUnavailableError, RunRefusedError

_logger = logging.getLogger(__name__)

_RELOAD_INTERVAL_S = 1.0

_FINAL_STATUSES = {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass(frozen=True)
class RunState:
    """One run as Dagster's storage has it.

    Attributes:
        run_id: Dagster's id.
        status: Dagster's status: QUEUED, STARTED, SUCCESS, …
        tags: all tags.
        started_ms: Unix milliseconds; None before the run has started.
        ended_ms: Unix milliseconds; None before the run has ended.
        created_ms: Unix milliseconds.
    """

    run_id: str
    status: str
    tags: Mapping[str, str]
    started_ms: int | None
    ended_ms: int | None
    created_ms: int

    @property
    def is_ended(self) -> bool:
        """Whether the run has ended."""
        return self.status in _FINAL_STATUSES


@dataclass(frozen=True)
class RunFailure:
    """Why a run failed.

    Attributes:
        reason: Dagster's reason (`STEP_FAILURE`, `START_TIMEOUT`, …); "" where there is none.
        message: the failed step's own message, else the run's.
    """

    reason: str
    message: str


class DagsterClient:
    """Launches, reads and cancels Dagster's runs. Thread-safe.

    Every method raises DagsterUnavailableError where Dagster's storage, code server or broker does not answer.

    Args:
        instance: Dagster's instance.
        workspace: Dagster's workspace file, which names the code servers.
    """

    def __init__(self, instance: dg.DagsterInstance, workspace: Path) -> None:
        self._instance = instance
        self._lock = threading.Lock()
        self._reloaded_at: dict[str, float] = {}
        with warnings.catch_warnings():
            # A code server that is not up yet is no reason for a warning: it is loaded again later.
            warnings.simplefilter("ignore")
            self._workspace = WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)]))

    def close(self) -> None:
        """Disconnect from the code servers."""
        self._workspace.__exit__(None, None, None)

    @property
    def retries_enabled(self) -> bool:
        """Whether Dagster retries failed runs by itself where their tags say so."""
        return self._instance.run_retries_enabled

    def launch_run(self, *, job_name: str, run_id: str, run_config: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Create a run and submit it to Dagster's queue, unless that was done before.

        Raises:
            RunRefusedError: there is no such job, or the configuration does not fit it.
        """
        with _mapped_errors():
            run = self._instance.get_run_by_id(run_id)
            context = self._workspace.create_request_context()
            is_new = False
            if run is None:
                location, job = self._find_job(context, job_name)
                is_new = self._create(location, job, run_id=run_id, run_config=run_config, tags=tags)
            if run is None or run.status is dg.DagsterRunStatus.NOT_STARTED:
                # Whoever created the run may have died before submitting it, and before its tags were indexed.
                if not is_new:
                    self._index_tags(run_id)
                self._instance.submit_run(run_id, context)

    def get_run(self, run_id: str) -> RunState | None:
        """Return a run; None if it does not exist."""
        return next(iter(self.get_runs([run_id])), None)

    def get_runs(self, run_ids: list[str]) -> list[RunState]:
        """Return those of the runs that exist."""
        if not run_ids:
            return []
        with _mapped_errors():
            return [_run_state(record) for record in self._instance.get_run_records(dg.RunsFilter(run_ids=run_ids))]

    def runs_with_tag(
        self, tag: str, value: str | None = None, *, statuses: tuple[str, ...] = (), limit: int = 1000
    ) -> list[RunState]:
        """Return the newest runs that have a tag.

        Args:
            tag: its key.
            value: its value; None for any.
            statuses: Dagster's statuses; none means all.
            limit: the most runs to read.
        """
        tags = None if value is None else {tag: value}
        filters = dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus(status) for status in statuses] or None)
        with _mapped_errors():
            records = self._instance.get_run_records(filters, limit=limit)
            return [_run_state(record) for record in records if tag in record.dagster_run.tags]

    def run_failure(self, run_id: str) -> RunFailure:
        """Return why a run failed."""
        with _mapped_errors():
            kinds = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.STEP_FAILURE}
            entries = self._instance.all_logs(run_id, of_type=kinds)
        return _run_failure([entry.dagster_event for entry in entries if entry.dagster_event is not None])

    def request_cancel(self, run_id: str) -> None:
        """Ask a run to end as canceled: a queued one ends at once, another when it next checks for cancellation."""
        with _mapped_errors():
            run = self._instance.get_run_by_id(run_id)
            if run is None or run.is_finished or run.status is dg.DagsterRunStatus.CANCELING:
                return
            self._instance.report_run_canceling(run, message="The job was canceled.")
            if run.status in {dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED}:
                self._instance.report_run_canceled(run)

    def terminate_run(self, run_id: str) -> None:
        """Terminate a run's process."""
        with _mapped_errors():
            run = self._instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                return
            if run.status is not dg.DagsterRunStatus.CANCELING:
                self._instance.report_run_canceling(run, message="The job has ended.")
            try:
                self._instance.run_launcher.terminate(run_id)
            except KeyError:
                # A run that was never launched has no Celery task.
                _logger.info("run %s had not been launched", run_id)

    def mark_canceled(self, run_id: str) -> None:
        """Record a run as canceled whose process is gone."""
        with _mapped_errors():
            run = self._instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                self._instance.report_run_canceled(run, message="Its worker did not answer.")

    def _find_job(self, context: WorkspaceRequestContext, job_name: str) -> tuple[CodeLocation, RemoteJob]:
        load_error = None
        for name in context.get_code_location_entries():
            try:
                location = context.get_code_location(name)
            except DagsterCodeLocationLoadError as error:
                load_error = error
                self._reload(name)
                continue
            for repository in location.get_repositories().values():
                if repository.has_job(job_name):
                    return location, repository.get_full_job(job_name)
        if load_error is not None:
            raise _code_server_unavailable(load_error) from load_error
        raise RunRefusedError(f"Dagster has no job {job_name!r}")

    def _reload(self, name: str) -> None:
        """Load a code location again, at most once every `_RELOAD_INTERVAL_S`."""
        with self._lock:
            now = time.monotonic()
            if now - self._reloaded_at.get(name, -_RELOAD_INTERVAL_S) < _RELOAD_INTERVAL_S:
                return
            self._reloaded_at[name] = now
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._workspace.refresh_code_location(name)

    def _create(
        self,
        location: CodeLocation,
        job: RemoteJob,
        *,
        run_id: str,
        run_config: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> bool:
        plan = location.get_execution_plan(
            job, run_config, step_keys_to_execute=None, known_state=None, instance=self._instance
        )
        try:
            self._instance.create_run(
                job_name=job.name,
                run_id=run_id,
                run_config=run_config,
                status=dg.DagsterRunStatus.NOT_STARTED,
                tags={**(job.run_tags or {}), **tags},
                root_run_id=None,
                parent_run_id=None,
                step_keys_to_execute=None,
                execution_plan_snapshot=plan.execution_plan_snapshot,
                job_snapshot=job.job_snapshot,
                parent_job_snapshot=job.parent_job_snapshot,
                asset_selection=None,
                asset_check_selection=None,
                resolved_op_selection=job.resolved_op_selection,
                op_selection=None,
                remote_job_origin=job.get_remote_origin(),
                job_code_origin=job.get_python_origin(),
                asset_graph=location.get_repository(job.repository_handle.repository_name).asset_graph,
            )
        except DagsterRunAlreadyExists:
            # Another bridge created it first.
            return False
        return True

    def _index_tags(self, run_id: str) -> None:
        """Insert a run's tags into Dagster's tag table where they are missing.

        Dagster's storage commits a run, with its tags inside, and then the rows of the tag table that searches use.
        """
        run = self._instance.get_run_by_id(run_id)
        storage = self._instance.run_storage
        if run is None or not isinstance(storage, SqlRunStorage):
            return
        with storage.connect() as connection:
            statement = sqlalchemy.select(RunTagsTable.c.key).where(RunTagsTable.c.run_id == run_id)
            indexed = set(connection.execute(statement).scalars())
            missing = [
                {"run_id": run_id, "key": key, "value": value}
                for key, value in run.tags_for_storage().items()
                if key not in indexed
            ]
            if missing:
                connection.execute(RunTagsTable.insert(), missing)


@contextmanager
def _mapped_errors() -> Iterator[None]:
    """Raise Dagster's errors as the bridge's own."""
    try:
        yield
    except DagsterUserCodeUnreachableError as error:
        raise _code_server_unavailable(error) from error
    except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError, DagsterPostgresException) as error:
        _logger.info("Dagster's storage is unavailable: %s", _first_line(error))
        raise DagsterUnavailableError("Dagster's storage is unavailable") from error
    except DagsterUserCodeProcessError as error:
        raise RunRefusedError(f"Dagster refuses the run: {_cause(error)}") from error


def _code_server_unavailable(error: Exception) -> DagsterUnavailableError:
    # Tenants read the message of a waiting job; the details are for the log.
    _logger.info("Dagster's code server is unavailable: %s", _first_line(error))
    return DagsterUnavailableError("Dagster's code server is unavailable")


def _run_state(record: dg.RunRecord) -> RunState:
    run = record.dagster_run
    return RunState(
        run_id=run.run_id,
        status=run.status.value,
        tags=run.tags,
        started_ms=_ms(record.start_time),
        ended_ms=_ms(record.end_time),
        created_ms=round(record.create_timestamp.timestamp() * 1000),
    )


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _run_failure(events: list[dg.DagsterEvent]) -> RunFailure:
    steps = [each for each in events if each.event_type is dg.DagsterEventType.STEP_FAILURE]
    ends = [each for each in events if each.event_type is dg.DagsterEventType.RUN_FAILURE]
    reason = ""
    message = "the run failed"
    if ends:
        # A run that was marked as failed from outside may have a message alone.
        data = ends[-1].event_specific_data
        failure_reason = data.failure_reason if isinstance(data, JobFailureData) else None
        if failure_reason not in {None, RunFailureReason.UNKNOWN}:
            reason = failure_reason.value
        message = ends[-1].message or message
    if steps:
        message = _step_message(steps[0])
    return RunFailure(reason, message)


def _step_message(event: dg.DagsterEvent) -> str:
    """Return a `Failure`'s description, else the message of the innermost cause of the op's error."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else event.message or "the step failed"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0][:300]


def _cause(error: DagsterUserCodeProcessError) -> str:
    infos = error.user_code_process_error_infos
    return (infos[0].message if infos else str(error)).strip()[:1000]
