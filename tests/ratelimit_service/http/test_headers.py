"""The header fields and problem documents, to the byte."""

import json

import pytest

from ratelimit_service import Decision, Limit, OnOutage
from ratelimit_service.http.headers import as_text, rate_limit_headers, refusal


def decision(*texts: str, values: tuple, allowed: bool = True, **more) -> Decision:
    """A decision under limits; for each: remaining, reset after and retry after in seconds (-1: never)."""
    limits = tuple(map(Limit.parse, texts))
    in_us = [values[at] if at % 3 == 0 else values[at] * 1e6 for at in range(len(values))]
    return Decision("api", "1", limits, (1.0 if allowed else -1.0, *in_us), 1, allowed, **more)


GOLDENS = {
    "allowed": (
        decision("100/minute", values=(99, 0.6, 0)),
        [
            ("X-RateLimit-Limit", "100"),
            ("X-RateLimit-Remaining", "99"),
            ("X-RateLimit-Reset", "1"),
            ("RateLimit-Policy", '"api";q=100;w=60'),
            ("RateLimit", '"api";r=99;t=1'),
        ],
    ),
    "denied": (
        decision("100/minute", values=(0, 60.0, 0.3), allowed=False),
        [
            ("X-RateLimit-Limit", "100"),
            ("X-RateLimit-Remaining", "0"),
            ("X-RateLimit-Reset", "60"),
            ("RateLimit-Policy", '"api";q=100;w=60'),
            ("RateLimit", '"api";r=0;t=1'),
            ("Retry-After", "1"),
        ],
    ),
    "several, allowed": (
        decision("10/second burst 20", "1000/hour fixed per tenant", values=(19, 0.1, 0, 3, 1800.2, 0)),
        [
            ("X-RateLimit-Limit", "1000"),
            ("X-RateLimit-Remaining", "3"),
            ("X-RateLimit-Reset", "1801"),
            ("RateLimit-Policy", '"api-1";q=20;w=2, "api-2";q=1000;w=3600'),
            ("RateLimit", '"api-1";r=19;t=1, "api-2";r=3;t=1801'),
        ],
    ),
    "several, denied: only who refused is told": (
        decision("10/second", "1000/hour fixed per tenant", values=(0, 1, 0.1, 3, 1800.2, 0), allowed=False),
        [
            ("X-RateLimit-Limit", "10"),
            ("X-RateLimit-Remaining", "0"),
            ("X-RateLimit-Reset", "1"),
            ("RateLimit-Policy", '"api-1";q=10;w=1, "api-2";q=1000;w=3600'),
            ("RateLimit", '"api-1";r=0;t=1'),
            ("Retry-After", "1"),
        ],
    ),
    "in flight": (
        decision("5 in flight lease 30s", values=(0, 30.0, 12.01), allowed=False),
        [
            ("X-RateLimit-Limit", "5"),
            ("X-RateLimit-Remaining", "0"),
            ("X-RateLimit-Reset", "30"),
            ("RateLimit-Policy", '"api";q=5;qu="concurrent-requests"'),
            ("RateLimit", '"api";r=0;t=13'),
            ("Retry-After", "13"),
        ],
    ),
    "no waiting helps": (
        decision("5/500ms", values=(5, 0, -1e-6), allowed=False),
        [
            ("X-RateLimit-Limit", "5"),
            ("X-RateLimit-Remaining", "5"),
            ("X-RateLimit-Reset", "0"),
            ("RateLimit-Policy", '"api";q=5;w=1'),
            ("RateLimit", '"api";r=5'),
        ],
    ),
}


@pytest.mark.parametrize("case", GOLDENS)
def test_fields(case):
    answer, expected = GOLDENS[case]
    assert as_text(rate_limit_headers(answer)) == expected


def test_a_refusal_is_a_problem_document():
    status, headers, body = refusal(GOLDENS["denied"][0], OnOutage.OPEN)
    assert status == 429
    assert json.loads(body) == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": "over the limit of 100/1m gcra per key; try again in 1 s",
        "violated-policies": ["api"],
    }
    assert as_text(headers)[6:] == [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]


def test_a_closed_policy_without_redis_is_reduced_capacity():
    answer = decision("100/minute", values=(0, 0, 1), allowed=False, degraded=True)
    status, headers, body = refusal(answer, OnOutage.CLOSED)
    assert status == 503
    assert json.loads(body)["type"] == "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
    assert (b"retry-after", b"1") in headers
    # A local limiter that refuses without Redis does so because somebody was over their share.
    assert refusal(answer, OnOutage.LOCAL).status == 429


def test_two_policies_with_the_same_limits_keep_their_names():
    limits = (Limit.parse("7/s"),)
    texts = [
        dict(as_text(rate_limit_headers(Decision(name, "1", limits, (1.0, 6, 0.0, 0.0), 1, True))))["RateLimit"]
        for name in ("one", "two", "one")
    ]
    assert texts == ['"one";r=6;t=0', '"two";r=6;t=0', '"one";r=6;t=0']
