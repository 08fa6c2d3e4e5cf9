"""From a request's JSON to the limiter's arguments; what is wrong is named field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ratelimit_service.errors import RateLimitError
from ratelimit_service.keys import Key
from ratelimit_service.limits import Algorithm
from ratelimit_service.policy import PolicySet
from ratelimit_service.requests import CheckRequest
from ratelimit_service.slots import SLOT_ID_BYTES

_COST_MAX = 2**50
_SLOT_ID = re.compile(rf"[0-9a-f]{{{SLOT_ID_BYTES * 2}}}")
_ASK = ("policy", "key", "cost", "tenant")


class FieldError(NamedTuple):
    """One thing wrong with a body.

    Attributes:
        field: where, such as `requests[2].cost`; `body` for all of it.
        message: what is wanted there.
    """

    field: str
    message: str


class BodyError(RateLimitError):
    """A body that can't be used, with every reason found.

    Attributes:
        errors: the reasons.
    """

    def __init__(self, *errors: FieldError) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        BodyError: it is not one.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BodyError(FieldError("body", f"can't be read as JSON: {error}")) from error
    if not isinstance(body, dict):
        raise BodyError(FieldError("body", "a JSON object is wanted"))
    return body


class BodyReader:
    """Reads bodies against the policies in force.

    Args:
        policies: those that a request may name.
        holds_slots: whether the call is for policies with a limit in flight, or for those without; None for both.
    """

    def __init__(self, policies: PolicySet, *, holds_slots: bool | None = None) -> None:
        self._policies = policies
        self._holds_slots = holds_slots
        self._errors: list[FieldError] = []

    def ask(self, body: Mapping[str, Any], *more: str) -> CheckRequest:
        """Policy, key, cost and tenant of a body that may have `more` fields.

        Raises:
            BodyError: something in it is wrong.
        """
        request = self._request(body, "", (*_ASK, *more))
        self._finish()
        return request

    def many(self, body: Mapping[str, Any], most: int) -> list[CheckRequest]:
        """The requests of a body with a list of them.

        Raises:
            BodyError: one of them is wrong, or there are none or too many.
        """
        requests = body.get("requests")
        self._known(body, "", ("requests",))
        if not isinstance(requests, list) or not 1 <= len(requests) <= most:
            self._refuse("requests", f"a list of 1 to {most} requests is wanted")
            requests = []
        read = []
        for number, request in enumerate(requests):
            place = f"requests[{number}]"
            if isinstance(request, dict):
                read.append(self._request(request, place + ".", _ASK))
            else:
                self._refuse(place, "an object with policy and key is wanted")
        self._finish()
        return read

    def text(self, body: Mapping[str, Any], field: str) -> str | None:
        """An optional text field.

        Raises:
            BodyError: it is something else.
        """
        value = self._text(body, "", field)
        self._finish()
        return value

    def slot_id(self, body: Mapping[str, Any]) -> str:
        """The field `slot_id`.

        Raises:
            BodyError: it is missing or no slot's id.
        """
        value = body.get("slot_id")
        if not isinstance(value, str) or not _SLOT_ID.fullmatch(value):
            self._refuse("slot_id", f"the {SLOT_ID_BYTES * 2} hexadecimal digits that taking the slot gave are wanted")
        self._finish()
        return str(value)

    def _refuse(self, field: str, message: str) -> None:
        self._errors.append(FieldError(field, message))

    def _finish(self) -> None:
        if self._errors:
            raise BodyError(*self._errors)

    def _known(self, body: Mapping[str, Any], place: str, fields: tuple[str, ...]) -> None:
        for field in body:
            if field not in fields:
                self._refuse(place + field, f"no such field; there are {', '.join(fields)}")

    def _request(self, body: Mapping[str, Any], place: str, fields: tuple[str, ...]) -> CheckRequest:
        self._known(body, place, fields)
        cost = body.get("cost")
        if cost is not None and (not isinstance(cost, int) or isinstance(cost, bool) or not 0 <= cost < _COST_MAX):
            self._refuse(place + "cost", "a whole number from 0 to 2**50 is wanted")
        tenant = self._text(body, place, "tenant")
        policy = body.get("policy")
        key = body.get("key")
        if not isinstance(policy, str) or policy not in self._policies:
            self._refuse(place + "policy", f"one of {', '.join(self._policies)} is wanted")
        elif self._is_key(key, place):
            self._check_fit(policy, tenant, key, place)
        return CheckRequest(str(policy), key, cost, tenant)

    def _check_fit(self, policy: str, tenant: str | None, key: Key | None, place: str) -> None:
        named = self._policies[policy]
        limits = named.tenants.get(tenant, named.limits) if tenant is not None else named.limits
        has_slots = any(limit.algorithm is Algorithm.IN_FLIGHT for limit in limits)
        if self._holds_slots is not None and has_slots is not self._holds_slots:
            wanted = "it counts what is in flight: take a slot" if has_slots else "it has no limit in flight: check it"
            self._refuse(place + "policy", wanted)
        parts = list(dict.fromkeys(part for limit in limits for part in limit.per))
        if isinstance(key, Mapping):
            missing = [part for part in parts if part not in key]
            if missing:
                self._refuse(place + "key", f"{', '.join(missing)} missing: {policy} counts per {', '.join(parts)}")
        elif len(parts) > 1:
            self._refuse(place + "key", f"an object with {', '.join(parts)} is wanted")
        elif parts and key is None:
            self._refuse(place + "key", f"missing: {policy} counts per {parts[0]}")

    def _text(self, body: Mapping[str, Any], place: str, field: str) -> str | None:
        value = body.get(field)
        if value is not None and not _is_text(value):
            self._refuse(place + field, "text is wanted")
            return None
        return value

    def _is_key(self, key: Any, place: str) -> bool:
        if key is None or _is_key_part(key):
            return True
        if not isinstance(key, dict):
            self._refuse(place + "key", "text, a whole number, or an object of these is wanted")
            return False
        wrong = [part for part, value in key.items() if not _is_key_part(value)]
        for part in wrong:
            self._refuse(f"{place}key.{part}", "text or a whole number is wanted")
        return not wrong


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        # JSON can write halves of surrogate pairs, which no text has.
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_key_part(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, int) and not isinstance(value, bool))
