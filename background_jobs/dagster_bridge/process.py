"""The bridge as a process: its loops, and what they share."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from background_jobs.dagster_bridge.archive import Archiver, Listener
from background_jobs.dagster_bridge.connection import KeptConnection
from background_jobs.dagster_bridge.dispatcher import Dispatcher
from background_jobs.dagster_bridge.follow import follow
from background_jobs.dagster_bridge.loops import Loop, Loops
from background_jobs.dagster_bridge.pump import EventPump
from background_jobs.dagster_bridge.rebuild import rebuild
from background_jobs.dagster_bridge.reconcile import reconcile
from background_jobs.dagster_bridge.runs import Runs
from background_jobs.dagster_bridge.stopper import Stopper
from background_jobs.dagster_bridge.store import caps_of, open_store
from background_jobs.store import Job
from background_jobs.webhooks import enqueue, send_due, sender_of
from dbconnect import Settings
from dbconnect.error_mapping import mapped_errors
from dbconnect.routes import DAGSTER_LISTEN, Connection
from dbsql import query

_LOG = logging.getLogger(__name__)

DAEMON_AGE_GAUGE = "dagster_daemon_heartbeat_age_seconds"

_STOP_WITHIN_S = 4.0
# With LISTEN the pump is woken; the poll alone suffices.
_POLL_S = 0.25
_LISTEN_S = 1.0
# A run's log lines notify, too: so many looks a second at most.
_LEAST_GAP_S = 0.03
_FEED_BLOCK_MS = 100
_FOLLOWED_AT_A_TIME = 500


class Bridge:
    """Everything between the job store and Dagster, as threads of one process.

    Args:
        settings: where Redis, the warehouse and Dagster's storage are.
        workspace: Dagster's workspace file, which names the code servers.
        instance: Dagster's instance.
        listeners: told of archived jobs in the archive's transaction, beside the webhooks' outbox.
        listens: whether to LISTEN on Dagster's storage, where `dagster_direct_url` is given; else the poll does it alone.
    """

    def __init__(
        self,
        settings: Settings,
        workspace: Path,
        instance: dg.DagsterInstance,
        *,
        listeners: Sequence[Listener] = (),
        listens: bool = True,
    ) -> None:
        self._settings = settings
        self._store = open_store(settings)
        self._runs = Runs(instance, workspace)
        self._dispatcher = Dispatcher(self._store, self._runs, caps_of(settings))
        self._pump = EventPump(self._store, self._runs)
        self._stopper = Stopper(self._runs)
        self._archiver = Archiver(self._store, (tell_webhooks, *listeners))
        self._sender = sender_of(settings)
        self._feed_id: str | None = None
        self._has_listened = False
        self._storage = [self._kept("dagster_url", f"bridge {name}") for name in ("events", "health")]
        self._warehouse = [self._kept("warehouse_url", f"bridge {name}") for name in ("archive", "rebuild", "webhooks")]
        self._wakes = {name: threading.Event() for name in ("dispatch", "pump", "archive", "stop")}
        self._listening: Connection | None = None
        loops = [
            Loop("dispatcher", self._dispatch, 0.1, self._wakes["dispatch"]),
            Loop("feed", self._follow, 0.0),
            Loop("stopper", self._stopper.step, 0.5, self._wakes["stop"]),
            Loop("event pump", self._look, _POLL_S, self._wakes["pump"]),
            Loop("sweeper", self._sweep, 0.5),
            Loop("archiver", self._archive, 1.0, self._wakes["archive"]),
            Loop("reconciliation", self._reconcile, 5.0),
            Loop("rebuild", self._rebuild, 1.0),
            Loop("health", self._watch_daemon, 10.0),
            Loop("webhook sender", self._send, 1.0),
        ]
        if listens and settings.dagster_direct_url is not None:
            loops.append(Loop("listener", self._listen, 0.0))
        self._loops = Loops(loops)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, and end within five seconds after that."""
        for warning in self._warnings():
            _LOG.warning("%s", warning)
        self._loops.start()
        stop.wait()
        self._loops.stop(within_s=_STOP_WITHIN_S)

    def _kept(self, setting: str, name: str) -> KeptConnection:
        return KeptConnection(lambda: self._settings.url(setting), name)

    def _warnings(self) -> list[str]:
        """Say what in the servers' settings would lose jobs; nothing where Redis is away, since the loops say that."""
        try:
            return self._store.check_server()
        except Exception as error:  # noqa: BLE001 - a warning that can't be given is no reason not to work
            return [f"Redis could not be asked about its settings: {error}"]

    def _dispatch(self) -> None:
        while self._dispatcher.step() and not self._loops.is_stopping:
            pass

    def _follow(self) -> None:
        """Tail the feed: wake who has to act on a new event, and stop the runs of jobs that were canceled."""
        if self._feed_id is None:
            self._feed_id = self._store.feed_bounds()[1]
        events = self._store.feed(self._feed_id, block_ms=_FEED_BLOCK_MS, limit=_FOLLOWED_AT_A_TIME)
        if not events:
            return
        self._feed_id = events[-1].feed_id
        for name in ("dispatch", "archive"):
            self._wakes[name].set()
        follow(self._store, self._runs, self._stopper, events)

    def _look(self) -> None:
        with self._storage[0].use() as storage:
            self._pump.step(storage)
        # Not through the event that notifications set: this gap holds whatever comes.
        threading.Event().wait(_LEAST_GAP_S)

    def _listen(self) -> None:
        """Wake the pump at each notification."""
        with mapped_errors("listening to Dagster's events"):
            if self._listening is None or self._listening.closed:
                self._listening = DAGSTER_LISTEN.connect(self._settings)
                self._listening.execute(query("dagster_events.listen"))
            for _ in self._listening.notifies(timeout=_LISTEN_S):
                self._wakes["pump"].set()
                if self._loops.is_stopping:
                    return

    def _sweep(self) -> None:
        self._store.sweep()

    def _archive(self) -> None:
        with self._warehouse[0].use() as warehouse:
            while self._archiver.step(warehouse) and not self._loops.is_stopping:
                pass

    def _reconcile(self) -> None:
        reconcile(self._store, self._runs, self._stopper)

    def _rebuild(self) -> None:
        if self._store.epoch() is not None:
            return
        with self._warehouse[1].use() as warehouse:
            rebuild(self._store, self._runs, warehouse)
        # The feed began anew.
        self._feed_id = "0-0"

    def _send(self) -> None:
        """Send the webhooks that are due."""
        with self._warehouse[2].use() as warehouse, mapped_errors("sending webhooks"):
            outcomes = send_due(warehouse, self._sender, should_stop=lambda: self._loops.is_stopping)
        for outcome, number in outcomes.items():
            self._store.count("webhook_deliveries", {"outcome": outcome}, number)

    def _watch_daemon(self) -> None:
        """Put the age of Dagster's daemon's heartbeat among the metrics."""
        with self._storage[1].use() as storage, mapped_errors("reading the heartbeat of Dagster's daemon"):
            row = storage.execute(query("dagster_events.heartbeat_age")).fetchone()
        if row is not None and row["age_s"] is not None:
            self._store.set_gauge(DAEMON_AGE_GAUGE, row["age_s"])


def tell_webhooks(warehouse: Connection, jobs: Sequence[Job]) -> None:
    """Put the webhooks of the jobs that have ended into the outbox."""
    with warehouse.cursor() as cursor:
        for job in jobs:
            if job.is_ended:
                enqueue(cursor, job.as_document())
