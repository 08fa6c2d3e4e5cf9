"""End runs that no job needs any more: request cancellation, then terminate the process, then record the run as canceled."""

import time
from collections.abc import Callable

from background_jobs.dagster_bridge.dagster_client import DagsterClient

# Seconds from `terminate` to the request to cancel; a run checks for it between its transactions.
CANCEL_AFTER_S = 1.0
# … to terminating its process.
TERMINATE_AFTER_S = 5.0
# … to recording a run as canceled that nothing has ended.
MARK_AFTER_S = 15.0


class RunTerminator:
    """Ends runs in escalating steps. `terminate` may be called by another thread than `step`.

    Args:
        dagster: Dagster's runs.
        clock: monotonic seconds.
    """

    def __init__(self, dagster: DagsterClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._dagster = dagster
        self._clock = clock
        self._since: dict[str, float] = {}
        self._canceled: set[str] = set()
        self._terminated: set[str] = set()

    def terminate(self, run_id: str, *, at_once: bool = False) -> None:
        """End a run; calling it again changes nothing.

        Args:
            run_id: Dagster's id of the run.
            at_once: request cancellation now, not after `CANCEL_AFTER_S`, in which a run that is ending by itself may end.
        """
        self._since.setdefault(run_id, self._clock())
        if at_once and run_id not in self._canceled:
            self._request_cancel(run_id)

    def step(self) -> int:
        """Escalate for runs that have not ended yet; return their number.

        Raises:
            DagsterUnavailableError: Dagster's storage or broker does not answer; the next step continues.
        """
        # A copy: another thread may add runs meanwhile, which are for the next step.
        pending = dict(self._since)
        if not pending:
            return 0
        live = {run.run_id for run in self._dagster.get_runs(list(pending)) if not run.is_ended}
        for run_id in pending.keys() - live:
            del self._since[run_id]
            self._canceled.discard(run_id)
            self._terminated.discard(run_id)
        for run_id in live:
            waited_s = self._clock() - pending[run_id]
            if waited_s >= MARK_AFTER_S:
                self._dagster.mark_canceled(run_id)
            elif waited_s >= TERMINATE_AFTER_S and run_id not in self._terminated:
                self._dagster.terminate_run(run_id)
                self._terminated.add(run_id)
            elif waited_s >= CANCEL_AFTER_S and run_id not in self._canceled:
                self._request_cancel(run_id)
        return len(self._since)

    def _request_cancel(self, run_id: str) -> None:
        self._dagster.request_cancel(run_id)
        self._canceled.add(run_id)
