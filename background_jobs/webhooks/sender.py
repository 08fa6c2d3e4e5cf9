"""Make one attempt to send a webhook: to a checked address, within a time limit, reading little of the response."""

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

from background_jobs.errors import TargetError
from background_jobs.webhooks.target import Target, TargetPolicy

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_BYTES_READ_MAX = 16 * 1024
_EXCERPT_CHARACTERS = 500
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass
class AttemptResult:
    """The result of one attempt.

    Attributes:
        status: the response's status code; None if there was no response.
        error: why there was no response, for people; None if there was one.
        excerpt: the beginning of the response's body.
        retry_after_s: the response's `Retry-After`, in seconds.
        seconds: how long the attempt took.
    """

    status: int | None = None
    error: str | None = None
    excerpt: str = ""
    retry_after_s: float | None = None
    seconds: float = 0.0

    @property
    def is_success(self) -> bool:
        """Whether the receiver accepted it: 2xx alone; redirects are not followed."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no further webhooks: 410."""
        return self.status == 410


class Sender:
    """Sends webhooks.

    The host is resolved once, every address is checked, and the connection goes to a checked address, with the name in TLS
    and in `Host`: a later change of the name's addresses does not matter. Proxies of the environment are not used.

    Args:
        policy: where webhooks may go.
        timeout_s: for a whole attempt: resolving, connecting, request and response.
        resolver: returns a host's addresses; the system's resolver unless given.
        ssl_context: which certificates to trust; the usual authorities unless given.
    """

    def __init__(
        self,
        policy: TargetPolicy | None = None,
        *,
        timeout_s: float = 10.0,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy or TargetPolicy()
        self._timeout_s = timeout_s
        self._resolver = resolver or _resolve_by_system
        self._ssl_context = ssl_context or httpcore.default_ssl_context()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptResult:
        """Make one attempt. Errors are in the result; only cancellation is raised."""
        result = AttemptResult()
        started_at = time.perf_counter()
        error = None
        try:
            async with asyncio.timeout(self._timeout_s):
                target = Target.parse(url, self._policy)
                addresses = await self._resolver(target.host, target.port)
                target.check(addresses, self._policy)
                await self._post(target, addresses, headers, body, result)
        except TimeoutError:
            error = f"timed out after {self._timeout_s:g} s"
        except TargetError as refusal:
            error = f"not sent: {refusal}"
        except (OSError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as failure:
            error = f"{type(failure).__name__}: {failure}".removesuffix(": ")[:_EXCERPT_CHARACTERS]
        # A status counts even if the body breaks off.
        result.error = error if result.status is None else None
        result.seconds = time.perf_counter() - started_at
        return result

    async def _post(
        self, target: Target, addresses: Sequence[str], headers: Mapping[str, str], body: bytes, result: AttemptResult
    ) -> None:
        """Send the request, and fill in the result as the response arrives."""
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        fields = [("Host", target.authority), *headers.items()]
        content = bytearray()
        async with (
            httpcore.AsyncConnectionPool(
                ssl_context=self._ssl_context,
                network_backend=_PinnedBackend(addresses),
                max_keepalive_connections=0,
            ) as pool,
            pool.stream("POST", url, headers=fields, content=body) as response,
        ):
            result.status = response.status
            response_headers = {name.lower(): value for name, value in response.headers}
            result.retry_after_s = _retry_after_s(response_headers.get(b"retry-after", b"").decode("latin-1"))
            async for part in response.aiter_stream():
                content += part[: _BYTES_READ_MAX - len(content)]
                # A character takes four bytes at most.
                text = content[: 4 * _EXCERPT_CHARACTERS].decode("utf-8", "replace")
                result.excerpt = _UNPRINTABLE.sub(" ", text[:_EXCERPT_CHARACTERS])
                if len(content) >= _BYTES_READ_MAX:
                    break


async def _resolve_by_system(host: str, port: int) -> list[str]:
    """Return a host's addresses by the system's resolver, in a daemon thread.

    The resolver can't be interrupted, and an event loop's own threads would keep the process alive until it answers.

    Raises:
        OSError: the name has no address, or no name server answers.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()

    def finish(result: list[str] | OSError) -> None:
        if future.done():
            return
        if isinstance(result, OSError):
            future.set_exception(result)
        else:
            future.set_result(result)

    def resolve() -> None:
        result: list[str] | OSError
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result = list(dict.fromkeys(str(address[0]) for *_, address in entries))
        except UnicodeError:
            result = OSError("invalid host name")
        except OSError as error:
            result = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, result)

    threading.Thread(target=resolve, name="webhook-resolver", daemon=True).start()
    return await future


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the first of some addresses that answers, whatever the host."""

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


def _retry_after_s(text: str) -> float | None:
    """Return the seconds that `Retry-After` states, or until its date; None if it is invalid."""
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
