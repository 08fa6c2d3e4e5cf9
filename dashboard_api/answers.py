"""From rows to bytes: JSON and CSV, entity tags, compression, 304."""

import csv
import hashlib
import io
import json
import zlib
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dashboard_api.filters import Format
from dashboard_api.freshness import Freshness
from dashboard_api.money import plain

_COMPRESS_FROM = 1_500
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

    __slots__ = ("_content", "_format", "_name", "_rendered", "as_of", "changed_at", "etag")

    def __init__(
        self, name: str, content: bytes, answer_format: Format, *, as_of: datetime, changed_at: datetime
    ) -> None:
        self._name = name
        self._content = content
        self._format = answer_format
        self._rendered: tuple[Freshness, bytes, bytes | None] | None = None
        self.as_of = as_of
        self.changed_at = changed_at
        # Weak: `as_of` moves within the body while the figures stay.
        self.etag = f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, about: the content, and its rendered and compressed forms."""
        return 2 * len(self._content) + len(self._content) // 4 + 1_000

    def respond(self, request: Request, freshness: Freshness) -> Response:
        """Give the response: 304 where the caller has these figures already.

        Args:
            request: its If-None-Match and Accept-Encoding count.
            freshness: what to say of it.
        """
        headers = {
            "ETag": self.etag,
            "Cache-Control": "private, no-cache",
            "Vary": "Authorization, X-API-Key, Accept, Accept-Encoding",
            "X-As-Of": _moment(freshness.as_of),
            "X-Staleness-Seconds": f"{freshness.staleness_s:.3f}",
        }
        if freshness.is_stale:
            headers["X-Stale"] = "true"
        if matches_tag(request.headers.get("if-none-match"), self.etag):
            return Response(status_code=304, headers=headers)
        body, compressed = self._render(freshness)
        if compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = compressed
        if self._format is Format.CSV:
            headers["Content-Disposition"] = f'attachment; filename="{self._name}.csv"'
        return Response(body, headers=headers, media_type=_MEDIA[self._format])

    def _render(self, freshness: Freshness) -> tuple[bytes, bytes | None]:
        # Once per look at the state, however many ask in between.
        if self._rendered is not None and self._rendered[0] is freshness:
            return self._rendered[1], self._rendered[2]
        body = self._content
        if self._format is Format.JSON:
            stale = "true" if freshness.is_stale else "false"
            head = (
                f'{{"as_of":"{_moment(freshness.as_of)}","staleness_s":{freshness.staleness_s:.3f},"is_stale":{stale},'
            )
            body = head.encode() + body[1:]
        compressed = _gzip(body) if len(body) >= _COMPRESS_FROM else None
        self._rendered = (freshness, body, compressed)
        return body, compressed


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


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(level=4, wbits=31)
    return packer.compress(body) + packer.flush()
