"""What a response says about limits: the X-RateLimit fields, the IETF pair, Retry-After and the problem document.

The pair is draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` lists the limits, `RateLimit` what is left of
them. Its names are the policy's, numbered where a policy has several limits.
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
_ADVERTS_MAX = 4096
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


class _Advert(NamedTuple):
    # The limits are held so that no other tuple can come to have their identity.
    limits: tuple[Limit, ...]
    policy: bytes
    names: tuple[bytes, ...]
    capacity: bytes
    first: bytes


_adverts: dict[tuple[str, int], _Advert] = {}


def limit_names(policy: str, limits: Sequence[Limit]) -> tuple[str, ...]:
    """What each limit is called in the fields: the policy's name, with `-1`, `-2`, … if there are several."""
    if len(limits) == 1:
        return (policy,)
    return tuple(f"{policy}-{number}" for number in range(1, len(limits) + 1))


def _quota(limit: Limit) -> str:
    if limit.algorithm is Algorithm.IN_FLIGHT:
        return f'q={limit.quantity};qu="concurrent-requests"'
    # The field knows whole seconds and no bursts: q is what may come at once, w how long that much takes to come back,
    # rounded up, so that it never promises more than the limit grants.
    window_s = -(-limit.period_us * limit.capacity // (limit.quantity * 1_000_000))
    return f"q={limit.capacity};w={window_s}"


def _advert(policy: str, limits: tuple[Limit, ...]) -> _Advert:
    found = _adverts.get((policy, id(limits)))
    if found is not None:
        return found
    names = limit_names(policy, limits)
    text = ", ".join(f'"{name}";{_quota(limit)}' for name, limit in zip(names, limits, strict=True))
    encoded = tuple(name.encode() for name in names)
    advert = _Advert(limits, text.encode(), encoded, b"%d" % limits[0].capacity, b'"%b";r=' % encoded[0])
    if len(_adverts) >= _ADVERTS_MAX:
        _adverts.clear()
    _adverts[policy, id(limits)] = advert
    return advert


def rate_limit_headers(decision: Decision) -> Headers:
    """The fields for a response to a limited request, names in lower case as ASGI wants them.

    All times are whole seconds from now, rounded up. `X-RateLimit-*` tell of the binding limit; its reset is when the
    limit is as good as unused. `RateLimit` lists every limit of an allowed request; of a refused one only those that
    refused, with `t` the time to wait, so that no `t` lies beyond `Retry-After`, as the draft's section 6 asks.
    `Retry-After` is there only for a refused request, and only if waiting helps.
    """
    advert = _advert(decision.policy, decision.definitions)
    if decision.allowed and len(advert.limits) == 1:
        # Most responses: the same fields as below, each number written once.
        left, reset_s = decision.of_first
        remaining, reset = b"%d" % left, b"%d" % reset_s
        return [
            (b"x-ratelimit-limit", advert.capacity),
            (b"x-ratelimit-remaining", remaining),
            (b"x-ratelimit-reset", reset),
            (b"ratelimit-policy", advert.policy),
            (b"ratelimit", advert.first + remaining + b";t=" + reset),
        ]
    states = decision.limits
    binding = binding_of(states)
    headers = [
        (b"x-ratelimit-limit", b"%d" % binding.limit.capacity),
        (b"x-ratelimit-remaining", b"%d" % binding.remaining),
        (b"x-ratelimit-reset", b"%d" % math.ceil(binding.reset_after_s)),
        (b"ratelimit-policy", advert.policy),
    ]
    if decision.allowed:
        items = [
            b'"%b";r=%d;t=%d' % (name, state.remaining, math.ceil(state.reset_after_s))
            for name, state in zip(advert.names, states, strict=True)
        ]
        headers.append((b"ratelimit", b", ".join(items)))
        return headers
    refusals = [_refusal(name, state) for name, state in zip(advert.names, states, strict=True) if state.is_obstacle]
    headers.append((b"ratelimit", b", ".join(refusals)))
    if binding.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(binding.retry_after_s))))
    return headers


def _refusal(name: bytes, state: LimitState) -> bytes:
    # Without `t` for what no waiting helps: a cost above the limit's capacity.
    wait_s = state.retry_after_s
    return b'"%b";r=%d' % (name, state.remaining) + (b"" if wait_s is None else b";t=%d" % max(1, math.ceil(wait_s)))


def readable(headers: Headers) -> list[tuple[str, str]]:
    """The same fields as text, in the usual spelling."""
    return [(_SPELLING[name], value.decode("latin-1")) for name, value in headers]


class Refusal(NamedTuple):
    """A whole response to a refused request.

    Attributes:
        status: 429; 503 if nobody was over a limit, but Redis is away and the policy is closed then.
        headers: all fields, names in lower case.
        body: the problem document (RFC 9457), JSON in UTF-8.
    """

    status: int
    headers: Headers
    body: bytes


def refusal(decision: Decision, on_outage: OnOutage) -> Refusal:
    """The response to a request that `decision` refused.

    Args:
        decision: the refusal.
        on_outage: the policy's, to tell a quota that was exceeded from one that could not be asked for.
    """
    states = decision.limits
    names = limit_names(decision.policy, decision.definitions)
    is_away = decision.degraded and on_outage is OnOutage.CLOSED
    status = 503 if is_away else 429
    wait_s = binding_of(states).retry_after_s
    hint = "no waiting helps" if wait_s is None else f"try again in {max(1, math.ceil(wait_s))} s"
    why = "the limits can't be checked now" if is_away else f"over the limit of {binding_of(states).limit.text}"
    problem = {
        "type": REDUCED_CAPACITY if is_away else QUOTA_EXCEEDED,
        "title": "Request cannot be satisfied due to temporary server capacity constraints"
        if is_away
        else "Request cannot be satisfied as assigned quota has been exceeded",
        "status": status,
        "detail": f"{why}; {hint}",
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
