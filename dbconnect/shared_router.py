"""`dbconnect.read_only`: a read-only connection for sync code, without a router to keep.

with dbconnect.read_only(max_staleness_s=2.0, tenant_key=7) as read:
    rows = read.connection.execute("SELECT …").fetchall()
"""

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator

from dbconnect.read import Read
from dbconnect.routes import Connection
from dbconnect.settings import Settings, load_settings
from dbconnect.sync_router import SyncReadRouter


class _SharedRouters:
    """The routers of this process. Threads do not survive a fork, so a child makes its own and leaves ours alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: list[tuple[int, Settings, SyncReadRouter]] = []

    def get(self, settings: Settings) -> SyncReadRouter:
        with self._lock:
            for owner, known, router in self._made:
                if owner == os.getpid() and known == settings:
                    return router
            router = SyncReadRouter(settings)
            router.open()
            self._made.append((os.getpid(), settings, router))
            return router

    def close(self) -> None:
        ours = [entry for entry in self._made if entry[0] == os.getpid()]
        # A parent's stay referenced: collecting them here would run their clean-up against its sockets.
        self._made = [entry for entry in self._made if entry[0] != os.getpid()]
        for _, _, router in ours:
            router.close()

    def forked(self) -> None:
        # Another thread of the parent may have held it.
        self._lock = threading.Lock()


_routers = _SharedRouters()
atexit.register(_routers.close)
os.register_at_fork(after_in_child=_routers.forked)


@contextlib.contextmanager
def read_only(
    max_staleness_s: float | None = None,
    token: str | None = None,
    tenant_key: int | None = None,
    *,
    allow_stale: bool = True,
    settings: Settings | None = None,
) -> Iterator[Read[Connection]]:
    """Begin a read-only transaction on a server that is fresh enough, and end it afterwards.

    The router behind it is made on first use, one per process and settings, and closed when the process ends.

    Args:
        max_staleness_s: how old the data may be, in seconds; `dashboard_max_staleness_seconds` unless given.
        token: what `commit_token` gave after a write; the read shows that write.
        tenant_key: whose rows row-level security shows; none without it.
        allow_stale: take older data, marked `is_stale`, when no server is fresh enough; never older than the token.
        settings: `load_settings()` unless given.

    Raises:
        NoFreshServerError: no server can answer; says when to try again.
        SettingsError: no server is set.
        TokenError: the token is not one.
    """
    router = _routers.get(settings or load_settings())
    with router.read_only(max_staleness_s, token, tenant_key, allow_stale=allow_stale) as read:
        yield read
