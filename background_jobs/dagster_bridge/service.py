"""The bridge as a service: its loops, and what they share."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from background_jobs.dagster_bridge.archive import Archiver
from background_jobs.dagster_bridge.cancellation import end_unneeded_runs
from background_jobs.dagster_bridge.dagster_client import DagsterClient
from background_jobs.dagster_bridge.dispatcher import Dispatcher
from background_jobs.dagster_bridge.event_tailer import DagsterEventTailer
from background_jobs.dagster_bridge.job_store import concurrency_caps, open_job_store
from background_jobs.dagster_bridge.loops import Loop, LoopThreads, ReconnectingConnection
from background_jobs.dagster_bridge.reconciler import reconcile_runs
from background_jobs.dagster_bridge.restore import restore_jobs
from background_jobs.dagster_bridge.run_terminator import RunTerminator
from background_jobs.store import Job
from background_jobs.webhooks import Sender, enqueue_deliveries, send_due, target_policy
from dbconnect import Settings
from dbconnect.error_mapping import mapped_errors
from dbconnect.routes import DAGSTER_LISTEN, Connection
from dbsql import query

_logger = logging.getLogger(__name__)

_DAEMON_AGE_GAUGE = "dagster_daemon_heartbeat_age_seconds"

_STOP_TIMEOUT_S = 4.0
# A notification wakes the event tailer earlier.
_POLL_S = 0.25
_LISTEN_S = 1.0
# Each log line of a run notifies, too: this bounds the polls to 33 a second.
_MIN_POLL_S = 0.03
_FEED_BLOCK_MS = 100
_BATCH_EVENTS = 500


class BridgeService:
    """Everything between the job store and Dagster, as threads of one process.

    Args:
        settings: name Redis, the warehouse and Dagster's storage.
        workspace: Dagster's workspace file, which names the code servers.
        instance: Dagster's instance.
        listens: whether to LISTEN on Dagster's storage if `dagster_direct_url` is set; polling alone suffices.
    """

    def __init__(
        self, settings: Settings, workspace: Path, instance: dg.DagsterInstance, *, listens: bool = True
    ) -> None:
        self._settings = settings
        self._store = open_job_store(settings)
        self._dagster = DagsterClient(instance, workspace)
        self._dispatcher = Dispatcher(self._store, self._dagster, concurrency_caps(settings))
        self._tailer = DagsterEventTailer(self._store, self._dagster)
        self._terminator = RunTerminator(self._dagster)
        self._archiver = Archiver(self._store, [_enqueue_webhooks])
        self._sender = Sender(target_policy(settings), timeout_s=settings.webhook_timeout_seconds)
        self._feed_id: str | None = None
        self._events_storage, self._health_storage = (self._connection("dagster_url", n) for n in ("events", "health"))
        self._archive_warehouse, self._restore_warehouse, self._webhook_warehouse = (
            self._connection("warehouse_url", name) for name in ("archive", "restore", "webhooks")
        )
        self._listening: Connection | None = None
        dispatcher = Loop("dispatcher", self._dispatch, 0.1)
        archiver = Loop("archiver", self._archive, 1.0)
        tailer = Loop("event tailer", self._tail_dagster, _POLL_S)
        self._wake_tailer = tailer.wake
        self._feed_wakes = (dispatcher.wake, archiver.wake)
        loops = [
            dispatcher,
            archiver,
            tailer,
            Loop("feed reader", self._read_feed, 0.0),
            Loop("run terminator", self._terminator.step, 0.5),
            Loop("sweeper", self._store.sweep, 0.5),
            Loop("reconciler", self._reconcile, 5.0),
            Loop("restore", self._restore, 1.0),
            Loop("health", self._measure_daemon, 10.0),
            Loop("webhook sender", self._send_webhooks, 1.0),
        ]
        if listens and settings.dagster_direct_url is not None:
            loops.append(Loop("listener", self._listen, 0.0))
        self._threads = LoopThreads(loops)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; return within five seconds after that."""
        for warning in self._warnings():
            _logger.warning("%s", warning)
        self._threads.start()
        stop.wait()
        self._threads.stop(timeout_s=_STOP_TIMEOUT_S)

    def _connection(self, setting: str, name: str) -> ReconnectingConnection:
        return ReconnectingConnection(lambda: self._settings.url(setting), f"bridge {name}")

    def _warnings(self) -> list[str]:
        """Return what in Redis's settings could lose jobs."""
        try:
            return self._store.check_server()
        except Exception as error:  # noqa: BLE001 - a failed check is no reason not to work
            return [f"Redis's settings could not be checked: {error}"]

    def _dispatch(self) -> None:
        while self._dispatcher.step() and not self._threads.is_stopping:
            pass

    def _read_feed(self) -> None:
        """Read the job store's feed: wake the loops that act on new events, and end runs that no job needs."""
        if self._feed_id is None:
            self._feed_id = self._store.feed_bounds()[1]
        events = self._store.feed(self._feed_id, block_ms=_FEED_BLOCK_MS, limit=_BATCH_EVENTS)
        if not events:
            return
        self._feed_id = events[-1].feed_id
        for wake in self._feed_wakes:
            wake.set()
        end_unneeded_runs(self._store, self._dagster, self._terminator, events)

    def _tail_dagster(self) -> None:
        with self._events_storage.use() as storage:
            self._tailer.step(storage)
        # Not on the loop's own event, which notifications set: this pause must hold.
        threading.Event().wait(_MIN_POLL_S)

    def _listen(self) -> None:
        """Wake the event tailer at each notification of Dagster's storage."""
        with mapped_errors("listening to Dagster's events"):
            if self._listening is None or self._listening.closed:
                self._listening = DAGSTER_LISTEN.connect(self._settings)
                self._listening.execute(query("dagster_events.listen"))
            for _ in self._listening.notifies(timeout=_LISTEN_S):
                self._wake_tailer.set()
                if self._threads.is_stopping:
                    return

    def _archive(self) -> None:
        with self._archive_warehouse.use() as warehouse:
            while self._archiver.step(warehouse) and not self._threads.is_stopping:
                pass

    def _reconcile(self) -> None:
        reconcile_runs(self._store, self._dagster, self._terminator)

    def _restore(self) -> None:
        if self._store.epoch() is not None:
            return
        with self._restore_warehouse.use() as warehouse:
            restore_jobs(self._store, self._dagster, warehouse)
        # The restored store has a new feed.
        self._feed_id = "0-0"

    def _send_webhooks(self) -> None:
        with self._webhook_warehouse.use() as warehouse, mapped_errors("sending webhooks"):
            outcomes = send_due(warehouse, self._sender, should_stop=lambda: self._threads.is_stopping)
        for outcome, count in outcomes.items():
            self._store.count("webhook_deliveries", {"outcome": outcome}, count)

    def _measure_daemon(self) -> None:
        """Publish the age of the Dagster daemon's heartbeat as a metric."""
        with self._health_storage.use() as storage, mapped_errors("reading the heartbeat of Dagster's daemon"):
            row = storage.execute(query("dagster_events.heartbeat_age")).fetchone()
        if row is not None and row["age_s"] is not None:
            self._store.set_gauge(_DAEMON_AGE_GAUGE, row["age_s"])


def _enqueue_webhooks(warehouse: Connection, jobs: Sequence[Job]) -> None:
    """Enqueue a webhook delivery for each job that has ended."""
    with warehouse.cursor() as cursor:
        for job in jobs:
            if job.is_ended:
                enqueue_deliveries(cursor, job.as_document())
