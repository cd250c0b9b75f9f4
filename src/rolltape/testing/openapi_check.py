"""Holds answers against the OpenAPI document: a status, header, field or code that isn't documented is an error.

Stricter than the document's own words in one thing: a field that a schema doesn't name is refused.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator

_METHOD_OF_HEAD = "get"


class Undocumented(AssertionError):
    """An answer that the document doesn't allow; the message says which and why."""


class Document:
    """The document, as it is served at /openapi.json."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._validators: dict[str, Draft202012Validator] = {}

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Raises Undocumented. `path` is that of the request, with or without its query; header names in any case."""
        where = f"{method} {path} → {status}"
        lower = {name.lower(): value for name, value in headers.items()}
        if "x-request-id" not in lower:
            raise Undocumented(f"{where}: no X-Request-Id")
        operation = self._operation(method, path.partition("?")[0])
        if operation is None:
            self._check_stranger(where, status, body if method != "HEAD" else b"")
            return
        answer = self._resolved(operation["responses"].get(str(status)))
        if answer is None:
            raise Undocumented(f"{where}: documented are {', '.join(operation['responses'])}; body {body[:500]!r}")
        self._check_headers(where, answer, lower)
        if method != "HEAD":
            self._check_body(where, answer, lower.get("content-type", ""), body)

    def operation_id(self, method: str, path: str) -> str | None:
        """The name of the operation behind a request; None when the document has none."""
        operation = self._operation(method, path.partition("?")[0])
        return operation["operationId"] if operation else None

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        template = self._template(path)
        if template is None:
            return None
        methods: dict[str, dict[str, Any]] = self._document["paths"][template]
        found = methods.get(method.lower())
        return methods.get(_METHOD_OF_HEAD) if found is None and method == "HEAD" else found

    def _template(self, path: str) -> str | None:
        segments = path.split("/")
        fitting = [template for template in self._document["paths"] if _fits(template.split("/"), segments)]
        return min(fitting, key=lambda template: template.count("{"), default=None)

    def _resolved(self, value: Any) -> Any:
        while isinstance(value, dict) and "$ref" in value:
            found: Any = self._document
            for part in value["$ref"].split("/")[1:]:
                found = found[part]
            value = found
        return value

    def _check_stranger(self, where: str, status: int, body: bytes) -> None:
        """A path or method that isn't in the document: 404 or 405, in the shape of all errors."""
        if status not in (404, 405):
            raise Undocumented(f"{where}: there is no such operation, so it must be 404 or 405")
        if body:
            self._check_schema(where, {"$ref": "#/components/schemas/ErrorAnswer"}, json.loads(body))

    def _check_headers(self, where: str, answer: dict[str, Any], headers: Mapping[str, str]) -> None:
        for name, reference in answer.get("headers", {}).items():
            header = self._resolved(reference)
            value = headers.get(name.lower())
            if value is None and header.get("required"):
                raise Undocumented(f"{where}: the header {name} is missing")
            if value is not None:
                kind = header["schema"].get("type")
                self._check_schema(f"{where}, {name}", header["schema"], int(value) if kind == "integer" else value)

    def _check_body(self, where: str, answer: dict[str, Any], content_type: str, body: bytes) -> None:
        content = answer.get("content")
        if not content:
            if body:
                raise Undocumented(f"{where}: a body where none is documented: {body[:200]!r}")
            return
        given = content_type.partition(";")[0]
        media = content.get(given, content.get(given.partition("/")[0] + "/*"))
        if media is None:
            raise Undocumented(f"{where}: Content-Type {content_type!r}, documented are {', '.join(content)}")
        if "schema" in media:
            self._check_schema(where, media["schema"], json.loads(body))

    def _check_schema(self, where: str, schema: Mapping[str, Any], value: Any) -> None:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator({**schema, "components": {"schemas": self._closed}})
        errors = [f"{error.json_path}: {error.message}" for error in self._validators[key].iter_errors(value)]
        if errors:
            raise Undocumented(f"{where}: " + "; ".join(errors[:5]))

    @cached_property
    def _closed(self) -> dict[str, Any]:
        """The schemas, each with no room for fields that it doesn't name."""
        schemas: dict[str, dict[str, Any]] = self._document["components"]["schemas"]
        return {
            name: {**schema, "additionalProperties": False} if "properties" in schema else schema
            for name, schema in schemas.items()
        }


def _fits(template: list[str], segments: list[str]) -> bool:
    if len(template) != len(segments):
        return False
    return all(
        part == segment or (part.startswith("{") and segment) for part, segment in zip(template, segments, strict=True)
    )
