"""Hand claimed jobs to Dagster. May be repeated, interrupted and run by several bridges: one attempt is one run."""

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from background_jobs.dagster_bridge.errors import DagsterAwayError, RunRefusedError
from background_jobs.dagster_bridge.run_tags import (
    JOB_ATTEMPT,
    JOB_ID,
    JOB_KIND,
    JOB_RECORD,
    JOB_TENANT,
    PARENT_RUN,
    WILL_RETRY,
)
from background_jobs.dagster_bridge.runs import Runs, RunState
from background_jobs.kinds import KindError, kind_named
from background_jobs.store import Caps, Claim, FailureCode, Job, JobState, JobStore

_LOG = logging.getLogger(__name__)

# A claim that is not dispatched in this time is somebody else's.
CLAIM_LEASE_S = 15.0
AT_A_TIME = 20
# Asking Dagster is waiting: for its code server, its storage.
_THREADS = 4
_AWAY_DELAY_S = 1.0
# Dagster's own automatic retry is waited for so long after the failure, before an attempt of ours is begun.
_RETRY_PATIENCE_S = 30.0


class Dispatcher:
    """Claims jobs and makes runs of them.

    Args:
        store: where the jobs are.
        runs: Dagster's.
        caps: how many may be in flight.
        clock: Unix time.
    """

    def __init__(self, store: JobStore, runs: Runs, caps: Caps, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._runs = runs
        self._caps = caps
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dispatch")
        # Of a bridge before this one nothing is known.
        self._said_waiting: str | None = "unknown"

    def close(self) -> None:
        """Let the runs that are being made be made."""
        self._threads.shutdown()

    def step(self, *, now_ms: int | None = None) -> int:
        """Claim what may start, and hand it to Dagster; give how many jobs were claimed.

        Args:
            now_ms: Unix time in milliseconds; Redis's own unless given.

        Raises:
            JobStoreUnavailableError: Redis is away.
        """
        claims = self._store.claim(most=AT_A_TIME, caps=self._caps, lease_s=CLAIM_LEASE_S, now_ms=now_ms)
        if not claims:
            return 0
        reasons = [reason for reason in self._threads.map(self.dispatch, claims) if reason is not None]
        # All that wait say what the last one waited for.
        self._say_waiting(reasons[-1] if reasons else None)
        return len(claims)

    def dispatch(self, claim: Claim) -> str | None:
        """Hand one job to Dagster; give what it has to wait for, None where it has not."""
        job = claim.job
        try:
            reason = self._wait_for_retry(claim) if claim.attempt > 1 and job.run_id is not None else None
            if reason is not None:
                return None
            kind = kind_named(job.kind)
            self._runs.start(
                job_name=kind.job_name,
                run_id=claim.run_id,
                run_config=kind.run_config(job.tenant, job.params),
                tags=tags_of(claim),
            )
        except DagsterAwayError as error:
            self._store.release(job.id, claim.attempt, waiting_for=str(error), delay_s=_AWAY_DELAY_S)
            return str(error)
        except (RunRefusedError, KindError) as error:
            _LOG.warning("job %s (%s) can't be dispatched: %s", job.id, job.kind, error)
            self._store.fail(job.id, claim.attempt, FailureCode.DISPATCH_FAILED, str(error), may_retry=False)
            return None
        now = self._store.dispatched(job.id, claim.attempt)
        if not now.applied and now.job is not None and _is_unwanted(now.job, claim):
            # Canceled while its run was made.
            self._runs.ask_to_stop(claim.run_id)
        return None

    def _wait_for_retry(self, claim: Claim) -> str | None:
        """Leave the attempt to Dagster where it retries the last run by itself; give why, None where it does not."""
        job = claim.job
        last = self._runs.get(job.run_id or "")
        if last is None or last.tags.get(WILL_RETRY) != "true":
            return None
        children = self._runs.with_tag(PARENT_RUN, last.run_id)
        if not children and not self._is_recent(last):
            return None
        reason = "Dagster's automatic retry"
        self._store.release(job.id, claim.attempt, waiting_for=reason, delay_s=_AWAY_DELAY_S)
        if children:
            self._store.adopt(job.id, claim.attempt - 1, children[0].run_id)
        return reason

    def _is_recent(self, run: RunState) -> bool:
        return run.ended_ms is not None and self._clock() * 1000 - run.ended_ms < _RETRY_PATIENCE_S * 1000

    def _say_waiting(self, reason: str | None) -> None:
        if reason == self._said_waiting:
            return
        self._store.set_waiting(reason)
        if reason is not None:
            _LOG.warning("jobs wait: %s", reason)
        self._said_waiting = reason


def tags_of(claim: Claim) -> dict[str, str]:
    """Give the tags of an attempt's run; see `background_jobs.dagster_bridge.run_tags`."""
    job = claim.job
    return {
        JOB_ID: job.id,
        JOB_KIND: job.kind,
        JOB_TENANT: job.tenant,
        JOB_ATTEMPT: str(claim.attempt),
        JOB_RECORD: json.dumps(job.as_document()),
    }


def _is_unwanted(job: Job, claim: Claim) -> bool:
    return job.is_ended or job.state is JobState.CANCELING or job.attempt != claim.attempt
