"""Send one webhook: to an address that was checked, within a time, reading little of the answer."""

import asyncio
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpcore

from background_jobs.webhooks.errors import TargetError
from background_jobs.webhooks.target import Target, TargetPolicy

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_MOST_BYTES_READ = 16 * 1024
_EXCERPT_CHARACTERS = 500
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Reply:
    """How one attempt ended.

    Attributes:
        status: of the answer; None: there was none.
        error: what went wrong before an answer, for a person; None with one.
        excerpt: the beginning of the answer's body.
        retry_after_s: what the answer's `Retry-After` asks for.
        seconds: how long it took.
    """

    status: int | None = None
    error: str | None = None
    excerpt: str = ""
    retry_after_s: float | None = None
    seconds: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the receiver took it: 2xx, nothing else; a redirection is not followed."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants nothing more: 410."""
        return self.status == 410


class Sender:
    """Sends webhooks.

    The host is looked up once, every address is checked, and the connection is made to a checked address, with the
    name in TLS and in `Host`: what a second look-up would say does not matter. Proxies of the environment are not used.

    Args:
        policy: where webhooks may go.
        timeout_s: for all of an attempt: look-up, connection, request, answer.
        resolve: gives a host's addresses; the system's resolver unless given.
        ssl_context: whom to trust; the usual authorities unless given.
    """

    def __init__(
        self,
        policy: TargetPolicy | None = None,
        *,
        timeout_s: float = 10.0,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy or TargetPolicy()
        self._timeout_s = timeout_s
        self._resolve = resolve or resolve_by_system
        self._ssl_context = ssl_context or httpcore.default_ssl_context()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Make one attempt. Whatever goes wrong is in the reply; only being cancelled is raised."""
        started = time.perf_counter()
        attempt = _Attempt()
        error: str | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                target = Target.parse(url, self._policy)
                addresses = await self._resolve(target.host, target.port)
                target.check(addresses, self._policy)
                await attempt.run(target, _Pinned(addresses), self._ssl_context, headers, body)
        except TimeoutError:
            error = f"no answer within {self._timeout_s:g} s"
        except TargetError as refusal:
            error = f"not sent: {refusal}"
        except (OSError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as failure:
            error = f"{type(failure).__name__}: {failure}".removesuffix(": ")[:_EXCERPT_CHARACTERS]
        return attempt.reply(error, time.perf_counter() - started)


async def resolve_by_system(host: str, port: int) -> list[str]:
    """Give a host's addresses by the system's resolver.

    On a thread of its own, which ends with the process: the resolver can't be interrupted, and an event loop's own threads
    would keep a process alive until it has answered.

    Raises:
        OSError: the name has no address, or no name server answers.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def give(result: list[str] | OSError) -> None:
        if answer.done():
            return
        if isinstance(result, OSError):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def look_up() -> None:
        result: list[str] | OSError
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result = list(dict.fromkeys(str(address[0]) for *_, address in found))
        except UnicodeError:
            result = OSError("the host's name can't be looked up")
        except OSError as error:
            result = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(give, result)

    threading.Thread(target=look_up, name="webhook-resolver", daemon=True).start()
    return await answer


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to the given addresses, the first that answers, whatever host it is asked for."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's interface)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del host
        last: Exception | None = None
        for address in self._addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last or httpcore.ConnectError("the host has no address")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _Attempt:
    """What is known of an answer so far: its status counts even if its body breaks off."""

    def __init__(self) -> None:
        self._status: int | None = None
        self._retry_after_s: float | None = None
        self._body = bytearray()

    async def run(
        self,
        target: Target,
        network: httpcore.AsyncNetworkBackend,
        ssl_context: ssl.SSLContext,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        fields = [("Host", target.authority), *headers.items()]
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=ssl_context, network_backend=network, max_keepalive_connections=0
            ) as pool,
            pool.stream("POST", url, headers=fields, content=body) as response,
        ):
            self._status = response.status
            answered = {name.lower(): value for name, value in response.headers}
            self._retry_after_s = _retry_after_s(answered.get(b"retry-after", b"").decode("latin-1"))
            async for part in response.aiter_stream():
                self._body += part[: _MOST_BYTES_READ - len(self._body)]
                if len(self._body) >= _MOST_BYTES_READ:
                    break

    def reply(self, error: str | None, seconds: float) -> Reply:
        excerpt = _UNPRINTABLE.sub(" ", self._body.decode("utf-8", "replace")[:_EXCERPT_CHARACTERS])
        return Reply(
            status=self._status,
            error=error if self._status is None else None,
            excerpt=excerpt,
            retry_after_s=self._retry_after_s,
            seconds=seconds,
        )


def _retry_after_s(text: str) -> float | None:
    """The field's seconds, or the time until its date; None where it says nothing to go by."""
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
