"""The OpenAPI descriptions of the job endpoints beyond their schemas: problems, headers, bodies, examples."""

from typing import Any

from background_jobs.kinds import KINDS
from background_jobs.store import PRIORITY_MAX
from dashboard_api.jobs.requests import DELAY_MAX_S
from dashboard_api.jobs.schemas import EXAMPLE_ID, JobModel
from dashboard_api.routes import Responses, problem_response

_TEXT = {"schema": {"type": "string"}}
_ETAG = {"ETag": {"description": "Changes with every event of the job.", **_TEXT}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds until the next poll, while the job has not ended.", **_TEXT}}
_PREFERENCE_APPLIED = {"Preference-Applied": {"description": "`wait=n`, where it was honoured.", **_TEXT}}
_JOB_HEADERS = _ETAG | _RETRY_AFTER | _PREFERENCE_APPLIED
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=n`: wait for the end of the job, at most n seconds and never more than 30 (RFC 7240).",
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

PROBLEMS: Responses = {
    401: problem_response("The credential is missing or invalid."),
    403: problem_response("The role may not do this."),
    429: problem_response("Too many requests, streams or queued jobs; retry after `Retry-After` seconds."),
    503: problem_response("The job store is unavailable; retry after `Retry-After` seconds."),
}
_NOT_FOUND: Responses = {404: problem_response("The tenant has no such job.")}
_INVALID: Responses = {422: problem_response("Invalid field or parameter; `errors` names it.")}

SUBMIT: Responses = {
    200: {
        "description": "The job has ended: waited for, or submitted before.",
        "model": JobModel,
        "headers": _JOB_HEADERS,
    },
    202: {
        "description": "The job was submitted.",
        "headers": {
            **_JOB_HEADERS,
            "Location": {"description": "The job.", **_TEXT},
            "X-Job-Outcome": {
                "description": "`created`; `replayed`: the idempotency key was used before; `joined`: an equal job was queued.",
                "schema": {"type": "string", "enum": ["created", "replayed", "joined"]},
            },
        },
    },
    413: problem_response("The body is too large."),
    415: problem_response("The body is not JSON."),
    **_INVALID,
    **PROBLEMS,
}
LIST: Responses = {**_INVALID, **PROBLEMS}
STREAM: Responses = {200: {"description": "Events as they happen.", "content": _STREAM}, **PROBLEMS}
JOB: Responses = {
    200: {"description": "The job.", "headers": _JOB_HEADERS},
    304: {"description": "No event since `If-None-Match`."},
    **_NOT_FOUND,
    **PROBLEMS,
}
EVENTS: Responses = {
    200: {"description": "The job's events, until it ends.", "content": _STREAM},
    204: {"description": "The job has ended, and there are no more events."},
    **_NOT_FOUND,
    **_INVALID,
    **PROBLEMS,
}
CANCEL: Responses = {
    200: {"description": "The job is canceled.", "model": JobModel, "headers": _ETAG},
    202: {"description": "Its run was asked to stop.", "headers": _JOB_HEADERS},
    409: problem_response("The job has already ended otherwise."),
    **_NOT_FOUND,
    **PROBLEMS,
}
RESULT: Responses = {
    409: problem_response("The job has not ended, or has no result."),
    410: problem_response("The file was deleted."),
    **_NOT_FOUND,
    **PROBLEMS,
}
FILE: Responses = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {"Content-Disposition": {"description": "The file name.", **_TEXT}},
    },
    403: problem_response("Invalid download link."),
    410: problem_response("The link has expired, or the file was deleted."),
    429: PROBLEMS[429],
    503: PROBLEMS[503],
}

HOOK: Responses = {
    401: problem_response("Invalid signature or timestamp."),
    404: problem_response("No hook has this token."),
    413: problem_response("The body is too large."),
    **_INVALID,
    429: PROBLEMS[429],
    503: PROBLEMS[503],
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
            ("webhook-id", "The message's id, the same for each delivery of it.", "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"),
            ("webhook-timestamp", "Seconds since 1970; rejected when older than five minutes.", "1674087231"),
            (
                "webhook-signature",
                "`v1,` and the signature; several are separated by spaces.",
                "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            ),
        )
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {}, "example": {"type": "sale.made"}}},
    },
}
JOB_EXTRA: dict[str, Any] = {"parameters": [_PREFER]}
EVENTS_EXTRA: dict[str, Any] = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "The id of the last event received; a browser's EventSource sends it.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,16}$"},
        }
    ]
}


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    # In the OpenAPI document, `#/$defs/…` would refer to its root.
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
                "description": f"Join an equal queued job; {str(KINDS[name].coalesces).lower()} by default.",
            },
            "priority": {"type": "integer", "minimum": -PRIORITY_MAX, "maximum": PRIORITY_MAX, "default": 0},
            "delay_s": {"type": "number", "minimum": 0, "maximum": DELAY_MAX_S, "default": 0},
        },
    }


SUBMIT_EXTRA: dict[str, Any] = {
    "parameters": [
        _PREFER,
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Makes the request repeatable for a day: the same key and body result in the same job.",
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
