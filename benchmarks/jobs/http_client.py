"""A minimal HTTP/1.1 client: a library takes longer than the server that is measured."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
        return cls(reader, writer, f"{host}:{port}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def post(self, path: str, document: Any, headers: Mapping[str, str]) -> Answer:
        body = json.dumps(document).encode()
        return await self._ask("POST", path, {**headers, "Content-Type": "application/json"}, body)

    async def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        return await self._ask("GET", path, headers, b"")

    async def events(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[tuple[str, str, Any]]:
        """Follow a stream of events: (id, event, data) until the server ends it."""
        self._send("GET", path, {**headers, "Accept": "text/event-stream"}, b"")
        status, fields = await self._head()
        assert status == 200, f"{path} was answered {status}"
        assert fields.get("transfer-encoding") == "chunked", fields
        fresh = {"id": "", "event": "message", "data": ""}
        event, rest = dict(fresh), b""
        while True:
            size = int((await self._reader.readline()).strip(), 16)
            chunk = await self._reader.readexactly(size + 2)
            if size == 0:
                return
            *lines, rest = (rest + chunk[:-2]).split(b"\n")
            for line in lines:
                if line:
                    name, _, value = line.decode().partition(": ")
                    event[name] = value
                    continue
                if event["data"]:
                    yield event["id"], event["event"], json.loads(event["data"])
                event = dict(fresh)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self._send(method, path, headers, body)
        status, fields = await self._head()
        return Answer(status, await self._reader.readexactly(int(fields.get("content-length", "0"))))

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        fields = {"Host": self._host, "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self._writer.write("\r\n".join(lines).encode() + body)

    async def _head(self) -> tuple[int, dict[str, str]]:
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split(" ")[1]), fields
