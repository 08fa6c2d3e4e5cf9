"""From rows to bytes: JSON and CSV, entity tags, compression, 304."""

import csv
import hashlib
import io
import struct
import zlib
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from dashboard_api.filters import Format
from dashboard_api.freshness import Freshness, moment_text
from dashboard_api.money import plain

_COMPRESS_FROM = 1_500
# No name, no time, an unknown system (RFC 1952, 2.3).
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
# What a spreadsheet would run as a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MEDIA = {Format.JSON: b"application/json", Format.CSV: b"text/csv; charset=utf-8; header=present"}


class Answer:
    """One finished answer, serialised once.

    Attributes:
        as_of: the figures reflect every sale up to this moment, at least.
        changed_at: the tenant's version in the snapshot that was read.
        etag: changes with the figures, and only with them.
    """

    __slots__ = (
        "_checksum",
        "_fixed",
        "_fixed_of_body",
        "_format",
        "_is_packed",
        "_kept",
        "_length",
        "_rendered",
        "as_of",
        "changed_at",
        "etag",
    )

    def __init__(
        self, name: str, content: bytes, answer_format: Format, *, as_of: datetime, changed_at: datetime
    ) -> None:
        self._format = answer_format
        # Without the brace at its end: what is said of its freshness comes last, so that nothing of the body is compressed or
        # summed up more than once.
        body = content[:-1] if answer_format is Format.JSON else content
        self._is_packed = len(content) >= _COMPRESS_FROM
        # In one form only: hardly anybody asks for the other one, and five times as many answers fit into memory.
        self._kept = _deflate(body) if self._is_packed else body
        self._length = len(body)
        self._checksum = zlib.crc32(body)
        self._rendered: _Rendered | None = None
        self.as_of = as_of
        self.changed_at = changed_at
        # Weak: `as_of` moves within the body while the figures stay.
        self.etag = f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
        self._fixed = [
            (b"etag", self.etag.encode()),
            (b"cache-control", b"private, no-cache"),
            (b"vary", b"Authorization, X-API-Key, Accept, Accept-Encoding"),
        ]
        self._fixed_of_body = [(b"content-type", _MEDIA[answer_format])]
        if answer_format is Format.CSV:
            disposition = f'attachment; filename="{name}.csv"'.encode()
            self._fixed_of_body.append((b"content-disposition", disposition))

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, about: its content, compressed if it is long, and what was made of that last."""
        return 2 * len(self._kept) + 3_000

    def respond(self, request: Request, freshness: Freshness) -> Response:
        """Give the response: 304 where the caller has these figures already.

        Args:
            request: its If-None-Match and Accept-Encoding count.
            freshness: what to say of it.
        """
        headers = request.headers
        if matches_tag(headers.get("if-none-match"), self.etag):
            form = _Form.UNCHANGED
        elif self._is_packed and "gzip" in headers.get("accept-encoding", ""):
            form = _Form.COMPRESSED
        else:
            form = _Form.PLAIN
        # Rendered once per look at the state, however many ask for the same in between.
        kept = self._rendered
        if kept is None or kept.freshness is not freshness or kept.form is not form:
            kept = self._rendered = _Rendered(freshness, form, self._render(freshness, form))
        return kept.response

    def _render(self, freshness: Freshness, form: "_Form") -> Response:
        headers = [*self._fixed, *freshness.fields]
        if form is _Form.UNCHANGED:
            return _Written(304, headers, b"")
        headers += self._fixed_of_body
        tail = freshness.tail if self._format is Format.JSON else b""
        if form is _Form.COMPRESSED:
            headers.append((b"content-encoding", b"gzip"))
            body = self._gzip(tail)
        else:
            body = (zlib.decompressobj(wbits=-15).decompress(self._kept) if self._is_packed else self._kept) + tail
        headers.append((b"content-length", b"%d" % len(body)))
        return _Written(200, headers, body)

    def _gzip(self, tail: bytes) -> bytes:
        """One gzip member (RFC 1952) of the body, which was compressed once, and a tail that changes twice a second.

        The blocks of the body end on a whole byte; the tail is a stored block after them, the last one (RFC 1951, 3.2.4).
        """
        length = len(tail)
        checksum = zlib.crc32(tail, self._checksum)
        stored = b"\1" + struct.pack("<HH", length, 0xFFFF ^ length) + tail
        return _GZIP_HEADER + self._kept + stored + struct.pack("<II", checksum, (self._length + length) & 0xFFFFFFFF)


class _Form(Enum):
    UNCHANGED = "304"
    PLAIN = "as it is"
    COMPRESSED = "gzip"


class _Written(Response):
    """A response whose header fields are bytes already."""

    def __init__(self, status: int, raw_headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status_code = status
        self.raw_headers = raw_headers
        self.body = body
        self.background = None


class _Rendered(NamedTuple):
    """An answer's response under one look at the state. Sending it changes nothing in it."""

    freshness: Freshness
    form: _Form
    response: Response


def render_json(document: dict[str, Any]) -> bytes:
    """Give a document as JSON; decimals become strings, exact as they are."""
    return orjson.dumps(document, default=_json_value, option=orjson.OPT_PASSTHROUGH_DATETIME)


def render_csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> bytes:
    """Give rows as CSV (RFC 4180), a header line first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_csv_value(row[column]) for column in columns] for row in rows)
    return text.getvalue().encode()


def _json_value(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, date):
        return value.isoformat()
    message = f"no JSON form for {type(value).__name__}"
    raise TypeError(message)


def _csv_value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) and not _is_number(value) else value
    return plain(value) if isinstance(value, Decimal) else str(value)


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def matches_tag(if_none_match: str | None, etag: str) -> bool:
    """Whether a caller that sends this `If-None-Match` has what the tag stands for."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


def _deflate(content: bytes) -> bytes:
    # An overview becomes 15 % longer than at the usual level 6, in 60 % of its time.
    packer = zlib.compressobj(level=3, wbits=-15)
    # To a whole byte, and not ended: a last block follows.
    return packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH)
