"""From the application's ids of tenants to surrogate keys: remembered for a while, and asked for together."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from dbconnect import Read, ReadRouter
from dbconnect.routes import AsyncConnection
from dbsql import query

# An unknown tenant is remembered for a moment only: it may be there after the next refresh.
_UNKNOWN_S = 1.0
_REMEMBERED = 10_000


class TenantKeys:
    """Looks up one batch at a time: what arrives meanwhile goes with the next, so that a thousand users need few reads.

    Args:
        router: where tenants are.
        remember_s: how long a deleted tenant may still be answered.
        clock: seconds.
    """

    def __init__(self, router: ReadRouter, *, remember_s: float, clock: Callable[[], float] = time.time) -> None:
        self._router = router
        self._remember_s = remember_s
        self._clock = clock
        self._known: OrderedDict[str, tuple[int | None, float]] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[int | None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def key_of(self, tenant_id: str) -> int | None:
        """Give a tenant's key; None for a tenant that is not there.

        Raises:
            SalespulseError: no server can answer.
            psycopg.Error: the server broke off.
        """
        known = self._known.get(tenant_id)
        if known is not None and known[1] > self._clock():
            return known[0]
        if not _is_text(tenant_id):
            # It would fail everybody's batch.
            return None
        wanted = self._wanted.get(tenant_id)
        if wanted is None:
            wanted = self._wanted[tenant_id] = asyncio.get_running_loop().create_future()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        # Shielded: whoever hangs up does not end it for the others.
        return await asyncio.shield(wanted)

    async def _look(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted, {}
            try:
                found = await self._read(list(batch))
            except Exception as error:  # noqa: BLE001 - it belongs to those who asked
                for wanted in batch.values():
                    wanted.set_exception(error)
                    # Those who asked may all have left.
                    wanted.exception()
                continue
            for tenant_id, wanted in batch.items():
                self._remember(tenant_id, found.get(tenant_id))
                wanted.set_result(found.get(tenant_id))

    def _remember(self, tenant_id: str, tenant_key: int | None) -> None:
        until = self._clock() + (self._remember_s if tenant_key is not None else _UNKNOWN_S)
        self._known[tenant_id] = (tenant_key, until)
        self._known.move_to_end(tenant_id)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _read(self, tenant_ids: list[str]) -> dict[str, int | None]:
        async def read(opened: Read[AsyncConnection]) -> dict[str, int | None]:
            parameters = {"tenant_ids": tenant_ids}
            cursor = await opened.connection.execute(query("dashboard.tenant_keys"), parameters)
            return {row["tenant_id"]: row["tenant_key"] for row in await cursor.fetchall()}

        return await self._router.run(read)


def _is_text(tenant_id: str) -> bool:
    """Whether PostgreSQL could have it: no NUL, and no half of a surrogate pair, which JSON can carry."""
    return "\0" not in tenant_id and tenant_id.encode("utf-8", "ignore").decode() == tenant_id
