"""What the OpenAPI document says of the job endpoints beyond their models: refusals, headers, bodies, examples."""

from typing import Any

from background_jobs.kinds import KINDS
from dashboard_api.jobs.asked import DELAY_MAX_S, PRIORITY_MAX
from dashboard_api.jobs.documents import EXAMPLE_ID, JobModel
from dashboard_api.routes import refusal

Answers = dict[int | str, dict[str, Any]]

_TEXT = {"schema": {"type": "string"}}
_ETAG = {"ETag": {"description": "Changes with every event of the job.", **_TEXT}}
_AGAIN = {"Retry-After": {"description": "When to ask again, in seconds; while it has not ended.", **_TEXT}}
_APPLIED = {"Preference-Applied": {"description": "`wait=n`, where it was waited for.", **_TEXT}}
_JOB = _ETAG | _AGAIN | _APPLIED
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=n`: wait for the ending, n seconds at most and never more than 30 (RFC 7240).",
    "schema": {"type": "string"},
    "example": "wait=1",
}
_STREAM = {
    "text/event-stream": {
        "schema": {"type": "string"},
        "example": "id: 4\nevent: progress\n"
        f'data: {{"job_id":"{EXAMPLE_ID}","kind":"refresh_sales_summary","seq":4,"type":"progress","state":"running",…}}\n\n',
    }
}

REFUSALS: Answers = {
    401: refusal("No credential, or one that does not hold."),
    403: refusal("The role may not do this."),
    429: refusal("Too many requests, streams or waiting jobs; `Retry-After` says when to come back."),
    503: refusal("Jobs can't be reached just now; `Retry-After` says when to ask again."),
}
_NOT_FOUND: Answers = {404: refusal("The tenant has no such job.")}
_INVALID: Answers = {422: refusal("Something can't be used; `errors` names it.")}

SUBMITTED: Answers = {
    200: {"description": "It has ended already: waited for, or asked for before.", "model": JobModel, "headers": _JOB},
    202: {
        "description": "It will be done.",
        "headers": {
            **_JOB,
            "Location": {"description": "The job.", **_TEXT},
            "X-Job-Outcome": {
                "description": "`created`; `replayed`: the idempotency key was used before; `joined`: an equal job waits.",
                "schema": {"type": "string", "enum": ["created", "replayed", "joined"]},
            },
        },
    },
    413: refusal("The body is too large."),
    415: refusal("The body is not JSON."),
    **_INVALID,
    **REFUSALS,
}
LISTED: Answers = {**_INVALID, **REFUSALS}
STREAMED: Answers = {200: {"description": "Events as they happen.", "content": _STREAM}, **REFUSALS}
FOUND: Answers = {
    200: {"description": "The job.", "headers": _JOB},
    304: {"description": "Nothing has happened since `If-None-Match`."},
    **_NOT_FOUND,
    **REFUSALS,
}
FOLLOWED: Answers = {
    200: {"description": "Its events, until the ending.", "content": _STREAM},
    204: {"description": "It has ended, and there is nothing after that event."},
    **_NOT_FOUND,
    **_INVALID,
    **REFUSALS,
}
CANCELED: Answers = {
    200: {"description": "It is canceled.", "model": JobModel, "headers": _ETAG},
    202: {"description": "Its run has been asked to stop.", "headers": _JOB},
    409: refusal("It has ended otherwise."),
    **_NOT_FOUND,
    **REFUSALS,
}
RESULT: Answers = {
    409: refusal("It has not ended, or has no result."),
    410: refusal("The file has gone."),
    **_NOT_FOUND,
    **REFUSALS,
}
FILE: Answers = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {"Content-Disposition": {"description": "Its name.", **_TEXT}},
    },
    403: refusal("The link's signature does not hold."),
    410: refusal("The link has expired, or the file has gone."),
    429: REFUSALS[429],
    503: REFUSALS[503],
}

HOOK: Answers = {
    401: refusal("The signature or the time of the delivery does not hold."),
    404: refusal("No hook has this token."),
    413: refusal("The body is too large."),
    **_INVALID,
    429: REFUSALS[429],
    503: REFUSALS[503],
}
HOOK_EXTRA: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": True,
            "description": description,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, description, example in (
            ("webhook-id", "Of the message: the same for each delivery of it.", "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"),
            ("webhook-timestamp", "Seconds since 1970; older than five minutes is refused.", "1674087231"),
            (
                "webhook-signature",
                "`v1,` and the signature; several, with blanks between.",
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            ),
        )
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {}, "example": {"type": "sale.made"}}},
    },
}
FOUND_EXTRA: dict[str, Any] = {"parameters": [_PREFER]}
FOLLOWED_EXTRA: dict[str, Any] = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "The id of the last event that was seen; a browser's EventSource sends it by itself.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,16}$"},
        }
    ]
}


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    # `#/$defs/…` means the root of the OpenAPI document there.
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inline(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {name: _inline(value, definitions) for name, value in schema.items() if name != "$defs"}
    return [_inline(item, definitions) for item in schema] if isinstance(schema, list) else schema


def _body_of(name: str) -> dict[str, Any]:
    params = KINDS[name].params.model_json_schema()
    return {
        "type": "object",
        "title": name,
        "description": KINDS[name].description,
        "required": ["kind", *(["params"] if params.get("required") else [])],
        "additionalProperties": False,
        "properties": {
            "kind": {"type": "string", "enum": [name]},
            "params": _inline(params, params.get("$defs", {})),
            "coalesce": {
                "type": ["boolean", "null"],
                "description": f"Join an equal job that has not begun; {str(KINDS[name].coalesces).lower()} unless given.",
            },
            "priority": {"type": "integer", "minimum": -PRIORITY_MAX, "maximum": PRIORITY_MAX, "default": 0},
            "delay_s": {"type": "number", "minimum": 0, "maximum": DELAY_MAX_S, "default": 0},
        },
    }


SUBMIT: dict[str, Any] = {
    "parameters": [
        _PREFER,
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Makes the request repeatable for a day: the same key and body give the same job.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            "example": "6f1b1e0e-5a0d-4c2e-8f5e-3a5b8a2f9f10",
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_body_of(name) for name in KINDS]},
                "examples": {
                    "refresh": {"summary": "Refresh the figures", "value": {"kind": "refresh_sales_summary"}},
                    "export": {
                        "summary": "A range as a spreadsheet",
                        "value": {
                            "kind": "export_sales_report",
                            "params": {"format": "xlsx", "from_date": "2011-11-01", "to_date": "2011-11-30"},
                        },
                    },
                },
            }
        },
    },
}
