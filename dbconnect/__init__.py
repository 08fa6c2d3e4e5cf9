"""Settings, one route per kind of database work, and read-only connections to a server that is fresh enough.

    with dbconnect.read_only(max_staleness_s=2.0, token=None, tenant_key=7) as read:
        rows = read.connection.execute("SELECT …").fetchall()

    async with dbconnect.ReadRouter(dbconnect.load_settings()) as router:
        async with router.read_only(max_staleness_s=2.0, token=None, tenant_key=7) as read:
            rows = await (await read.connection.execute("SELECT …")).fetchall()

Used by every package above it, and imports none of them.
"""

from dbconnect.commit_tokens import commit_token
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
from dbconnect.router_base import RouterState
from dbconnect.settings_loader import Settings, load_settings
from dbconnect.shared_router import read_only

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
    "Statement",
    "TokenError",
    "UnavailableError",
    "commit_token",
    "load_settings",
    "read_only",
]
