"""The OpenAPI 3.1 document, made from the table of operations and the types of their bodies and answers."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from rolltape import __version__
from rolltape.codes import Code
from rolltape.web.errors import STATUS
from rolltape.web.operation import PATH_PARAMS, Content, Operation, Switch
from rolltape.web.schemas import Schemas
from rolltape.wire.common import ErrorAnswer

KEY_SCHEME: Final = "apiKey"
DEVICE_SCHEME: Final = "deviceToken"
RELAY_SCHEME: Final = "relayToken"
_TITLES: Final = {
    400: "The request is wrong",
    401: "The credential is missing, unknown or revoked",
    403: "The credential may not do this",
    404: "There is no such thing in this project",
    409: "It conflicts with how things stand",
    412: "A condition of the request doesn't hold",
    413: "The body is too large",
    415: "The body is of the wrong type",
    416: "The range lies outside the file",
    429: "Too many requests",
    500: "Something went wrong on our side",
    503: "Not at this moment",
}
_SCHEMES: Final = {
    KEY_SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of the backend: sk_live_…, sk_test_…, rk_live_… or rk_test_…",
    },
    DEVICE_SCHEME: {"type": "http", "scheme": "bearer", "description": "A device token: dtok_…, handed out at bind"},
    RELAY_SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "description": "A relay token: rtok_…, made by the backend for one end user's devices",
    },
}
_INTRO: Final = """The command plane for voice recorders.

Every answer has `X-Request-Id`. Every error has the shape of `ErrorAnswer`; its `code` is one of those listed with the
operation, its `message` says what to do next. A path that isn't listed: 404 `not_found`. A method that isn't: 405
`method_not_allowed`, with `Allow`; HEAD goes wherever GET does, except on polls and streams.

On device and relay paths unknown fields and query parameters are ignored; elsewhere they are errors."""
_REQUEST_ID: Final = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
_LIMITED: Final = {
    name: {"$ref": f"#/components/headers/{name}"}
    for name in ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
}
_HEADERS: Final = {
    "X-Request-Id": {
        "description": "Names this request in the server's log; your own, if you sent a sane one",
        "required": True,
        "schema": {"type": "string", "maxLength": 128},
    },
    "X-RateLimit-Limit": {
        "description": "How many requests a burst may have; missing when the limit is off",
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-RateLimit-Remaining": {
        "description": "How many more requests may come at once",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "Seconds until the whole burst is there again",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Retry-After": {
        "description": "Seconds to wait before trying again",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "`Bearer`", "required": True, "schema": {"type": "string"}},
}


def document_bytes(table: Iterable[Operation]) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(tuple(table)))


def document(table: tuple[Operation, ...]) -> dict[str, Any]:
    """The document of all operations in `table`."""
    schemas = Schemas([kind for operation in table for kind in _types(operation)] + [ErrorAnswer])
    refusals = _Refusals(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, refusals)
    groups = dict.fromkeys(operation.group for operation in table)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rolltape",
            "version": __version__,
            "description": _INTRO,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "tags": [{"name": group} for group in groups],
        "paths": paths,
        "components": {
            "securitySchemes": _SCHEMES,
            "headers": _HEADERS,
            "responses": refusals.components,
            "schemas": schemas.components,
        },
    }


def _types(operation: Operation) -> list[Any]:
    types = [operation.body]
    for kind in operation.answers.values():
        types += kind if isinstance(kind, tuple) else (kind,)
    return [kind for kind in types if kind is not None and not isinstance(kind, Content | Switch)]


def _operation(operation: Operation, schemas: Schemas, refusals: "_Refusals") -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.group],
        "security": _security(operation),
        "responses": _responses(operation, schemas, refusals),
    }
    if operation.description:
        entry["description"] = operation.description
    if parameters := [*_path_params(operation), *_query_params(operation, schemas), *_header_params(operation)]:
        entry["parameters"] = parameters
    if operation.body is not None:
        entry["requestBody"] = _request_body(operation, schemas)
    return entry


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    """Who may call: one of these. Bearer schemes may list the scopes that are needed (OpenAPI 3.1, section 4.8.30)."""
    options: list[dict[str, list[str]]] = []
    if operation.scope:
        options.append({KEY_SCHEME: [operation.scope]})
    if operation.device:
        options.append({DEVICE_SCHEME: []})
    if operation.relay:
        options.append({RELAY_SCHEME: []})
    return options


def _path_params(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARAMS[name][1] + (", or `me` with its own token" if _is_me(operation, name) else ""),
            "schema": {"type": "string", "pattern": _id_pattern(name, me=_is_me(operation, name))},
        }
        for name in operation.params
    ]


def _is_me(operation: Operation, name: str) -> bool:
    return operation.me and name == "device_id"


def _id_pattern(name: str, *, me: bool) -> str:
    pattern = f"{PATH_PARAMS[name][0]}_[A-Za-z0-9]{{1,64}}"
    return f"^(me|{pattern})$" if me else f"^{pattern}$"


def _query_params(operation: Operation, schemas: Schemas) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    fields, required = schemas.fields(operation.query)
    return [
        {"name": name, "in": "query", "required": name in required, **_described(schema)}
        for name, schema in fields.items()
    ]


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null, which no query string can say, and its description beside it."""
    schema = dict(schema)
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del schema["anyOf"]
        schema = {**options[0], **schema}
    if schema.get("default", 0) is None or schema.get("default") == []:
        del schema["default"]
    entry: dict[str, Any] = {"schema": schema}
    if text := schema.pop("description", ""):
        entry["description"] = text
    if schema.get("type") == "array":
        entry |= {"style": "form", "explode": True}
    return entry


