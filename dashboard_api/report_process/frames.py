"""Exchange objects over a socket pair between a process and its child, which runs the same code: so pickle may carry them.

A frame is its length in four bytes (big-endian), and the pickle of a number and an object. The sockets have no name, so that no other
process can connect to them.
"""

import asyncio
import pickle
import struct
from collections.abc import Callable
from typing import cast

import psycopg

_LENGTH = struct.Struct(">I")


class Frames(asyncio.Protocol):
    """One end of the connection.

    Args:
        on_frame: called with the number and the object of each frame received.
        on_close: called once the other end is gone.
    """

    def __init__(self, on_frame: Callable[[int, object], None], on_close: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_close = on_close
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        # uvloop's transports don't inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass on the frames that are complete."""
        self._buffer += data
        begin = 0
        while len(self._buffer) - begin >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, begin)
            end = begin + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            number, item = pickle.loads(self._buffer[begin + _LENGTH.size : end])  # noqa: S301 - see the module's docstring
            self._on_frame(number, item)
            begin = end
        del self._buffer[:begin]

    def connection_lost(self, exc: Exception | None) -> None:
        """Report that the other end has closed the connection, or died."""
        del exc
        self._transport = None
        self._on_close()

    def send(self, number: int, item: object) -> None:
        """Send an object; it is dropped where the other end is gone.

        Args:
            number: of a request and its response; 0 for anything else.
            item: the object.
        """
        if self._transport is not None:
            pickled = pickle.dumps((number, item), pickle.HIGHEST_PROTOCOL)
            self._transport.write(_LENGTH.pack(len(pickled)) + pickled)

    def close(self) -> None:
        """Close this end."""
        if self._transport is not None:
            self._transport.close()


class PickledError:
    """An exception that survives pickling.

    Pickle calls an exception's class with its `args`, which fails for classes whose constructor takes other arguments.
    """

    def __init__(self, error: Exception) -> None:
        self._kind = type(error)
        self._args = error.args
        # psycopg's attributes belong to its connection.
        self._attributes = {} if isinstance(error, psycopg.Error) else vars(error)

    def error(self) -> Exception:
        """Return an equal exception."""
        error = self._kind.__new__(self._kind)
        if isinstance(error, psycopg.Error):
            return self._kind(*self._args)
        error.args = self._args
        vars(error).update(self._attributes)
        return error
