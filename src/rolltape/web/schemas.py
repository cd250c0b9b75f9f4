"""JSON Schema of the wire's types, as the OpenAPI document needs it: one component for each struct."""

import inspect
from typing import Any

import msgspec

from rolltape.codes import Code
from rolltape.wire.command import CreateCommand, ReportItem, StartParams
from rolltape.wire.common import ErrorBody
from rolltape.wire.heartbeat import Heartbeat
from rolltape.wire.ids import ID_PATTERN
from rolltape.wire.relay import RelayHeartbeat, RelayOffer, RelayRevoked

_TEMPLATE = "#/components/schemas/{name}"


class Schemas:
    """The schemas of `types` and of all that they are made of."""

    def __init__(self, types: list[Any]) -> None:
        self._types = list({repr(kind): kind for kind in types}.values())
        found, components = msgspec.json.schema_components(
            [*self._types, ReportItem, StartParams, RelayOffer, RelayRevoked], ref_template=_TEMPLATE
        )
        self._found = {repr(kind): schema for kind, schema in zip(self._types, found, strict=False)}
        self.components = {
            name: _tidy(schema) for name, schema in sorted((_name(name), schema) for name, schema in components.items())
        }
        self._patch()

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of one of the types, mostly a reference."""
        schema: dict[str, Any] = _renamed(self._found[repr(kind)])
        return schema

    def summary(self, kind: Any) -> str:
        """One line on a type: the first of its docstring."""
        doc = inspect.getdoc(getattr(kind, "__origin__", kind)) or ""
        return doc.partition("\n")[0] if hasattr(kind, "__struct_fields__") or hasattr(kind, "__origin__") else "Done"

    def fields(self, kind: Any) -> tuple[dict[str, Any], list[str]]:
        """The schemas of a struct's fields, by name, and the names of those that are required."""
        _, components = msgspec.json.schema_components([kind], ref_template=_TEMPLATE)
        schema = components[kind.__name__]
        return schema["properties"], schema["required"]

    def _patch(self) -> None:
        """What the types can't say: the items of a heartbeat, the params of a start, the list of all codes."""
        for kind in (Heartbeat, RelayHeartbeat):
            heartbeat = self.components.get(kind.__name__)
            if heartbeat is None:
                continue
            _items(heartbeat, "acks", {"type": "string", "pattern": ID_PATTERN.format(prefix="cmd")})
            _items(heartbeat, "results", {"$ref": _TEMPLATE.format(name=ReportItem.__name__)})
        create = self.components.get(CreateCommand.__name__)
        if create:
            create["properties"]["params"] = {
                "anyOf": [{"$ref": _TEMPLATE.format(name=StartParams.__name__)}, {"type": "null"}],
                "description": "What the type takes: these for `start_recording`, nothing for the others",
                "default": None,
            }
        error = self.components[ErrorBody.__name__]
        error["properties"]["code"]["enum"] = [code.value for code in Code]


def _items(schema: dict[str, Any], name: str, items: dict[str, Any]) -> None:
    for option in schema["properties"][name]["anyOf"]:
        if option.get("type") == "array":
            option["items"] = items
            option["description"] = "Read item by item: a wrong one fails alone"


def _renamed(value: Any) -> Any:
    """`Page_Command_` is called `CommandPage`, in references too."""
    if isinstance(value, dict):
        return {key: _renamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if isinstance(value, str) and value.startswith("#/components/schemas/"):
        return "#/components/schemas/" + _name(value.rpartition("/")[2])
    return value


def _name(name: str) -> str:
    return name[5:-1] + "Page" if name.startswith("Page_") else name


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """One schema with references renamed and its docstring's line breaks taken out."""
    schema = _renamed(schema)
    if text := schema.get("description"):
        schema["description"] = " ".join(inspect.cleandoc(text).split())
    if schema.get("title", "").startswith("Page"):
        schema["title"] = "Page"
    return schema
