"""A report as bytes, serialised and compressed once, and the freshness that each response adds to it."""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from dashboard_api.filters import Format
from dashboard_api.serialization import utc_timestamp

_COMPRESS_FROM_BYTES = 1_500
# No name, no time, an unknown system (RFC 1952, 2.3).
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_MEDIA_TYPES = {Format.JSON: b"application/json", Format.CSV: b"text/csv; charset=utf-8; header=present"}


@dataclass(frozen=True, eq=False)
class Freshness:
    """How fresh the figures are, as of one poll of the data version.

    Attributes:
        as_of: the figures reflect every sale up to this moment.
        staleness_s: seconds from `as_of` to the poll.
        is_stale: whether the server that was read lags further behind than allowed, or no server has responded lately.
    """

    as_of: datetime
    staleness_s: float
    is_stale: bool

    @cached_property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The response headers that state it: made once for the thousands of responses between two polls."""
        headers = [
            (b"x-as-of", utc_timestamp(self.as_of).encode()),
            (b"x-staleness-seconds", b"%.3f" % self.staleness_s),
        ]
        return [*headers, (b"x-stale", b"true")] if self.is_stale else headers

    @cached_property
    def json_tail(self) -> bytes:
        """The same as the last members of a JSON object, with the closing brace."""
        as_of, is_stale = utc_timestamp(self.as_of), "true" if self.is_stale else "false"
        return f',"as_of":"{as_of}","staleness_s":{self.staleness_s:.3f},"is_stale":{is_stale}}}'.encode()


class RenderedReport:
    """A report's finished content.

    Attributes:
        as_of: the figures reflect at least every sale up to this moment.
        changed_at: the tenant's data version in the snapshot that was read.
        etag: changes with the figures, and only with them.
    """

    __slots__ = (
        "_body",
        "_body_headers",
        "_checksum",
        "_format",
        "_headers",
        "_is_compressed",
        "_last_response",
        "_length",
        "as_of",
        "changed_at",
        "etag",
    )

    def __init__(
        self, name: str, content: bytes, content_format: Format, *, as_of: datetime, changed_at: datetime
    ) -> None:
        self._format = content_format
        # Without the closing brace: the freshness comes last, so that the body is compressed and its checksum computed only once.
        body = content[:-1] if content_format is Format.JSON else content
        self._is_compressed = len(content) >= _COMPRESS_FROM_BYTES
        # In one form only: few clients ask for the other, and five times as many reports fit into memory.
        self._body = _deflate(body) if self._is_compressed else body
        self._length = len(body)
        self._checksum = zlib.crc32(body)
        self._last_response: _CachedResponse | None = None
        self.as_of = as_of
        self.changed_at = changed_at
        # Weak: `as_of` moves within the body while the figures stay.
        self.etag = f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
        self._headers = [
            (b"etag", self.etag.encode()),
            (b"cache-control", b"private, no-cache"),
            (b"vary", b"Authorization, X-API-Key, Accept, Accept-Encoding"),
        ]
        self._body_headers = [(b"content-type", _MEDIA_TYPES[content_format])]
        if content_format is Format.CSV:
            disposition = f'attachment; filename="{name}.csv"'.encode()
            self._body_headers.append((b"content-disposition", disposition))

    @property
    def size_bytes(self) -> int:
        """Approximate memory: the stored body, and the last response made of it."""
        return 2 * len(self._body) + 3_000

    def respond(self, request: Request, freshness: Freshness) -> Response:
        """Return the response: 304 where the client has these figures already.

        Args:
            request: its headers If-None-Match and Accept-Encoding are honoured.
            freshness: stated in the headers and, in JSON, in the body.
        """
        headers = request.headers
        if matches_etag(headers.get("if-none-match"), self.etag):
            form = _Form.NOT_MODIFIED
        elif self._is_compressed and "gzip" in headers.get("accept-encoding", ""):
            form = _Form.GZIP
        else:
            form = _Form.PLAIN
        # Built once per poll of the data version, however many clients ask in between.
        last = self._last_response
        if last is None or last.freshness is not freshness or last.form is not form:
            last = self._last_response = _CachedResponse(freshness, form, self._build_response(freshness, form))
        return last.response

    def _build_response(self, freshness: Freshness, form: "_Form") -> Response:
        headers = [*self._headers, *freshness.headers]
        if form is _Form.NOT_MODIFIED:
            return _RawResponse(304, headers, b"")
        headers += self._body_headers
        tail = freshness.json_tail if self._format is Format.JSON else b""
        if form is _Form.GZIP:
            headers.append((b"content-encoding", b"gzip"))
            body = self._gzip(tail)
        else:
            plain = zlib.decompressobj(wbits=-15).decompress(self._body) if self._is_compressed else self._body
            body = plain + tail
        headers.append((b"content-length", b"%d" % len(body)))
        return _RawResponse(200, headers, body)

    def _gzip(self, tail: bytes) -> bytes:
        """Return one gzip member (RFC 1952) of the body, which was compressed once, and a tail that changes twice a second.

        The blocks of the body end on a byte boundary; the tail follows as a stored block, the last one (RFC 1951, 3.2.4).
        """
        length = len(tail)
        checksum = zlib.crc32(tail, self._checksum)
        stored = b"\1" + struct.pack("<HH", length, 0xFFFF ^ length) + tail
        return _GZIP_HEADER + self._body + stored + struct.pack("<II", checksum, (self._length + length) & 0xFFFFFFFF)


class _Form(Enum):
    NOT_MODIFIED = "304"
    PLAIN = "identity"
    GZIP = "gzip"


class _RawResponse(Response):
    """A response whose headers are bytes already."""

    def __init__(self, status: int, raw_headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status_code = status
        self.raw_headers = raw_headers
        self.body = body
        self.background = None


class _CachedResponse(NamedTuple):
    """A report's response under one freshness. Sending it changes nothing in it."""

    freshness: Freshness
    form: _Form
    response: Response


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Whether a client that sends this `If-None-Match` has what the entity tag stands for."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


def _deflate(content: bytes) -> bytes:
    # An overview becomes 15 % longer than at the usual level 6, in 60 % of its time.
    compressor = zlib.compressobj(level=3, wbits=-15)
    # Up to a byte boundary and not finished: a last block follows.
    return compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH)
