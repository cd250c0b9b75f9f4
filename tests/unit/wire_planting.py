"""How a bug is planted in the checks of wire/: one place of one source changed, and all that lean on it made anew.

The modules import names from each other, so a changed one is seen by the others only if they are built again on top
of it. That happens beside the real ones, which nobody else ceases to see.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import rolltape.wire as package

MODULES = ("ids", "keys", "claims", "replay", "cbor", "cose", "cwt", "grant", "answer", "receipt")
"""The modules of the checks; each may lean on those before it alone."""
_FOLDER = Path(package.__file__).parent
SOURCES = {name: (_FOLDER / f"{name}.py").read_text("utf-8") for name in MODULES}


@dataclass(frozen=True)
class Bug:
    """A planted bug: `old` becomes `new`, and each vector of `caught_by` answers something else than it should.

    `old` stands exactly once in the modules, or, where `module` names one, exactly once there.
    """

    name: str
    old: str
    new: str
    caught_by: tuple[str, ...]
    module: str = ""

    @property
    def home(self) -> str:
        """The module that has `old`."""
        places = {name: SOURCES[name].count(self.old) for name in MODULES if self.module in ("", name)}
        found = {name: times for name, times in places.items() if times}
        assert list(found.values()) == [1], f"{self.name}: {self.old!r} is there {found or 'nowhere'}"
        return next(iter(found))


@contextmanager
def planted(bug: Bug) -> Iterator[SimpleNamespace]:
    """The modules by name, with the bug in one of them and the others built on it."""
    source = SOURCES[bug.home].replace(bug.old, bug.new)
    real = {name: import_module(f"rolltape.wire.{name}") for name in MODULES}
    first = MODULES.index(bug.home)
    try:
        for name in MODULES[first:]:
            module = ModuleType(f"rolltape.wire.{name}")
            sys.modules[module.__name__] = module
            setattr(package, name, module)
            exec(compile(source if name == bug.home else SOURCES[name], f"planted {name}", "exec"), module.__dict__)
        yield SimpleNamespace(**{name: sys.modules[f"rolltape.wire.{name}"] for name in MODULES})
    finally:
        for name, module in real.items():
            sys.modules[module.__name__] = module
            setattr(package, name, module)


def refusals_without_a_bug(module: str, bugs: Iterable[Bug], marks: tuple[str, ...]) -> list[str]:
    """The conditions before each line of `module` that begins with one of `marks`, and that no bug takes away."""
    lines = SOURCES[module].splitlines()
    changed = "\n".join(bug.old for bug in bugs)
    bare = []
    for i, line in enumerate(lines):
        if line.strip().startswith(marks):
            condition = next(
                above.split("  #")[0].strip()
                for above in reversed(lines[:i])
                if above.strip()[:2] in {"if", "el", "ex"}
            )
            if condition not in changed:
                bare.append(condition)
    return bare
