"""From a path to what answers it: a tree of segments, walked once for each request.

Exact segments win over parameters. A path is matched as a whole: a trailing slash, an empty segment or an encoded slash
match nothing, and nothing is redirected.
"""

from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("exact", "methods", "name", "param")

    def __init__(self) -> None:
        self.exact: dict[str, _Node[T]] = {}
        self.param: _Node[T] | None = None
        self.name = ""
        self.methods: dict[str, T] = {}


class Router(Generic[T]):
    """Paths with `{names}` in them, and for each path what answers which method."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, path: str, target: T) -> None:
        """ValueError when the method of the path is taken, or its parameter has another name already."""
        node = self._root
        for segment in path.split("/"):
            node = _step(node, segment)
        if method in node.methods:
            raise ValueError(f"{method} {path} is there already")
        node.methods[method] = target

    def find(self, path: str) -> tuple[dict[str, T], dict[str, str]] | None:
        """What answers the methods of `path`, and its parameters; None when there is no such path."""
        node = self._root
        params: dict[str, str] = {}
        for segment in path.split("/"):
            found = node.exact.get(segment)
            if found is None:
                found = node.param
                if found is None or not segment:
                    return None
                params[found.name] = segment
            node = found
        return (node.methods, params) if node.methods else None


def _step(node: _Node[T], segment: str) -> _Node[T]:
    if not segment.startswith("{"):
        return node.exact.setdefault(segment, _Node())
    name = segment[1:-1]
    if node.param is None:
        node.param = _Node()
        node.param.name = name
    if node.param.name != name:
        raise ValueError(f"{{{name}}} stands where {{{node.param.name}}} stands already")
    return node.param
