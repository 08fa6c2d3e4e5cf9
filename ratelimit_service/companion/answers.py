"""What the companion answers: decisions as JSON, and problems (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from ratelimit_service.decision import Decision
from ratelimit_service.http.headers import rate_limit_headers, readable


class ProblemResponse(JSONResponse):
    """A problem document of the type `about:blank`: its title is the status's own."""

    media_type = "application/problem+json"

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        title = HTTPStatus(status).phrase
        super().__init__(
            {"title": title, "status": status, "detail": detail, **members}, status, dict(headers) if headers else None
        )


def decision_json(decision: Decision, *, is_shadow: bool) -> dict[str, Any]:
    """A decision with the header fields that a response may copy; none for a shadow, which clients must not see."""
    binding = decision.binding
    refused_by = decision.refused_by
    return {
        "allowed": decision.allowed,
        "policy": decision.policy,
        "policy_version": decision.policy_version,
        "cost": decision.cost,
        "limit": binding.limit.capacity,
        "remaining": binding.remaining,
        "reset_after_s": binding.reset_after_s,
        "retry_after_s": decision.retry_after_s,
        "refused_by": refused_by.text if refused_by else None,
        "would_deny": decision.would_deny,
        "degraded": decision.degraded,
        "limits": [
            {
                "limit": state.limit.text,
                "capacity": state.limit.capacity,
                "remaining": state.remaining,
                "reset_after_s": state.reset_after_s,
                "retry_after_s": state.retry_after_s,
            }
            for state in decision.limits
        ],
        "headers": {} if is_shadow else dict(readable(rate_limit_headers(decision))),
    }