def _header_params(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": header.name,
            "in": "header",
            "required": header.required,
            "description": header.description,
            "schema": dict(header.schema),
        }
        for header in operation.headers
    ]


def _request_body(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    if isinstance(operation.body, Content):
        media: dict[str, Any] = {}
        return {
            "required": True,
            "content": {operation.body.media_type: media},
            "description": operation.body.description,
        }
    media = {"schema": schemas.of(operation.body)}
    if operation.body_example is not None:
        media["example"] = operation.body_example
    return {
        "required": not operation.body_optional,
        "description": f"At most {operation.body_limit} bytes",
        "content": {"application/json": media},
    }


def _responses(operation: Operation, schemas: Schemas, refusals: "_Refusals") -> dict[str, Any]:
    own = _own_headers(operation)
    responses = {str(status): _success(kind, schemas, own) for status, kind in operation.answers.items()}
    by_status: dict[int, list[Code]] = {}
    for code in operation.codes:
        by_status.setdefault(STATUS[code], []).append(code)
    for status, codes in by_status.items():
        responses.setdefault(str(status), refusals.of(status, codes, limited=not operation.public))
    return dict(sorted(responses.items()))


def _own_headers(operation: Operation) -> dict[str, Any]:
    extra = {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in (operation.answer_headers or {}).items()
    }
    return {**_REQUEST_ID, **({} if operation.public else _LIMITED), **extra}


def _success(kind: Any, schemas: Schemas, headers: dict[str, Any]) -> dict[str, Any]:
    if kind is None:
        return {"description": "Done; no body", "headers": headers}
    if isinstance(kind, Switch):
        return {"description": kind.description, "headers": headers}
    if isinstance(kind, Content):
        return {"description": kind.description, "headers": headers, "content": {kind.media_type: {}}}
    kinds = kind if isinstance(kind, tuple) else (kind,)
    options = [schemas.of(option) for option in kinds]
    return {
        "description": " Or: ".join(schemas.summary(option) for option in kinds),
        "headers": headers,
        "content": {"application/json": {"schema": options[0] if len(options) == 1 else {"anyOf": options}}},
    }


class _Refusals:
    """The error answers: one component for each set of codes."""

    def __init__(self, schemas: Schemas) -> None:
        self._schema = schemas.of(ErrorAnswer)
        self.components: dict[str, Any] = {}

    def of(self, status: int, codes: list[Code], *, limited: bool) -> dict[str, str]:
        """A reference to the answer with that status and one of these codes."""
        limited = limited and status != 401
        name = "Or".join(code.value.title().replace("_", "") for code in codes) + ("" if limited else "Unlimited")
        self.components.setdefault(name, self._refusal(status, [code.value for code in codes], limited=limited))
        return {"$ref": f"#/components/responses/{name}"}

    def _refusal(self, status: int, codes: list[str], *, limited: bool) -> dict[str, Any]:
        headers = {**_REQUEST_ID, **(_LIMITED if limited else {})}
        if status == 401:
            headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
        if status in (429, 503):
            headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        narrowed = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
        return {
            "description": f"{_TITLES[status]}: " + ", ".join(f"`{code}`" for code in codes),
            "headers": headers,
            "content": {"application/json": {"schema": {"allOf": [self._schema, narrowed]}}},
        }
