"""Reads Server-Sent Events over a connection of its own: as little as a client can be, so that hundreds fit into a test."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.dashboard_api.server import Api

TIMEOUT_S = 60


@dataclass
class Event:
    """One event: its id (0 where it has none), its type, its data, and when it was read (the loop's clock)."""

    id: int
    type: str
    data: dict[str, Any]
    read_at: float


class Stream:
    """One open stream.

    Attributes:
        status: of the answer.
        headers: of the answer, lower case.
        beats: comments seen so far.
        is_complete: whether the server ended it in good order.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.heartbeats = 0
        self.is_complete = False

    async def begin(self, path: str, token: str, headers: dict[str, str]) -> None:
        all_headers = {"Host": "api", "Authorization": f"Bearer {token}", "Accept": "text/event-stream", **headers}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in all_headers.items()), "", ""]
        self._writer.write("\r\n".join(lines).encode())
        self.status = int((await self._line()).split()[1])
        while line := (await self._line()).strip():
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    async def events(self) -> AsyncIterator[Event]:
        """Give events until the server ends the stream."""
        number, kind = 0, ""
        while line := await self._line():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                number = int(value)
            elif name == "event":
                kind = value
            elif name == "data":
                yield Event(number, kind, json.loads(value), asyncio.get_running_loop().time())
                number = 0
            elif not name and value == "heartbeat":
                self.heartbeats += 1
            elif line == "0\r\n":
                self.is_complete = True
                return

    async def take(self, count: int) -> list[Event]:
        """Give so many events."""
        events: list[Event] = []
        if count:
            async for event in self.events():
                events.append(event)
                if len(events) == count:
                    break
        return events

    async def all(self) -> list[Event]:
        """Give every event until the end."""
        return [event async for event in self.events()]

    async def _line(self) -> str:
        async with asyncio.timeout(TIMEOUT_S):
            return (await self._reader.readline()).decode()


@asynccontextmanager
async def open_stream(api: Api, path: str, token: str, *, limit: int = 2**16, **headers: str) -> AsyncIterator[Stream]:
    """Open a stream; `limit` bounds what is buffered on this side."""
    address = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=limit)
    stream = Stream(reader, writer)
    try:
        await stream.begin(path, token, {name.replace("_", "-"): value for name, value in headers.items()})
        yield stream
    finally:
        writer.close()
