"""Where things are and how to reach them: the settings, one route per kind of database work, and read-only connections.

    with connect.read_only(max_staleness_s=2.0, token=None, tenant_key=7) as read:
        rows = read.connection.execute("SELECT …").fetchall()

    async with connect.ReadRouter(connect.load_settings()) as router:
        async with router.read_only(max_staleness_s=2.0, token=None, tenant_key=7) as read:
            rows = await (await read.connection.execute("SELECT …")).fetchall()

Used by the pipelines and by the HTTP face alike; knows nothing of either.
"""

from connect.errors import NoFreshServerError, SalespulseError, SettingsError, TokenError, UnavailableError
from connect.read import Read, Statement
from connect.read_router import ReadRouter
from connect.router_base import RouterState, Share
from connect.settings import Settings, load_settings
from connect.shared_router import read_only
from connect.sync_router import SyncReadRouter
from connect.tokens import commit_token, commit_token_async

__all__ = [
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
