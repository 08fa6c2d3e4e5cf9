"""Objects over a pair of sockets between a process and the one that it started from the same code; so pickle may carry them.

A frame is its length in four bytes, the greatest first, and a pickle of a number and an object. Nobody else can reach the sockets: they have no name.
"""

import asyncio
import pickle
import struct
from collections.abc import Callable
from typing import cast

import psycopg

_HEAD = struct.Struct(">I")


class Frames(asyncio.Protocol):
    """One end.

    Args:
        on_frame: called with the number and the object of each frame that came.
        on_end: called once the other end is gone.
    """

    def __init__(self, on_frame: Callable[[int, object], None], on_end: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports are none by class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what came: frames, whole or in pieces."""
        self._buffer += data
        begin = 0
        while len(self._buffer) - begin >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer, begin)
            end = begin + _HEAD.size + length
            if len(self._buffer) < end:
                break
            number, item = pickle.loads(self._buffer[begin + _HEAD.size : end])  # noqa: S301 - see above
            self._on_frame(number, item)
            begin = end
        del self._buffer[:begin]

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end closed, or died."""
        del exc
        self._transport = None
        self._on_end()

    def send(self, number: int, item: object) -> None:
        """Send an object; dropped where the other end is gone.

        Args:
            number: of a question and its answer; 0 of what is neither.
            item: what is sent.
        """
        if self._transport is not None:
            packed = pickle.dumps((number, item), pickle.HIGHEST_PROTOCOL)
            self._transport.write(_HEAD.pack(len(packed)) + packed)

    def close(self) -> None:
        """Close this end."""
        if self._transport is not None:
            self._transport.close()


class Failure:
    """An error on its way to whoever asked.

    Pickle calls an exception's class with its `args`, which those that take other arguments don't survive.
    """

    def __init__(self, error: Exception) -> None:
        self._kind = type(error)
        self._args = error.args
        # What psycopg keeps there belongs to the connection.
        self._attributes = {} if isinstance(error, psycopg.Error) else vars(error)

    def error(self) -> Exception:
        """Give the error anew."""
        error = self._kind.__new__(self._kind)
        if isinstance(error, psycopg.Error):
            return self._kind(*self._args)
        error.args = self._args
        vars(error).update(self._attributes)
        return error
