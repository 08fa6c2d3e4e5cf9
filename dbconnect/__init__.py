"""Where things are and how to reach them: the settings, one route per kind of database work, and read-only connections.

    with dbconnect.read_only(max_staleness_s=2.0, token=None, tenant_key=7) as read:
        rows = read.connection.execute("SELECT …").fetchall()

    async with dbconnect.ReadRouter(dbconnect.load_settings()) as router:
        async with router.read_only(max_staleness_s=2.0, token=None, tenant_key=7) as read:
            rows = await (await read.connection.execute("SELECT …")).fetchall()

Used by the pipelines and by the HTTP face alike; knows nothing of either.
"""

from dbconnect.errors import (
    DatabaseError,
    LockTimeoutError,
    NoFreshServerError,
    SalespulseError,
    SettingsError,
    TokenError,
    UnavailableError,
)
from dbconnect.read import Read, Statement
from dbconnect.read_router import ReadRouter
from dbconnect.router_base import RouterState, Share
from dbconnect.settings import Settings, load_settings
from dbconnect.shared_router import read_only
from dbconnect.sync_router import SyncReadRouter
from dbconnect.tokens import commit_token, commit_token_async

__all__ = [
    "DatabaseError",
    "LockTimeoutError",
    "NoFreshServerError",
    "Read",
    "ReadRouter",
    "RouterState",
    "SalespulseError",
    "Settings",
    "SettingsError",
    "Share",
    "Statement",
    "SyncReadRouter",
    "TokenError",
    "UnavailableError",
    "commit_token",
    "commit_token_async",
    "load_settings",
    "read_only",
]
