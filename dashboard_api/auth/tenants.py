"""Surrogate keys of tenants by the application's tenant ids: cached, and looked up in batches."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from dbconnect import Read, ReadRouter
from dbconnect.routes import AsyncConnection
from dbsql import query

# An unknown tenant is cached only briefly: it may exist after the next refresh.
_UNKNOWN_CACHE_S = 1.0
_CACHE_MAX = 10_000


class TenantKeys:
    """Look up one batch at a time; what arrives meanwhile goes into the next, so that a thousand users need few reads.

    Args:
        router: connections to the database.
        cache_s: how long a deleted tenant may still be accepted.
        clock: seconds since the epoch.
    """

    def __init__(self, router: ReadRouter, *, cache_s: float, clock: Callable[[], float] = time.time) -> None:
        self._router = router
        self._cache_s = cache_s
        self._clock = clock
        self._cache: OrderedDict[str, tuple[int | None, float]] = OrderedDict()
        self._pending: dict[str, asyncio.Future[int | None]] = {}
        self._lookup_task: asyncio.Task[None] | None = None

    async def key_of(self, tenant_id: str) -> int | None:
        """Return a tenant's key; None for an unknown tenant.

        Raises:
            SalespulseError: no database server is available.
            psycopg.Error: the server failed.
        """
        entry = self._cache.get(tenant_id)
        if entry is not None and entry[1] > self._clock():
            return entry[0]
        if not _is_valid_text(tenant_id):
            # It would make the whole batch fail.
            return None
        future = self._pending.get(tenant_id)
        if future is None:
            future = self._pending[tenant_id] = asyncio.get_running_loop().create_future()
        if self._lookup_task is None or self._lookup_task.done():
            self._lookup_task = asyncio.create_task(self._look_up())
        # Shielded: a client that disconnects does not cancel it for the others.
        return await asyncio.shield(future)

    async def _look_up(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, {}
            try:
                keys = await self._read(list(batch))
            except Exception as error:  # noqa: BLE001 - raised to those who wait
                for future in batch.values():
                    future.set_exception(error)
                    # Nobody may be waiting any more: mark it as retrieved.
                    future.exception()
                continue
            for tenant_id, future in batch.items():
                self._store(tenant_id, keys.get(tenant_id))
                future.set_result(keys.get(tenant_id))

    def _store(self, tenant_id: str, tenant_key: int | None) -> None:
        expires_at = self._clock() + (self._cache_s if tenant_key is not None else _UNKNOWN_CACHE_S)
        self._cache[tenant_id] = (tenant_key, expires_at)
        self._cache.move_to_end(tenant_id)
        if len(self._cache) > _CACHE_MAX:
            self._cache.popitem(last=False)

    async def _read(self, tenant_ids: list[str]) -> dict[str, int | None]:
        async def read(opened: Read[AsyncConnection]) -> dict[str, int | None]:
            cursor = await opened.connection.execute(query("dashboard.tenant_keys"), {"tenant_ids": tenant_ids})
            return {row["tenant_id"]: row["tenant_key"] for row in await cursor.fetchall()}

        return await self._router.run(read)


def _is_valid_text(tenant_id: str) -> bool:
    """Whether PostgreSQL can store it: no NUL, and no half of a surrogate pair, which JSON can carry."""
    return "\0" not in tenant_id and tenant_id.encode("utf-8", "ignore").decode() == tenant_id
