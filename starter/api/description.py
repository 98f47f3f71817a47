"""The API's own description, ``/openapi.json``: every status that a route can answer with, and what it needs.

What the framework derives from the handlers is completed here, for all routes alike: a route that is added is
described as the others are.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from starter.api.description_examples import BODIES, PARAMETERS
from starter.api.errors import CREATION, CreationErrorBody, Detail, ErrorBody

Document = dict[str, Any]

ALWAYS: Mapping[int, str] = {
    401: "There is no token in the request, or none that is in force.",
    403: "The token may not do this, or has a restriction that is not understood here.",
    404: "It is not there, or not for this token.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    422: "What was sent cannot be; the sentence names the field.",
    429: "Too many tokens from this address were refused, or too much is asked at a time.",
    500: "Something unexpected happened; the log of the API says what.",
    503: "Temporal or the worker does not answer; nothing was begun. Repeat it.",
}
TO_CHANGES: Mapping[int, str] = {
    400: "The body is not JSON, or the name is one that nobody may use.",
    409: "The cluster's state does not allow it, or the name is taken.",
    504: "It was accepted, or may have been; its end is not known. Look before you repeat it.",
}
OF_MACHINES: Mapping[int, str] = {410: "The cluster was deleted."}
MACHINES = "/v1/postgres/{cluster}"
SCHEME = "token"
_METHODS = ("get", "post", "patch", "put", "delete")


def install(app: FastAPI) -> None:
    """Have *app* describe itself so, once, at the first request for it."""

    def openapi() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = openapi


def describe(app: FastAPI) -> Document:
    """Return the OpenAPI document of *app*."""
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for body in (ErrorBody, CreationErrorBody, Detail):
        schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[body.__name__] = {key: value for key, value in schema.items() if key != "$defs"}
    components["securitySchemes"] = {
        SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "fm2_ macaroon",
            "description": "A token of 'mpg auth token'. The scheme FlyV1 is taken as well.",
        }
    }
    document["security"] = [{SCHEME: []}]
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                _complete(operations[method], path, method)
    _drop_unused(schemas)
    return document


def failures(path: str, method: str) -> dict[int, str]:
    """Return the statuses of failures that a route can answer with, and when it does."""
    found = dict(ALWAYS)
    if method != "get":
        found |= TO_CHANGES
    if path.startswith(MACHINES):
        found |= OF_MACHINES
    return dict(sorted(found.items()))


def _complete(operation: Document, path: str, method: str) -> None:
    body = CreationErrorBody if path.endswith(CREATION) else ErrorBody
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}
    answers = operation["responses"]
    for status, when in failures(path, method).items():
        declared: Document = {"description": when, "content": content}
        if status in (429, 503):
            declared["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
        if not _is_own(answers.get(str(status))):
            answers[str(status)] = declared
    operation["responses"] = dict(sorted(answers.items()))
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and parameter["name"] in PARAMETERS:
            parameter["example"] = PARAMETERS[parameter["name"]]
    if (example := BODIES.get((method, path))) is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = example


def _is_own(answer: Document | None) -> bool:
    """Tell whether a route described that answer itself; the framework's own form of a 422 is none that is given."""
    return answer is not None and "HTTPValidationError" not in str(answer)


def _drop_unused(schemas: Document) -> None:
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
