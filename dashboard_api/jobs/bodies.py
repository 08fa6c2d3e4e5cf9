"""Read a request's body without ever holding more of it than it may have."""

import json
import re
from typing import Any, NoReturn

from starlette.requests import Request

from dashboard_api.errors import ParameterError
from dashboard_api.jobs.errors import BodyTooLargeError, MediaTypeError

BODY_MAX_BYTES = 64 * 1024
# An escaped NUL, behind an even number of backslashes.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


async def read_body(request: Request, *, most: int = BODY_MAX_BYTES) -> bytes:
    """Give the body.

    Raises:
        BodyTooLargeError: it is longer than `most` bytes; what comes after them is not read.
    """
    too_large = BodyTooLargeError(f"a body has {most:,} bytes at most")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        raise too_large
    parts: list[bytes] = []
    length = 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise too_large
        parts.append(part)
    return b"".join(parts)


async def read_json(request: Request) -> dict[str, Any]:
    """Give the body's JSON object.

    Raises:
        MediaTypeError: it says that it is something else.
        BodyTooLargeError: see `read_body`.
        ParameterError: it is no JSON object, or none that can be written down again.
    """
    given = request.headers.get("content-type")
    media_type = (given or "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise MediaTypeError(f"send application/json, not {media_type!r}")
    body = await read_body(request)
    try:
        document = json.loads(body, parse_constant=_refuse)
        text = json.dumps(document, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        # UnicodeError is a ValueError: a lone surrogate can be read, and then be sent nowhere.
        raise ParameterError("body", f"is not JSON: {error}"[:200]) from error
    if _NUL.search(text):
        raise ParameterError("body", "may hold no NUL character: the archive's database keeps none")
    if not isinstance(document, dict):
        raise ParameterError("body", "must be a JSON object")
    return document


def _refuse(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)
