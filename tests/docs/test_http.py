"""docs/http.md: each call succeeds as it stands there, and the page is current."""

import msgspec

from api.app import create_app
from api.openapi import EXAMPLES, Document, operations
from api.security.passing_key import PassingKey
from tests.api.conftest import EVERYBODY, KEY
from tests.docs.http_calls import CALLS
from tests.docs.http_page import PAGE, written

# Operations whose calls are not on the page yet, and why.
OPEN: dict[str, str] = {}


def document_of_all() -> Document:
    return create_app({}, PassingKey(KEY, EVERYBODY)).openapi()


def test_every_call_succeeds_and_the_page_is_current() -> None:
    """``python -m tests.docs.http_page`` writes it anew."""
    page, examples = written()
    kept = msgspec.json.decode(EXAMPLES.read_bytes())
    assert msgspec.json.decode(examples) == kept
    assert page == PAGE.read_text("utf-8")


def test_every_operation_is_on_the_page_with_all_that_it_needs() -> None:
    document = document_of_all()
    described = {tag["name"] for tag in document["tags"] if tag["description"]}
    called = {call.operation for call in CALLS}
    found: set[str] = set()
    for path, method, operation in operations(document):
        name = operation["operationId"]
        assert name not in found, f"{name} is the name of two operations"
        found.add(name)
        assert operation["summary"], name
        assert operation["description"], name
        assert set(operation["tags"]) <= described, name
        answers = operation["responses"]
        assert {"200", "401", "403", "422", "429", "500", "503"} <= set(answers), name
        if method == "post":
            assert {"404", "409", "413"} <= set(answers), name
        assert ("{" not in path) or "404" in answers, name
        if name in OPEN:
            continue
        assert name in called, f"{name} has no call: add one in http_calls.py"
        (content,) = answers["200"]["content"].values()
        assert "example" in content, name
        if "requestBody" in operation:
            body = operation["requestBody"]["content"]["application/json"]
            assert "example" in body, name
    assert called <= found
    assert not OPEN.keys() & called


def test_the_code_list_is_in_the_document() -> None:
    detail = document_of_all()["components"]["schemas"]["ProblemDetail"]
    assert "conflict" in detail["properties"]["code"]["enum"]


def test_callers_are_told_to_bear_a_key() -> None:
    document = document_of_all()
    assert document["security"] == [{"bearer": []}]
    assert document["paths"]["/v1/health"]["get"]["security"] == []
