"""Create, look at and end Dagster runs from outside: the only module that touches Dagster's internals.

Dagster has no public interface to create a run from another process without its webserver. This follows what its own
sensor daemon does (`dagster._daemon.sensor`, 1.13): the job's snapshot comes from the code server, the run goes through the instance's
run coordinator. `tests/background_jobs/dagster_bridge/test_jobs_on_a_stack.py` pins it down.
"""

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
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

from background_jobs.dagster_bridge.errors import DagsterAwayError, RunRefusedError

_LOG = logging.getLogger(__name__)

# A code server that is away is asked again this often.
_RELOAD_EVERY_S = 1.0

_ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


@dataclass(frozen=True)
class RunState:
    """One run as it stands.

    Attributes:
        run_id: Dagster's.
        status: Dagster's word: QUEUED, STARTED, SUCCESS, …
        tags: all of them.
        started_ms: Unix time; None before.
        ended_ms: Unix time; None before.
    """

    run_id: str
    status: str
    tags: Mapping[str, str]
    started_ms: int | None
    ended_ms: int | None
    created_ms: int

    @property
    def is_ended(self) -> bool:
        """Whether it has ended."""
        return self.status in {each.value for each in _ENDED}


@dataclass(frozen=True)
class RunFailure:
    """Why a run failed.

    Attributes:
        reason: Dagster's word (`STEP_FAILURE`, `START_TIMEOUT`, …); "" where it gave none.
        message: the failing step's own message, else the run's.
    """

    reason: str
    message: str


