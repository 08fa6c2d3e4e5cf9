"""The jobs' metrics, beside the rest on `/metrics`: read from the store first, so that a Redis that hangs stops nobody."""

import contextlib
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from background_jobs.store import AsyncJobStore, JobStoreUnavailableError, families
from dashboard_api.jobs.slots import StreamSlots


class JobMetrics(Collector):
    """Shows what `read` found last; nothing but `jobs_store_up` 0 where the store did not answer."""

    def __init__(self, store: AsyncJobStore, slots: StreamSlots) -> None:
        self._store = store
        self._slots = slots
        self._families: list[Metric] | None = None

    async def read(self) -> None:
        """Ask the store for its figures."""
        self._families = None
        # The store gives up by itself, in about a second.
        with contextlib.suppress(JobStoreUnavailableError):
            self._families = list(families(await self._store.stats()))

    def collect(self) -> Iterable[Metric]:
        """Give every family."""
        yield GaugeMetricFamily("jobs_store_up", "Whether Redis answered", float(self._families is not None))
        yield GaugeMetricFamily("jobs_open_streams", "Streams and waiting requests of this process", self._slots.total)
        yield from self._families or ()

    def describe(self) -> Iterable[Metric]:
        """Nothing: see `StateCollector.describe`."""
        return ()
