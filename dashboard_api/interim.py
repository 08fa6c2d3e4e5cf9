"""Interim."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from connect import Settings


@dataclass
class Read:
    connection: Any
    server: str = "replica"
    staleness_s: float | None = 0.0
    is_stale: bool = False
    is_fallback: bool = False


class ReadRouter:
    def __init__(self, settings: Settings) -> None:
        self._pool = AsyncConnectionPool(
            settings.url("dashboard_url"),
            open=False,
            min_size=1,
            max_size=10,
            kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": None},
        )

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    def state(self) -> Any:
        return self._pool.get_stats()

    @asynccontextmanager
    async def read_only(
        self, *, max_staleness_s: float | None = None, token: str | None = None, tenant_key: int | None = None
    ) -> AsyncIterator[Read]:
        async with self._pool.connection() as connection:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                await connection.execute(
                    "SELECT set_config('salespulse.tenant_key', %s, true), set_config('statement_timeout', '2000', true)",
                    ["" if tenant_key is None else str(tenant_key)],
                )
                yield Read(connection)
            finally:
                if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    await connection.execute("ROLLBACK")
