"""Parse request bodies to the limiter's arguments; an error lists every invalid field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ratelimit_service.decision import CheckRequest
from ratelimit_service.errors import RateLimitError
from ratelimit_service.keys import Key
from ratelimit_service.limits import AMOUNT_MAX, key_parts
from ratelimit_service.policy import PolicySet
from ratelimit_service.script import SLOT_ID_BYTES

_SLOT_ID = re.compile(rf"[0-9a-f]{{{SLOT_ID_BYTES * 2}}}")
_CHECK_FIELDS = ("policy", "key", "cost", "tenant")


class FieldError(NamedTuple):
    """One invalid field of a body.

    Attributes:
        field: the field, such as `requests[2].cost`; `body` for the whole body.
        message: what was expected.
    """

    field: str
    message: str


class BodyError(RateLimitError):
    """The body is invalid.

    Attributes:
        errors: all invalid fields.
    """

    def __init__(self, *errors: FieldError) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))


def read_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises:
        BodyError: the body is not a JSON object.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BodyError(FieldError("body", f"invalid JSON: {error}")) from error
    if not isinstance(body, dict):
        raise BodyError(FieldError("body", "expected a JSON object"))
    return body


class BodyParser:
    """Parse bodies and validate them by the policies in force.

    Args:
        policies: the policies.
        holds_slots: whether the policy must have a limit in flight, or must have none; None allows both.
    """

    def __init__(self, policies: PolicySet, *, holds_slots: bool | None = None) -> None:
        self._policies = policies
        self._holds_slots = holds_slots
        self._errors: list[FieldError] = []

    def check_request(self, body: Mapping[str, Any], *more: str) -> CheckRequest:
        """Return the arguments in a body, which may have `more` fields.

        Raises:
            BodyError: the body is invalid.
        """
        request = self._request(body, "", (*_CHECK_FIELDS, *more))
        self._finish()
        return request

    def check_requests(self, body: Mapping[str, Any], maximum: int) -> list[CheckRequest]:
        """Return the arguments of each request in a body.

        Raises:
            BodyError: a request is invalid, or there are none or too many.
        """
        requests = body.get("requests")
        self._check_fields(body, "", ("requests",))
        if not isinstance(requests, list) or not 1 <= len(requests) <= maximum:
            self._refuse("requests", f"expected a list of 1 to {maximum} requests")
            requests = []
        parsed = []
        for number, request in enumerate(requests):
            place = f"requests[{number}]"
            if isinstance(request, dict):
                parsed.append(self._request(request, place + ".", _CHECK_FIELDS))
            else:
                self._refuse(place, "expected an object with policy and key")
        self._finish()
        return parsed

    def text(self, body: Mapping[str, Any], field: str) -> str | None:
        """Return an optional string field.

        Raises:
            BodyError: it is not a string.
        """
        value = self._text(body, "", field)
        self._finish()
        return value

    def slot_id(self, body: Mapping[str, Any]) -> str:
        """Return the field `slot_id`.

        Raises:
            BodyError: it is missing or invalid.
        """
        value = body.get("slot_id")
        if not isinstance(value, str) or not _SLOT_ID.fullmatch(value):
            self._refuse("slot_id", f"expected the {SLOT_ID_BYTES * 2} hexadecimal digits from taking the slot")
        self._finish()
        return str(value)

    def _refuse(self, field: str, message: str) -> None:
        self._errors.append(FieldError(field, message))

    def _finish(self) -> None:
        if self._errors:
            raise BodyError(*self._errors)

    def _check_fields(self, body: Mapping[str, Any], place: str, fields: tuple[str, ...]) -> None:
        for field in body:
            if field not in fields:
                self._refuse(place + field, f"unknown field; expected one of {', '.join(fields)}")

    def _request(self, body: Mapping[str, Any], place: str, fields: tuple[str, ...]) -> CheckRequest:
        self._check_fields(body, place, fields)
        cost = body.get("cost")
        if cost is not None and (not isinstance(cost, int) or isinstance(cost, bool) or not 0 <= cost < AMOUNT_MAX):
            self._refuse(place + "cost", "expected an integer from 0 to 2**50")
        tenant = self._text(body, place, "tenant")
        policy = body.get("policy")
        key = body.get("key")
        if not isinstance(policy, str) or policy not in self._policies:
            self._refuse(place + "policy", f"unknown policy; expected one of {', '.join(self._policies)}")
        elif self._is_key(key, place):
            self._check_fit(policy, tenant, key, place)
        return CheckRequest(str(policy), key, cost, tenant)

    def _check_fit(self, policy: str, tenant: str | None, key: Key | None, place: str) -> None:
        limits = self._policies[policy].limits_for(tenant)
        has_slots = any(limit.is_in_flight for limit in limits)
        if self._holds_slots is not None and has_slots is not self._holds_slots:
            advice = "it has a limit in flight: take a slot" if has_slots else "it has no limit in flight: check it"
            self._refuse(place + "policy", advice)
        parts = key_parts(limits)
        if isinstance(key, Mapping):
            missing = [part for part in parts if part not in key]
            if missing:
                self._refuse(place + "key", f"{', '.join(missing)} missing: {policy} counts per {', '.join(parts)}")
        elif len(parts) > 1:
            self._refuse(place + "key", f"expected an object with {', '.join(parts)}")
        elif parts and key is None:
            self._refuse(place + "key", f"missing: {policy} counts per {parts[0]}")

    def _text(self, body: Mapping[str, Any], place: str, field: str) -> str | None:
        value = body.get(field)
        if value is not None and not _is_text(value):
            self._refuse(place + field, "expected a string")
            return None
        return value

    def _is_key(self, key: Any, place: str) -> bool:
        if key is None or _is_key_part(key):
            return True
        if not isinstance(key, dict):
            self._refuse(place + "key", "expected a string, an integer, or an object of these")
            return False
        invalid = [part for part, value in key.items() if not _is_key_part(value)]
        for part in invalid:
            self._refuse(f"{place}key.{part}", "expected a string or an integer")
        return not invalid


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        # JSON can contain unpaired surrogates, which UTF-8 can't encode.
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_key_part(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, int) and not isinstance(value, bool))
