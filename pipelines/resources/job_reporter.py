"""The job store, as a run sees it: what the run says of its progress, and whether it is to stop."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from background_jobs.dagster_bridge.reporter import JobRun, Reporter
from background_jobs.dagster_bridge.run_tags import (
    JOB_ATTEMPT,
    JOB_ID,
    JOB_RECORD,
    JOB_RESULT,
    RETRY_NUMBER,
    parse_json,
)
from background_jobs.dagster_bridge.store import open_store
from dbconnect import load_settings


class RunReporter(Reporter):
    """A reporter that can end its run."""

    def __init__(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        super().__init__(_job_run(run), lambda: open_store(load_settings()))
        self._instance = instance
        self._run_id = run.run_id

    def raise_if_canceled(self) -> None:
        """End the run here, as canceled, if its job is to be canceled: call it where nothing is left half-done.

        Raises:
            DagsterExecutionInterruptedError: it is. No `except Exception` stops it.
        """
        if not self.is_asked_to_stop:
            return
        run = self._instance.get_run_by_id(self._run_id)
        if run is not None and run.status is dg.DagsterRunStatus.STARTED:
            # Else Dagster would take the interruption for a failure.
            self._instance.report_run_canceling(run, message="The job was canceled.")
        raise DagsterExecutionInterruptedError

    def result(self, document: Mapping[str, Any]) -> None:
        """Give what the run made; kept with the run, too, so that it is not lost with Redis."""
        super().result(document)
        if self._run is not None:
            self._instance.add_run_tags(self._run_id, {JOB_RESULT: json.dumps(document)})


class JobReporter(dg.ConfigurableResource[None]):
    """Opens the reporter of a run. For a run without a job, or without Redis, it does nothing."""

    @contextmanager
    def open(
        self, context: dg.OpExecutionContext | dg.AssetExecutionContext | dg.AssetCheckExecutionContext
    ) -> Iterator[RunReporter]:
        """Report from within the context: the heartbeat goes on as long as it lasts."""
        reporter = RunReporter(context.instance, context.run)
        with reporter:
            yield reporter


def _job_run(run: dg.DagsterRun) -> JobRun | None:
    job_id = run.tags.get(JOB_ID)
    if job_id is None:
        return None
    record = parse_json(run.tags, JOB_RECORD) or {}
    lease_s = (record.get("deadlines") or {}).get("lease_s", JobRun.lease_s)
    # An automatic retry of Dagster's carries the tags of the run that it repeats.
    attempt = None if RETRY_NUMBER in run.tags else int(run.tags.get(JOB_ATTEMPT, "1"))
    return JobRun(job_id=job_id, run_id=run.run_id, attempt=attempt, lease_s=lease_s)
