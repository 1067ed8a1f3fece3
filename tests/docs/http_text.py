"""How the calls of docs/http.md are written: as Python, as curl, as text."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from api.openapi import Document, Recorded
from tests.docs.http_calls import Call

_WIDTH = 80
_LONGEST_ANSWER = 1_200

_HEAD = Path(__file__).with_name("http_head.md")


def code_of(call: Call, operation: Document) -> str:
    """Return the Python that makes a call and leaves its answer in ``answer``."""
    path = literal(path_of(call, operation))
    if call.operation == "follow_events":
        return (
            f'with client.stream(\n    "GET", {path}, params={literal(call.query)}\n'
            ") as feed:\n"
            "    lines = feed.raise_for_status().iter_lines()\n"
            '    answer = next(line for line in lines if line.startswith("data: "))\n'
        )
    arguments, before = [path], ""
    if call.query:
        arguments.append(f"params={literal(call.query)}")
    if operation["method"] == "post":
        key = operation["key"]
        if call.is_signed:
            before = f"body = {literal(call.body)}\n"
            before += "content = json.dumps(body).encode()\n"
            arguments.append("content=content")
            arguments.append(
                f'headers={{\n    "Idempotency-Key": "{key}",\n'
                '    "Content-Type": "application/json",\n'
                '    "Content-Digest": digest_of(content),\n}'
            )
        else:
            arguments.append(f"json={literal(call.body)}")
            arguments.append(f'headers={{"Idempotency-Key": "{key}"}}')
    kinds = {
        "get_metrics": "text",
        "export_events": "read()",
        "export_samples": "read()",
    }
    taken = kinds.get(call.operation, "json()")
    called = _called(f"client.{operation['method']}", arguments)
    return f"{before}answer = {called}.raise_for_status().{taken}\n"


def _called(name: str, arguments: Sequence[str]) -> str:
    short = f"{name}({', '.join(arguments)})"
    if len(short) < _WIDTH - 35 and "\n" not in short:
        return short
    inner = "".join(f"    {a}".replace("\n", "\n    ") + ",\n" for a in arguments)
    return f"{name}(\n{inner})"


def literal(value: Any) -> str:
    """Return a value as Python writes it, broken into lines where it is long."""
    short = _plain(value)
    if len(short) <= _WIDTH - 20 or not isinstance(value, dict | list):
        return short
    if isinstance(value, dict):
        items = [f'"{name}": {literal(found)}' for name, found in value.items()]
    else:
        items = [literal(found) for found in value]
    inner = "".join("    " + i.replace("\n", "\n    ") + ",\n" for i in items)
    return f"{{\n{inner}}}" if isinstance(value, dict) else f"[\n{inner}]"


def _plain(value: Any) -> str:
    text = json.dumps(value)
    return {"true": "True", "false": "False", "null": "None"}.get(text) or re.sub(
        r"\b(true|false|null)\b(?=[,}\]])",
        lambda m: {"true": "True", "false": "False", "null": "None"}[m[1]],
        text,
    )


def path_of(call: Call, operation: Document) -> str:
    template = operation["path"].removeprefix("/v1")
    for name, value in call.path.items():
        template = template.replace(f"{{{name}}}", quote(str(value), safe="*"))
    return str(template)


def curl_of(call: Call, operation: Document) -> str:
    """Return the same call by curl."""
    query = f"?{urlencode(call.query)}" if call.query else ""
    lines = [f'curl -s -H "$AUTH" "$URL{path_of(call, operation)}{query}"']
    if operation["method"] == "post":
        body = json.dumps(call.body)
        lines.append(f"-H 'Idempotency-Key: {operation['key']}'")
        lines.append("-H 'Content-Type: application/json'")
        if call.is_signed:
            digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
            lines.append(f"-H 'Content-Digest: sha-256=:{digest}:'")
        lines.append(f"-d '{body}'")
    return " \\\n  ".join(lines)


def page_of(
    document: Document,
    calls: Sequence[tuple[Call, Document]],
    examples: Mapping[str, Recorded],
) -> str:
    """Return the whole page."""
    parts = [_HEAD.read_text("utf-8")]
    for call, operation in calls:
        permission = operation.get("x-permission")
        needed = f"Needs `{permission}`." if permission else "For anybody."
        answer = json.dumps(examples[call.operation].answer, indent=1)
        parts.append(
            f"## {operation['summary']}\n"
            f"`{operation['method'].upper()} {operation['path']}` · "
            f"`{call.operation}` · {needed}\n\n"
            f"{_more(operation)}"
            f"```sh\n{curl_of(call, operation)}\n```\n"
            f"```python\n{code_of(call, operation)}```\n"
        )
        if len(answer) <= _LONGEST_ANSWER:
            parts.append(f"Answers:\n```json\n{answer}\n```\n")
        parts.append("\n")
    return "".join(parts) + _codes(document)


def _more(operation: Document) -> str:
    """Return what the description says beyond the summary."""
    told, summary = operation["description"], operation["summary"]
    return "" if told.rstrip(".") == summary else f"{told}\n\n"


def _codes(document: Document) -> str:
    detail = document["components"]["schemas"]["ProblemDetail"]
    codes = detail["properties"]["code"]["enum"]
    listed = "\n".join(f"- `{code}`" for code in codes)
    return (
        "## Problems\n"
        "An answer that is no success is `application/problem+json` (RFC 9457); its "
        "`code` is one of these and never changes its meaning.\n\n"
        f"{listed}\n"
    )
