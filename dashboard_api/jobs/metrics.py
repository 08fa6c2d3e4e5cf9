"""The jobs' metrics, beside the rest on `/metrics`: read from the store first, so that a Redis that hangs stops nobody."""

import asyncio
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ratelimit_service.jobs import AsyncJobStore, JobStoreUnavailableError, families

WITHIN_S = 1.0


class JobMetrics(Collector):
    """Shows what `read` found last; nothing but `jobs_store_up` 0 where the store did not answer."""

    def __init__(self, store: AsyncJobStore) -> None:
        self._store = store
        self._families: list[Metric] | None = None

    async def read(self) -> None:
        """Ask the store for its figures."""
        self._families = None
        try:
            async with asyncio.timeout(WITHIN_S):
                self._families = list(families(await self._store.stats()))
        except (TimeoutError, JobStoreUnavailableError):
            return

    def collect(self) -> Iterable[Metric]:
        """Give every family."""
        yield GaugeMetricFamily("jobs_store_up", "Whether Redis answered", float(self._families is not None))
        yield from self._families or ()

    def describe(self) -> Iterable[Metric]:
        """Nothing: see `StateCollector.describe`."""
        return ()
