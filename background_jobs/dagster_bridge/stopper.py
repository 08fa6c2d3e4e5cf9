"""End runs that no job wants any more: first ask, then end the process, then mark what no process answers for."""

import time
from collections.abc import Callable

from background_jobs.dagster_bridge.runs import Runs

# Seconds from the wish to the question; a run that is asked looks between its transactions …
ASK_AFTER_S = 1.0
# … to the end of its process …
TERMINATE_AFTER_S = 5.0
# … and to marking a run as canceled that nothing has ended.
MARK_AFTER_S = 15.0


class Stopper:
    """Remembers which runs are to end, and sees them off. `want` may be called beside `step`, by another thread.

    Args:
        runs: Dagster's.
        clock: seconds that only rise.
        terminate_after_s: from asking to ending the process.
        mark_after_s: from asking to marking the run.
    """

    def __init__(
        self,
        runs: Runs,
        *,
        clock: Callable[[], float] = time.monotonic,
        terminate_after_s: float = TERMINATE_AFTER_S,
        mark_after_s: float = MARK_AFTER_S,
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._terminate_after_s = terminate_after_s
        self._mark_after_s = mark_after_s
        self._since: dict[str, float] = {}
        self._asked: set[str] = set()
        self._terminated: set[str] = set()

    def want(self, run_id: str, *, at_once: bool = False) -> None:
        """Have a run end; asking again changes nothing.

        Args:
            run_id: which one.
            at_once: ask now. Else it is asked after `ASK_AFTER_S`: a run that has just noted its own end is left alone.
        """
        self._since.setdefault(run_id, self._clock())
        if at_once and run_id not in self._asked:
            self._ask(run_id)

    def step(self) -> int:
        """Go on with those that have not ended yet; give how many there are.

        Raises:
            DagsterAwayError: Dagster's storage or broker is away; the next step goes on.
        """
        # What another thread wants meanwhile is not among them, and is looked at the next time.
        wanted = dict(self._since)
        if not wanted:
            return 0
        live = {run.run_id for run in self._runs.get_many(list(wanted)) if not run.is_ended}
        for run_id in wanted.keys() - live:
            del self._since[run_id]
            self._asked.discard(run_id)
            self._terminated.discard(run_id)
        for run_id in live:
            waited_s = self._clock() - wanted[run_id]
            if waited_s >= self._mark_after_s:
                self._runs.mark_canceled(run_id)
            elif waited_s >= self._terminate_after_s and run_id not in self._terminated:
                self._runs.terminate(run_id)
                self._terminated.add(run_id)
            elif waited_s >= ASK_AFTER_S and run_id not in self._asked:
                self._ask(run_id)
        return len(self._since)

    def _ask(self, run_id: str) -> None:
        self._runs.ask_to_stop(run_id)
        self._asked.add(run_id)
