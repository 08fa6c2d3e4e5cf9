"""The shared parts of the job endpoints, made once per app, and the jobs' metrics."""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from background_jobs.store import AsyncJobStore, JobStoreUnavailableError, families
from dashboard_api.jobs.event_hub import EventHub, cancel_tasks
from dashboard_api.jobs.results import LinkSigner
from dashboard_api.jobs.stream_limits import StreamLimits
from dbconnect import Settings

_logger = logging.getLogger(__name__)


class JobMetrics(Collector):
    """The jobs' metrics: read from the store before a scrape collects them, so that a hanging Redis blocks nothing."""

    def __init__(self, store: AsyncJobStore, limits: StreamLimits) -> None:
        self._store = store
        self._limits = limits
        self._families: list[Metric] | None = None

    async def read(self) -> None:
        """Read the store's figures."""
        self._families = None
        # The store times out by itself, in about a second.
        with contextlib.suppress(JobStoreUnavailableError):
            self._families = list(families(await self._store.stats()))

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family; only the first two where the store did not respond."""
        yield GaugeMetricFamily("jobs_store_up", "Whether Redis responded", float(self._families is not None))
        yield GaugeMetricFamily("jobs_open_streams", "Streams and waiting requests of this process", self._limits.total)
        yield from self._families or ()

    def describe(self) -> Iterable[Metric]:
        """Return nothing, as `StateCollector.describe` does."""
        return ()


@dataclass(frozen=True)
class JobServices:
    """The parts of the job endpoints.

    Attributes:
        settings: of the app.
        store: where jobs are stored.
        events: distributes their events.
        limits: limits concurrent streams.
        links: signs download links.
        metrics: the jobs' metrics.
        heartbeat_s: the longest silence of a stream.
    """

    settings: Settings
    store: AsyncJobStore
    events: EventHub
    limits: StreamLimits
    links: LinkSigner
    metrics: JobMetrics
    heartbeat_s: float = 15.0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Distribute events while the block lasts."""
        reading = asyncio.create_task(self.events.run())
        try:
            yield
        finally:
            self.events.close()
            await cancel_tasks([reading])
            await self.store.aclose()

    def state(self) -> dict[str, Any]:
        """Return the state for `/readyz`."""
        return {"is_usable": self.events.is_connected, "open_streams": self.limits.total}


def make_job_services(settings: Settings, registry: CollectorRegistry) -> JobServices:
    """Return the parts; they connect to Redis later.

    Raises:
        SettingsError: `redis_url` is not set.
    """
    # Only the client's address is used: the store has its own connections, with timeouts.
    store = AsyncJobStore(redis.asyncio.from_url(settings.url("redis_url")))
    limits = StreamLimits()
    metrics = JobMetrics(store, limits)
    registry.register(metrics)
    return JobServices(
        settings=settings,
        store=store,
        events=EventHub(store),
        limits=limits,
        links=LinkSigner(_link_key(settings)),
        metrics=metrics,
    )


def _link_key(settings: Settings) -> bytes:
    secret = settings.export_link_secret or settings.jwt_secret
    if secret is None:
        _logger.warning(
            "download links are valid in this process only: set SALESPULSE_EXPORT_LINK_SECRET to share them between processes "
            "and restarts"
        )
        return secrets.token_bytes(32)
    # Derived, so that a link's signature reveals nothing about the key that tokens are signed with.
    return hmac.new(secret.get_secret_value().encode(), b"salespulse export links", hashlib.sha256).digest()
