"""One connection that a loop keeps, opened when it is first needed and again after it was lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dbconnect.routes import Connection, connect_route


class KeptConnection:
    """A connection for one thread.

    Args:
        url: gives the URL, a secret.
        name: in states of the server.
    """

    def __init__(self, url: Callable[[], str], name: str) -> None:
        self._url = url
        self._name = name
        self._connection: Connection | None = None

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Give the connection; closed where the work in it fails, so that the next one begins afresh.

        Raises:
            UnavailableError: the server can't be reached.
        """
        if self._connection is None or self._connection.closed:
            self._connection = connect_route(self._url(), self._name)
        try:
            yield self._connection
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