class Runs:
    """Dagster's runs, as the bridge needs them. Safe to use from several threads."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        workspace: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance = instance
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at: dict[str, float] = {}
        with warnings.catch_warnings():
            # That the code server is not there yet is nothing to warn of: it is asked again.
            warnings.simplefilter("ignore")
            self._workspace = WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)]))

    def close(self) -> None:
        """Let go of the code servers."""
        self._workspace.__exit__(None, None, None)

    @property
    def retries(self) -> bool:
        """Whether Dagster repeats failed runs by itself where their tags ask for it."""
        return self._instance.run_retries_enabled

    def start(self, *, job_name: str, run_id: str, run_config: Mapping[str, Any], tags: Mapping[str, str]) -> bool:
        """Create a run and hand it to Dagster's queue; does nothing where that was done before.

        Returns:
            Whether this call created it.

        Raises:
            DagsterAwayError: the code server or the storage does not answer.
            RunRefusedError: there is no such job, or the configuration does not fit it.
        """
        with _explained():
            run = self._instance.get_run_by_id(run_id)
            is_new = False
            context = self._workspace.create_request_context()
            if run is None:
                location, job = self._find_job(context, job_name)
                is_new = self._create(location, job, run_id=run_id, run_config=run_config, tags=tags)
            if run is None or run.status is dg.DagsterRunStatus.NOT_STARTED:
                # Whoever created it may have died before this, and before its tags could be looked for.
                if not is_new:
                    self._make_findable(run_id)
                self._instance.submit_run(run_id, context)
            return is_new

    def get(self, run_id: str) -> RunState | None:
        """Give one run; None where there is none.

        Raises:
            DagsterAwayError: the storage does not answer.
        """
        return next(iter(self.get_many([run_id])), None)

    def get_many(self, run_ids: list[str]) -> list[RunState]:
        """Give those of the runs that there are.

        Raises:
            DagsterAwayError: the storage does not answer.
        """
        if not run_ids:
            return []
        with _explained():
            return [_state(record) for record in self._instance.get_run_records(dg.RunsFilter(run_ids=run_ids))]

    def with_tag(
        self, tag: str, value: str | None = None, *, statuses: tuple[str, ...] = (), limit: int = 1000
    ) -> list[RunState]:
        """Give the newest runs that carry a tag.

        Args:
            tag: its key.
            value: its value; any unless given.
            statuses: Dagster's words; any unless given.
            limit: so many at most.

        Raises:
            DagsterAwayError: the storage does not answer.
        """
        with _explained():
            wanted = [dg.DagsterRunStatus(status) for status in statuses] or None
            if value is not None:
                return [
                    _state(record)
                    for record in self._instance.get_run_records(
                        dg.RunsFilter(tags={tag: value}, statuses=wanted), limit=limit
                    )
                ]
            records = self._instance.get_run_records(dg.RunsFilter(statuses=wanted), limit=limit)
            return [_state(record) for record in records if tag in record.dagster_run.tags]

    def failure(self, run_id: str) -> RunFailure:
        """Say why a run failed.

        Raises:
            DagsterAwayError: the storage does not answer.
        """
        with _explained():
            return _failure(self._instance, run_id)

    def ask_to_stop(self, run_id: str) -> None:
        """Have a run end as canceled: at once where it waits in the queue, else at its next look.

        Raises:
            DagsterAwayError: the storage does not answer.
        """
        with _explained():
            run = self._instance.get_run_by_id(run_id)
            if run is None or run.is_finished or run.status is dg.DagsterRunStatus.CANCELING:
                return
            self._instance.report_run_canceling(run, message="The job was canceled.")
            if run.status in {dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED}:
                self._instance.report_run_canceled(run)

    def terminate(self, run_id: str) -> None:
        """End a run's process, and mark it as canceled where nothing is left that would.

        Raises:
            DagsterAwayError: the storage or the broker does not answer.
        """
        with _explained():
            run = self._instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                return
            if run.status is not dg.DagsterRunStatus.CANCELING:
                self._instance.report_run_canceling(run, message="The job has ended.")
            try:
                self._instance.run_launcher.terminate(run_id)
            except KeyError:
                # Never launched: it has no task.
                _LOG.info("run %s had not been launched", run_id)

    def mark_canceled(self, run_id: str) -> None:
        """Mark a run as canceled whose process is gone.

        Raises:
            DagsterAwayError: the storage does not answer.
        """
        with _explained():
            run = self._instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                self._instance.report_run_canceled(run, message="Its worker did not answer.")

    def _find_job(self, context: WorkspaceRequestContext, job_name: str) -> tuple[CodeLocation, RemoteJob]:
        away = None
        for name in context.get_code_location_entries():
            try:
                location = context.get_code_location(name)
            except DagsterCodeLocationLoadError as error:
                away = error
                self._ask_again(name)
                continue
            for repository in location.get_repositories().values():
                if repository.has_job(job_name):
                    return location, repository.get_full_job(job_name)
        if away is not None:
            # Tenants read this; what is behind it stands in the log.
            _LOG.info("the code server is away: %s", _first_line(away))
            raise DagsterAwayError("Dagster's code server is away") from away
        raise RunRefusedError(f"Dagster knows no job {job_name!r}")

    def _ask_again(self, name: str) -> None:
        """Load a code location anew that could not be loaded; not oftener than every `_RELOAD_EVERY_S`."""
        with self._lock:
            now = self._clock()
            if now - self._asked_at.get(name, -_RELOAD_EVERY_S) < _RELOAD_EVERY_S:
                return
            self._asked_at[name] = now
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
            # Another bridge was quicker.
            return False
        return True

    def _make_findable(self, run_id: str) -> None:
        """List the tags of a run where runs are looked for by tag, as far as they are not.

        Dagster's storage writes a run, which has its tags in itself, and then the list of them; each commits alone.
        """
        run = self._instance.get_run_by_id(run_id)
        storage = self._instance.run_storage
        if run is None or not isinstance(storage, SqlRunStorage):
            return
        with storage.connect() as connection:
            statement = sqlalchemy.select(RunTagsTable.c.key).where(RunTagsTable.c.run_id == run_id)
            listed = set(connection.execute(statement).scalars())
            missing = [
                {"run_id": run_id, "key": key, "value": value}
                for key, value in run.tags_for_storage().items()
                if key not in listed
            ]
            if missing:
                connection.execute(RunTagsTable.insert(), missing)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what Dagster raises into the bridge's own errors."""
    try:
        yield
    except DagsterUserCodeUnreachableError as error:
        _LOG.info("the code server is away: %s", _first_line(error))
        raise DagsterAwayError("Dagster's code server is away") from error
    except (sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError, DagsterPostgresException) as error:
        _LOG.info("the storage is away: %s", _first_line(error))
        raise DagsterAwayError("Dagster's storage is away") from error
    except DagsterUserCodeProcessError as error:
        raise RunRefusedError(f"Dagster refuses the run: {_cause(error)}") from error


def _state(record: dg.RunRecord) -> RunState:
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


def _failure(instance: dg.DagsterInstance, run_id: str) -> RunFailure:
    kinds = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.STEP_FAILURE}
    events = [each.dagster_event for each in instance.all_logs(run_id, of_type=kinds) if each.dagster_event is not None]
    steps = [each for each in events if each.event_type is dg.DagsterEventType.STEP_FAILURE]
    ends = [each for each in events if each.event_type is dg.DagsterEventType.RUN_FAILURE]
    reason = ""
    message = "the run failed"
    if ends:
        # Whoever marks a run as failed from outside need not say more than a message.
        data = ends[-1].event_specific_data
        given = data.failure_reason if isinstance(data, JobFailureData) else None
        if given not in {None, RunFailureReason.UNKNOWN}:
            reason = given.value
        message = ends[-1].message or message
    if steps:
        message = _step_message(steps[0])
    return RunFailure(reason, message)


def _step_message(event: dg.DagsterEvent) -> str:
    """Give the innermost cause that says something: what a `Failure` describes, else the error of the op."""
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
