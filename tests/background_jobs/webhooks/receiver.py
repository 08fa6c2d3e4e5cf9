"""A webhook receiver on loopback whose answers a test chooses: good, bad, slow, endless or none."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from local_stack.waiting import wait_until


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


Step = Callable[[asyncio.StreamWriter, "Receiver"], Awaitable[None]]


def answer(status: int, body: bytes = b"ok", **headers: str) -> Step:
    """Answer at once."""

    async def step(writer: asyncio.StreamWriter, receiver: "Receiver") -> None:
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status} Text\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)
        await writer.drain()

    return step


async def silent(writer: asyncio.StreamWriter, receiver: "Receiver") -> None:
    """Read the request, and answer only once the receiver is released or closed."""
    await receiver.go_on.wait()
    await answer(200)(writer, receiver)


async def dripping_headers(writer: asyncio.StreamWriter, receiver: "Receiver") -> None:
    """Send a byte now and then, so that no single read ever takes long."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not receiver.go_on.is_set():
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.01)


async def dripping_body(writer: asyncio.StreamWriter, receiver: "Receiver") -> None:
    """Answer 200 at once, with a body that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not receiver.go_on.is_set():
        writer.write(b"b")
        await writer.drain()
        await asyncio.sleep(0.01)


async def huge(writer: asyncio.StreamWriter, receiver: "Receiver") -> None:
    """Answer with a gigabyte; count what the sender took of it."""
    total = 1 << 30
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
    while receiver.bytes_taken < total:
        writer.write(b"x" * 65536)
        await writer.drain()
        receiver.bytes_taken += 65536


async def hanging_up(writer: asyncio.StreamWriter, receiver: "Receiver") -> None:
    """Close without a word."""


async def gibberish(writer: asyncio.StreamWriter, receiver: "Receiver") -> None:
    """Answer what is not HTTP."""
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await writer.drain()


@dataclass
class Receiver:
    """The received requests, and the answers: for each path its steps in turn, the last one repeated; 200 without any."""

    port: int = 0
    scheme: str = "http"
    received: list[Received] = field(default_factory=list)
    steps: dict[str, list[Step]] = field(default_factory=dict)
    bytes_taken: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop | None = None

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def release(self) -> None:
        """Let those that are silent answer."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.go_on.set)

    def at(self, path: str) -> list[Received]:
        return [request for request in self.received if request.path == path]

    def wait_for(self, path: str, requests: int = 1) -> None:
        wait_until(
            lambda: len(self.at(path)) >= requests,
            timeout_s=60,
            what=lambda: f"{requests} requests at {path}; there are {len(self.at(path))}",
        )

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await _read(reader)
            self.received.append(request)
            steps = self.steps.get(request.path) or [answer(200)]
            step = steps[min(len(self.at(request.path)), len(steps)) - 1]
            await step(writer, self)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.close()
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Received(first.split(" ")[1], headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@contextlib.contextmanager
def receiving(*, ssl_context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Listen on a free port of 127.0.0.1 until the block ends."""
    receiver = Receiver(scheme="https" if ssl_context else "http")
    ready, closed = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0, ssl=ssl_context)
        receiver.port = server.sockets[0].getsockname()[1]
        receiver.loop = asyncio.get_running_loop()
        ready.set()
        async with server:
            await closed.wait()

    async def close() -> None:
        receiver.go_on.set()
        closed.set()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(60), "the receiver did not start"
        yield receiver
    finally:
        assert receiver.loop is not None
        asyncio.run_coroutine_threadsafe(close(), receiver.loop)
        thread.join(60)
