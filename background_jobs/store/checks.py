"""What values may be: each check gives the value back, or says what it must be."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from background_jobs.store.errors import JobUsageError

_SECONDS_MAX = 366 * 86_400
_TEXT_MAX = 255
_METRIC = re.compile(r"[a-z_][a-z0-9_]{0,99}").fullmatch


def checked_id(job_id: str) -> str:
    """The id, if it is a UUID in its usual form (36 characters, lower case).

    Raises:
        JobUsageError: it is not.
    """
    try:
        if str(uuid.UUID(job_id)) == job_id:
            return job_id
    except (ValueError, AttributeError, TypeError):
        pass
    raise JobUsageError(f"a job id is a UUID such as new_job_id() makes, not {str(job_id)[:60]!r}")


def checked_text(name: str, value: str, limit: int = _TEXT_MAX) -> str:
    """The text, if it is one that UTF-8 can hold and at most `limit` characters long.

    Raises:
        JobUsageError: it is not.
    """
    if not isinstance(value, str) or len(value) > limit:
        raise JobUsageError(f"{name} is text of at most {limit} characters, not {str(value)[:60]!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise JobUsageError(f"{name} holds half a character (a lone surrogate): {ascii(value)[:60]}") from None
    return value


def checked_seconds(name: str, value: float, least: float = 0) -> float:
    """The number of seconds, if it lies between `least` and a year.

    Raises:
        JobUsageError: it does not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= _SECONDS_MAX:
        raise JobUsageError(f"{name} is a number of seconds from {least:g} to {_SECONDS_MAX}, not {value!r}")
    return value


def checked_whole(name: str, value: int, least: int, limit: int) -> int:
    """The whole number, if it lies between `least` and `limit`.

    Raises:
        JobUsageError: it does not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= limit:
        raise JobUsageError(f"{name} is a whole number from {least} to {limit}, not {value!r}")
    return value


def checked_metric(name: str) -> str:
    """The name, if a metric or a label may have it.

    Raises:
        JobUsageError: it may not.
    """
    if isinstance(name, str) and _METRIC(name) is not None:
        return name
    raise JobUsageError(f"a metric's or label's name is lower case letters, digits and _, not {str(name)[:60]!r}")


def json_of(name: str, value: Mapping[str, Any], limit: int) -> bytes:
    """An object as JSON in UTF-8, of at most so many bytes.

    Raises:
        JobUsageError: it is no such object, or larger.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise JobUsageError(f"{name} is an object of JSON (no NaN, no half characters): {error}") from None
    if not isinstance(value, Mapping):
        raise JobUsageError(f"{name} is an object of JSON, not {type(value).__name__}")
    if len(text) > limit:
        raise JobUsageError(
            f"{name} takes {len(text)} bytes as JSON; at most {limit} are kept: pass a reference instead"
        )
    return text


def shortened(text: str, limit: int) -> str:
    """The text, whatever it holds, as one that UTF-8 can hold, cut to so many characters."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
