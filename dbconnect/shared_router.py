"""`dbconnect.read_only`: read-only connections for sync code, from routers shared by the process."""

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator

from dbconnect.read import Read
from dbconnect.routes import Connection
from dbconnect.settings_loader import Settings, load_settings
from dbconnect.sync_router import SyncReadRouter


class _SharedRouters:
    """The routers of this process. Threads do not survive a fork, so a child process opens its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._routers: list[tuple[int, Settings, SyncReadRouter]] = []

    def get(self, settings: Settings) -> SyncReadRouter:
        with self._lock:
            for owner, router_settings, router in self._routers:
                if owner == os.getpid() and router_settings == settings:
                    return router
            router = SyncReadRouter(settings)
            router.open()
            self._routers.append((os.getpid(), settings, router))
            return router

    def close(self) -> None:
        ours = [entry for entry in self._routers if entry[0] == os.getpid()]
        # Keep references to the parent's: collecting them here would close its sockets.
        self._routers = [entry for entry in self._routers if entry[0] != os.getpid()]
        for _, _, router in ours:
            router.close()

    def reset_lock(self) -> None:
        # Another thread of the parent may have held it.
        self._lock = threading.Lock()


_routers = _SharedRouters()
atexit.register(_routers.close)
os.register_at_fork(after_in_child=_routers.reset_lock)


@contextlib.contextmanager
def read_only(
    max_staleness_s: float | None = None,
    token: str | None = None,
    tenant_key: int | None = None,
    *,
    allow_stale: bool = True,
    settings: Settings | None = None,
) -> Iterator[Read[Connection]]:
    """Open a read-only transaction on a server that is fresh enough, and end it afterwards.

    Its router is opened on first use, one per process and settings, and closed when the process ends.

    Args:
        max_staleness_s: maximum age of the data, in seconds [`dashboard_max_staleness_seconds`].
        token: of `commit_token` after a write; the read includes that write.
        tenant_key: whose rows row-level security shows; without it, none.
        allow_stale: take older data, marked `is_stale`, when no server is fresh enough; never older than the token.
        settings: [`load_settings()`].

    Raises:
        NoFreshServerError: no server can answer; says when to retry.
        SettingsError: no server is configured.
        TokenError: the token is malformed.
    """
    router = _routers.get(settings or load_settings())
    with router.read_only(max_staleness_s, token, tenant_key, allow_stale=allow_stale) as read:
        yield read
