"""The OpenAPI document: what FastAPI knows of the routes, and what all of them share.

Examples were recorded from a server: `tests/docs/http_page.py` writes them anew.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from fastapi import FastAPI

from api.errors import MEDIA_TYPE, ProblemDetail
from api.rest.reading import PERMISSION, SCHEMAS

Document = dict[str, Any]
EXAMPLES = files("api.rest") / "examples.json"

TAGS = {
    "zones": "Charging site zones: limits, envelopes, plans in force",
    "stations": "Charging stations of a zone",
    "evses": "EVSEs: what they are, who occupies them, their ETPs",
    "service sessions": "Service sessions and their transactions",
    "reservations": "Reservations, by those who have a CSO's trust",
    "authorizations": "Credentials presented and the CSO's answers",
    "parking": "Parking, as its operator reports it",
    "other services": "Other services, as their operators report them",
    "plans": "Plans that were made or superseded",
    "key figures": "What was asked for and what was served",
    "events": "The ledger's events: pages and a feed",
    "SDR information": "What service detail records are made of, as it grows",
    "contracts": "Contracts and credentials of the embedded back office",
    "history": "What was known and what was, at any moment",
    "keys": "API keys: who may come in",
    "security": "Audit and security log",
    "operation": "How the service itself is",
    "E1": "Smart charging within the PRE",
    "E2": "Demand response: incentives and their answers",
    "E3": "Constraints sent to the resource manager",
    "E4": "PRE set by the resource manager",
    "M4": "Firmware of a station",
    "M8": "Logs of a station",
    "S1": "Reservation of an EVSE",
    "S2": "Authorization with credentials",
    "S3": "Remote start and stop",
    "S6": "Service detail records",
    "6.2": "Service sessions and their transactions",
    "7.3": "Commissioning",
    "7.4": "What an EV user decides",
    "7.5": "Corrections by trusted parties",
    "7.9.4.5": "Who may come in",
    "7.9.4.6": "Who did what",
    "7.10": "Safety issues and suspension",
}
_ALWAYS = {
    400: "The message cannot be read.",
    401: "Nobody known is asking.",
    403: "The caller's roles do not have the permission.",
    404: "There is no such thing, or it is out of the caller's reach.",
    408: "The body did not arrive in time.",
    409: "Somebody decided since, or what is wanted is taken.",
    413: "The body is too large.",
    422: "A value breaks a rule, or a rule of the domain refuses the command.",
    429: "The caller asks too often.",
    500: "The server made a mistake.",
    503: "The store cannot be read or written now.",
}
_COMMANDS_ONLY = {409}
_OF_PATHS_ONLY = {404}


class Recorded(msgspec.Struct, frozen=True):
    """A call of an operation that was made, and its answer."""

    path: dict[str, Any]
    query: dict[str, Any]
    body: Any
    answer: Any


@cache
def recorded() -> Mapping[str, Recorded]:
    """Return the recorded calls by operation."""
    return msgspec.json.decode(EXAMPLES.read_bytes(), type=dict[str, Recorded])


def complete(app: FastAPI) -> None:
    """Let the document of an app say what all its routes share."""
    generated = app.openapi

    def openapi() -> Document:
        if app.openapi_schema is None:
            document = generated()
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(SCHEMAS.components)
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"}
            }
            document["security"] = [{"bearer": []}]
            for path, method, operation in operations(document):
                _complete(path, method, operation)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield path, method and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _complete(path: str, method: str, operation: Document) -> None:
    told = operation["description"] = " ".join(operation["description"].split())
    operation["summary"] = told.partition(". ")[0].partition(";")[0].rstrip(".")
    if PERMISSION not in operation:
        operation["security"] = []  # for anybody
    _complete_answers(path, method, operation["responses"])
    example = recorded().get(operation["operationId"])
    if example is not None:
        _add_example(operation, example)


def _complete_answers(path: str, method: str, answers: Document) -> None:
    for status, text in _ALWAYS.items():
        if status in _COMMANDS_ONLY and method == "get":
            continue
        if status in _OF_PATHS_ONLY and "{" not in path and method == "get":
            continue
        schema = SCHEMAS.of(ProblemDetail)
        problem = {"content": {MEDIA_TYPE: {"schema": schema}}}
        answer = answers.setdefault(str(status), problem)
        answer["description"] = text
    content = answers["200"]["content"]
    if len(content) > 1:
        # What FastAPI adds of its own where a route answers with something else.
        del content["application/json"]
    if method == "get" and "application/json" in content:
        answers["304"] = {"description": "As `If-None-Match` has it already."}


def _add_example(operation: Document, example: Recorded) -> None:
    (content,) = operation["responses"]["200"]["content"].values()
    content["example"] = example.answer
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        content["example"] = example.body
    for parameter in operation.get("parameters", ()):
        known = {"path": example.path, "query": example.query}.get(parameter["in"], {})
        if parameter["name"] in known:
            parameter["example"] = known[parameter["name"]]
