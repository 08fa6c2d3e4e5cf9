"""The header fields and problem documents of limited responses.

`RateLimit-Policy` (the limits) and `RateLimit` (what is left of them) follow draft-ietf-httpapi-ratelimit-headers-10.
Their names are the policy's, numbered if it has several limits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NamedTuple

from ratelimit_service.decision import Decision, LimitState, binding_of
from ratelimit_service.limits import Algorithm, Limit
from ratelimit_service.policy import OnOutage

Headers = list[tuple[bytes, bytes]]
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
PROBLEM_TYPE = b"application/problem+json"
STATUS_TITLES = {
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
"""Titles of the statuses in use; Python's own table differs between its versions."""
LIMIT_FIELDS = frozenset({b"x-ratelimit-limit", b"x-ratelimit-remaining", b"x-ratelimit-reset"})
_POLICY_FIELDS_MAX = 4096
_SPELLING = {
    b"x-ratelimit-limit": "X-RateLimit-Limit",
    b"x-ratelimit-remaining": "X-RateLimit-Remaining",
    b"x-ratelimit-reset": "X-RateLimit-Reset",
    b"ratelimit-policy": "RateLimit-Policy",
    b"ratelimit": "RateLimit",
    b"retry-after": "Retry-After",
    b"content-type": "Content-Type",
    b"content-length": "Content-Length",
    b"cache-control": "Cache-Control",
}


class _PolicyField(NamedTuple):
    # Holding the limits keeps their id() from being reused.
    limits: tuple[Limit, ...]
    policy: bytes
    names: tuple[bytes, ...]
    capacity: bytes
    first: bytes


_policy_fields: dict[tuple[str, int], _PolicyField] = {}


def limit_names(policy: str, limits: Sequence[Limit]) -> tuple[str, ...]:
    """Return each limit's name in the fields: the policy's name, with `-1`, `-2`, … if there are several."""
    if len(limits) == 1:
        return (policy,)
    return tuple(f"{policy}-{number}" for number in range(1, len(limits) + 1))


def _quota(limit: Limit) -> str:
    if limit.algorithm is Algorithm.IN_FLIGHT:
        return f'q={limit.quantity};qu="concurrent-requests"'
    # The field has whole seconds and no bursts: q is the burst, w how long it takes to refill, rounded up, so that it never
    # promises more than the limit grants.
    window_s = -(-limit.period_us * limit.capacity // (limit.quantity * 1_000_000))
    return f"q={limit.capacity};w={window_s}"


def _policy_field(policy: str, limits: tuple[Limit, ...]) -> _PolicyField:
    if (field := _policy_fields.get((policy, id(limits)))) is not None:
        return field
    names = limit_names(policy, limits)
    text = ", ".join(f'"{name}";{_quota(limit)}' for name, limit in zip(names, limits, strict=True))
    encoded = tuple(name.encode() for name in names)
    field = _PolicyField(limits, text.encode(), encoded, b"%d" % limits[0].capacity, b'"%b";r=' % encoded[0])
    if len(_policy_fields) >= _POLICY_FIELDS_MAX:
        _policy_fields.clear()
    _policy_fields[policy, id(limits)] = field
    return field


def rate_limit_headers(decision: Decision) -> Headers:
    """Return the fields for a response to a limited request, with names in lower case as ASGI requires.

    All times are whole seconds from now, rounded up. `X-RateLimit-*` describe the binding limit; its reset is when the
    limit is fully reset. `RateLimit` lists every limit of an allowed request; of a refused one only those that refused,
    with the wait as `t`, so that no `t` is beyond `Retry-After` (section 6 of the draft). `Retry-After` is present only
    in a refusal, and only if the request can pass later.
    """
    field = _policy_field(decision.policy, decision.definitions)
    if decision.allowed and len(field.limits) == 1:
        # The common case: the same fields as below, each number formatted once.
        left, reset_s = decision.first_limit_values
        remaining, reset = b"%d" % left, b"%d" % reset_s
        return [
            (b"x-ratelimit-limit", field.capacity),
            (b"x-ratelimit-remaining", remaining),
            (b"x-ratelimit-reset", reset),
            (b"ratelimit-policy", field.policy),
            (b"ratelimit", field.first + remaining + b";t=" + reset),
        ]
    states = decision.limits
    binding = binding_of(states)
    headers = [
        (b"x-ratelimit-limit", b"%d" % binding.limit.capacity),
        (b"x-ratelimit-remaining", b"%d" % binding.remaining),
        (b"x-ratelimit-reset", b"%d" % math.ceil(binding.reset_after_s)),
        (b"ratelimit-policy", field.policy),
    ]
    if decision.allowed:
        items = [
            b'"%b";r=%d;t=%d' % (name, state.remaining, math.ceil(state.reset_after_s))
            for name, state in zip(field.names, states, strict=True)
        ]
        headers.append((b"ratelimit", b", ".join(items)))
        return headers
    refusals = [
        _refusal_item(name, state) for name, state in zip(field.names, states, strict=True) if state.is_obstacle
    ]
    headers.append((b"ratelimit", b", ".join(refusals)))
    if binding.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(binding.retry_after_s))))
    return headers


def _refusal_item(name: bytes, state: LimitState) -> bytes:
    # Without `t` if the request can never pass: its cost is above the limit's capacity.
    wait_s = state.retry_after_s
    return b'"%b";r=%d' % (name, state.remaining) + (b"" if wait_s is None else b";t=%d" % max(1, math.ceil(wait_s)))


def as_text(headers: Headers) -> list[tuple[str, str]]:
    """Return the fields as strings, with names in the usual case."""
    return [(_SPELLING[name], value.decode("latin-1")) for name, value in headers]


class Refusal(NamedTuple):
    """A complete response to a refused request.

    Attributes:
        status: 429; 503 if Redis is unavailable and the policy is closed then.
        headers: all fields, names in lower case.
        body: the problem document (RFC 9457), JSON in UTF-8.
    """

    status: int
    headers: Headers
    body: bytes


def refusal(decision: Decision, on_outage: OnOutage) -> Refusal:
    """Return the response to a refused request.

    Args:
        decision: the refusal.
        on_outage: the policy's, which distinguishes an exceeded quota from an unchecked one.
    """
    states = decision.limits
    names = limit_names(decision.policy, decision.definitions)
    is_unchecked = decision.degraded and on_outage is OnOutage.CLOSED
    status = 503 if is_unchecked else 429
    wait_s = binding_of(states).retry_after_s
    hint = "the cost exceeds the limit" if wait_s is None else f"try again in {max(1, math.ceil(wait_s))} s"
    reason = "the limits can't be checked now" if is_unchecked else f"over the limit of {binding_of(states).limit.text}"
    problem = {
        "type": REDUCED_CAPACITY if is_unchecked else QUOTA_EXCEEDED,
        "title": "Request cannot be satisfied due to temporary server capacity constraints"
        if is_unchecked
        else "Request cannot be satisfied as assigned quota has been exceeded",
        "status": status,
        "detail": f"{reason}; {hint}",
        "violated-policies": [name for name, state in zip(names, states, strict=True) if state.is_obstacle],
    }
    body = json.dumps(problem, ensure_ascii=False).encode()
    headers = [
        *rate_limit_headers(decision),
        (b"content-type", PROBLEM_TYPE),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    return Refusal(status, headers, body)
