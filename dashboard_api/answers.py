"""From rows to bytes: JSON and CSV, entity tags, compression, 304."""

import csv
import hashlib
import io
import json
import struct
import zlib
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from dashboard_api.filters import Format
from dashboard_api.freshness import Freshness
from dashboard_api.money import plain

_COMPRESS_FROM = 1_500
# No name, no time, an unknown system (RFC 1952, 2.3).
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
# What a spreadsheet would run as a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MEDIA = {Format.JSON: "application/json", Format.CSV: "text/csv; charset=utf-8; header=present"}


class Answer:
    """One finished answer, serialised once.

    Attributes:
        as_of: the figures reflect every sale up to this moment, at least.
        changed_at: the tenant's version in the snapshot that was read.
        etag: changes with the figures, and only with them.
    """

    __slots__ = ("_content", "_format", "_name", "_packed", "_rendered", "as_of", "changed_at", "etag")

    def __init__(
        self, name: str, content: bytes, answer_format: Format, *, as_of: datetime, changed_at: datetime
    ) -> None:
        self._name = name
        self._content = content
        self._format = answer_format
        self._packed = _deflate(content[_head_ends(answer_format) :]) if len(content) >= _COMPRESS_FROM else None
        self._rendered: _Rendered | None = None
        self.as_of = as_of
        self.changed_at = changed_at
        # Weak: `as_of` moves within the body while the figures stay.
        self.etag = f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, about: the content, its compressed form, and what was made of one of them last."""
        return 2 * len(self._content) + 2 * len(self._packed or b"") + 2_000

    def respond(self, request: Request, freshness: Freshness) -> Response:
        """Give the response: 304 where the caller has these figures already.

        Args:
            request: its If-None-Match and Accept-Encoding count.
            freshness: what to say of it.
        """
        headers = request.headers
        if matches_tag(headers.get("if-none-match"), self.etag):
            form = _Form.UNCHANGED
        elif self._packed is not None and "gzip" in headers.get("accept-encoding", ""):
            form = _Form.COMPRESSED
        else:
            form = _Form.PLAIN
        # Rendered once per look at the state, however many ask for the same in between.
        kept = self._rendered
        if kept is None or kept.freshness is not freshness or kept.form is not form:
            kept = self._rendered = _Rendered(freshness, form, self._render(freshness, form))
        return kept.response

    def _render(self, freshness: Freshness, form: "_Form") -> Response:
        headers = {
            "ETag": self.etag,
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization, X-API-Key, Accept, Accept-Encoding",
            "X-As-Of": _moment(freshness.as_of),
            "X-Staleness-Seconds": f"{freshness.staleness_s:.3f}",
        }
        if freshness.is_stale:
            headers["X-Stale"] = "true"
        if form is _Form.UNCHANGED:
            return Response(status_code=304, headers=headers)
        if self._format is Format.CSV:
            headers["Content-Disposition"] = f'attachment; filename="{self._name}.csv"'
        head, rest = self._head(freshness), self._content[_head_ends(self._format) :]
        body = head + rest
        if form is _Form.COMPRESSED and self._packed is not None:
            headers["Content-Encoding"] = "gzip"
            body = _gzip(head, rest, self._packed)
        return Response(body, headers=headers, media_type=_MEDIA[self._format])

    def _head(self, freshness: Freshness) -> bytes:
        """What the body says of its freshness, in place of the content's first byte."""
        if self._format is Format.CSV:
            return b""
        stale = "true" if freshness.is_stale else "false"
        return (
            f'{{"as_of":"{_moment(freshness.as_of)}","staleness_s":{freshness.staleness_s:.3f},"is_stale":{stale},'
        ).encode()


class _Form(Enum):
    UNCHANGED = "304"
    PLAIN = "as it is"
    COMPRESSED = "gzip"


class _Rendered(NamedTuple):
    """An answer's response under one look at the state. Sending it changes nothing in it."""

    freshness: Freshness
    form: _Form
    response: Response


def render_json(document: dict[str, Any]) -> bytes:
    """Give a document as JSON; decimals become strings, exact as they are."""
    return json.dumps(document, default=_json_value, ensure_ascii=False, separators=(",", ":")).encode()


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
        return _moment(value)
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


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def matches_tag(if_none_match: str | None, etag: str) -> bool:
    """Whether a caller that sends this `If-None-Match` has what the tag stands for."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


def _head_ends(answer_format: Format) -> int:
    return 1 if answer_format is Format.JSON else 0


def _deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(level=6, wbits=-15)
    return packer.compress(content) + packer.flush()


def _gzip(head: bytes, rest: bytes, packed_rest: bytes) -> bytes:
    """One gzip member (RFC 1952) of a head that changes twice a second and a rest that was compressed once.

    The head is a stored block (RFC 1951, 3.2.4), which ends on a whole byte, so that the blocks of the rest may follow it.
    """
    length = len(head)
    stored = b"\0" + struct.pack("<HH", length, 0xFFFF ^ length) + head
    checksum = zlib.crc32(rest, zlib.crc32(head))
    return _GZIP_HEADER + stored + packed_rest + struct.pack("<II", checksum, (length + len(rest)) & 0xFFFFFFFF)
