"""Publish and follow the status of background jobs over Redis pub/sub; callbacks for those who don't iterate.

A status document is a notification, never the record: one that is published while a follower is disconnected is lost.
Whoever runs the jobs keeps their record; a follower reads it whenever `on_connect` is called, and goes on from there.

A document is a JSON object. Version 1 has the strings `job_id`, `tenant`, `status` (such as `running`) and `updated_at`
(ISO 8601, UTC), and the integer `version`. Publishers may add members; readers ignore those that they don't know. It
goes to two channels, `<prefix>:job-status:job:<job_id>` and `<prefix>:job-status:tenant:<tenant>`. Redis does not
separate tenants: only processes that may see every tenant's jobs may have access to it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, cast

import redis
import redis.asyncio

from ratelimit_service.errors import UsageError

VERSION = 1
_STRINGS = ("job_id", "tenant", "status", "updated_at")
_POLL_S = 0.5
_RECONNECT_S = 1.0
_logger = logging.getLogger(__name__)


def channel_name(*, job_id: str | None = None, tenant: str | None = None, prefix: str = "rl") -> str:
    """Return the channel of one job, or of all jobs of a tenant; a UsageError unless exactly one is passed."""
    if (job_id is None) == (tenant is None):
        raise UsageError("pass exactly one of job_id and tenant")
    return f"{prefix}:job-status:" + (f"tenant:{tenant}" if job_id is None else f"job:{job_id}")


def _messages(document: Mapping[str, Any], prefix: str) -> list[tuple[str, bytes]]:
    invalid = [name for name in _STRINGS if not isinstance(document.get(name), str)]
    if invalid:
        raise UsageError(f"a job-status document must have strings as {', '.join(invalid)}")
    data = json.dumps({**document, "version": VERSION}, ensure_ascii=False).encode()
    channels = [channel_name(**{name: document[name]}, prefix=prefix) for name in ("job_id", "tenant")]
    return [(channel, data) for channel in channels]


def publish(client: redis.Redis | redis.RedisCluster, document: Mapping[str, Any], *, prefix: str = "rl") -> None:
    """Publish a status document (without `version`) to the channels of its job and its tenant.

    Raises:
        UsageError: a member is missing or not a string.
        redis.RedisError: Redis is unavailable; the document may be lost.
    """
    for channel, data in _messages(document, prefix):
        client.publish(channel, data)


async def publish_async(client: redis.asyncio.Redis, document: Mapping[str, Any], *, prefix: str = "rl") -> None:
    """Publish as `publish` does."""
    for channel, data in _messages(document, prefix):
        await client.publish(channel, data)


def _read(message: Mapping[str, Any] | None, on_connect: Callable[[], object]) -> dict[str, Any] | None:
    if message is None or message["type"] == "subscribe":
        if message:
            on_connect()
        return None
    try:
        document = json.loads(message["data"])
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict) and document.get("version") == VERSION:
        return document
    _logger.warning("ignored a message on %s: no job-status document of version %s", message["channel"], VERSION)
    return None


def follow(
    client: redis.Redis,
    *,
    job_id: str | None = None,
    tenant: str | None = None,
    prefix: str = "rl",
    stop: threading.Event | None = None,
    on_connect: Callable[[], object] = lambda: None,
) -> Iterator[dict[str, Any]]:
    """Yield the status documents of a job or a tenant until `stop` is set, reconnecting after failures.

    `on_connect` is called after every (re)subscription: documents before it may be lost, so read the record there. A
    client with a `health_check_interval` notices a connection that died silently.
    """
    channel, stop = channel_name(job_id=job_id, tenant=tenant, prefix=prefix), stop or threading.Event()
    while not stop.is_set():
        try:
            with cast(Any, client).pubsub() as pubsub:
                pubsub.subscribe(channel)
                while not stop.is_set():
                    document = _read(pubsub.get_message(timeout=_POLL_S), on_connect)
                    if document and not stop.is_set():
                        yield document
        except (redis.RedisError, OSError) as error:
            _logger.warning("lost the subscription to %s, reconnecting: %s", channel, error)
            stop.wait(_RECONNECT_S)


async def follow_async(
    client: redis.asyncio.Redis,
    *,
    job_id: str | None = None,
    tenant: str | None = None,
    prefix: str = "rl",
    on_connect: Callable[[], object] = lambda: None,
) -> AsyncIterator[dict[str, Any]]:
    """Yield as `follow` does, until the iteration is cancelled or closed."""
    channel = channel_name(job_id=job_id, tenant=tenant, prefix=prefix)
    while True:
        try:
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(channel)
                while True:
                    if document := _read(await pubsub.get_message(timeout=_POLL_S), on_connect):
                        yield document
        except (redis.RedisError, OSError) as error:
            _logger.warning("lost the subscription to %s, reconnecting: %s", channel, error)
            await asyncio.sleep(_RECONNECT_S)


def call_on_change(
    client: redis.Redis, callback: Callable[[dict[str, Any]], object], **options: Any
) -> Callable[[], None]:
    """Call `callback` with each document on a new thread; `options` are those of `follow`. Return a function to stop it.

    An exception of the callback is logged, and later documents are delivered.
    """
    channel_name(job_id=options.get("job_id"), tenant=options.get("tenant"))
    stop: threading.Event = options.setdefault("stop", threading.Event())

    def run() -> None:
        for document in follow(client, **options):
            try:
                callback(document)
            except Exception:
                _logger.exception("the callback for job status failed; later documents are delivered")

    threading.Thread(target=run, name="job-status", daemon=True).start()
    return stop.set
