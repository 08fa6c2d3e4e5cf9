"""The Dagster resource by which a run reports progress to the job store, and learns that its job was canceled."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from background_jobs.dagster_bridge.job_store import open_job_store
from background_jobs.dagster_bridge.progress_reporter import JobRun, ProgressReporter
from background_jobs.dagster_bridge.run_tags import (
    JOB_ATTEMPT,
    JOB_ID,
    JOB_RECORD,
    JOB_RESULT,
    RETRY_NUMBER,
    parse_json,
)
from dbconnect import load_settings


class RunReporter(ProgressReporter):
    """A progress reporter that can end its run."""

    def __init__(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        super().__init__(_job_run(run), lambda: open_job_store(load_settings()))
        self._instance = instance
        self._run_id = run.run_id

    def raise_if_canceled(self) -> None:
        """End the run as canceled if its job is being canceled: call it where no work is left half-done.

        Raises:
            DagsterExecutionInterruptedError: the run ends. No `except Exception` catches it.
        """
        if not self.should_stop:
            return
        run = self._instance.get_run_by_id(self._run_id)
        if run is not None and run.status is dg.DagsterRunStatus.STARTED:
            # Otherwise Dagster would record the interruption as a failure.
            self._instance.report_run_canceling(run, message="The job was canceled.")
        raise DagsterExecutionInterruptedError

    def result(self, document: Mapping[str, Any]) -> None:
        """Report the run's result; it also goes into the run's tags, so that it is not lost with Redis."""
        super().result(document)
        if self._run is not None:
            self._instance.add_run_tags(self._run_id, {JOB_RESULT: json.dumps(document)})


class JobReporter(dg.ConfigurableResource[None]):
    """Opens a run's reporter, which does nothing for a run without a job, or without Redis."""

    @contextmanager
    def open(
        self, context: dg.OpExecutionContext | dg.AssetExecutionContext | dg.AssetCheckExecutionContext
    ) -> Iterator[RunReporter]:
        """Yield the run's reporter, whose heartbeat lasts as long as the context."""
        reporter = RunReporter(context.instance, context.run)
        with reporter:
            yield reporter


def _job_run(run: dg.DagsterRun) -> JobRun | None:
    job_id = run.tags.get(JOB_ID)
    if job_id is None:
        return None
    record = parse_json(run.tags, JOB_RECORD) or {}
    lease_s = (record.get("deadlines") or {}).get("lease_s", JobRun.lease_s)
    # Dagster's own retry of a run has that run's tags.
    attempt = None if RETRY_NUMBER in run.tags else int(run.tags.get(JOB_ATTEMPT, "1"))
    return JobRun(job_id=job_id, run_id=run.run_id, attempt=attempt, lease_s=lease_s)
