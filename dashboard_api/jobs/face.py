"""The parts that the job endpoints share, made once per app."""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from prometheus_client import CollectorRegistry

from background_jobs.store import AsyncJobStore
from dashboard_api.jobs.feed import Feed
from dashboard_api.jobs.links import LinkSigner
from dashboard_api.jobs.metrics import JobMetrics
from dashboard_api.jobs.slots import StreamSlots
from dashboard_api.jobs.tasks import end_tasks
from dbconnect import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobFace:
    """What the job endpoints work with.

    Attributes:
        settings: of the app.
        store: where jobs are.
        feed: tells what happens to them.
        slots: how many streams may be open.
        links: signs the links to files.
        metrics: of the jobs, for `/metrics`.
        beat_s: how long a stream is silent at most.
    """

    settings: Settings
    store: AsyncJobStore
    feed: Feed
    slots: StreamSlots
    links: LinkSigner
    metrics: JobMetrics
    beat_s: float = 15.0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the feed while the block lasts."""
        reading = asyncio.create_task(self.feed.run())
        try:
            yield
        finally:
            self.feed.close()
            await end_tasks([reading])
            await self.store.aclose()

    def state(self) -> dict[str, Any]:
        """What `/readyz` says of them."""
        return {"is_usable": self.feed.is_connected, "open_streams": self.slots.total}


def make_job_face(settings: Settings, registry: CollectorRegistry) -> JobFace:
    """Make the parts; Redis is reached for later.

    Raises:
        SettingsError: `redis_url` is not set.
    """
    # Its address alone is used: the store has connections of its own, which give up in time.
    store = AsyncJobStore(redis.asyncio.from_url(settings.url("redis_url")))
    slots = StreamSlots()
    metrics = JobMetrics(store, slots)
    registry.register(metrics)
    return JobFace(
        settings=settings,
        store=store,
        feed=Feed(store),
        slots=slots,
        links=LinkSigner(_link_key(settings)),
        metrics=metrics,
    )


def _link_key(settings: Settings) -> bytes:
    secret = settings.export_link_secret or settings.jwt_secret
    if secret is None:
        log.warning(
            "links to exported files hold in this process alone: set SALESPULSE_EXPORT_LINK_SECRET to share them between "
            "processes and restarts"
        )
        return secrets.token_bytes(32)
    # Derived, so that a link's signature tells nothing of what tokens are signed with.
    return hmac.new(secret.get_secret_value().encode(), b"salespulse export links", hashlib.sha256).digest()
