"""The docs say what the code says."""

import re
from pathlib import Path

import pytest

from rolltape.codes import Failure
from rolltape.web.table import OPERATIONS
from tests.docs.generate import PAGES, ROOT

PAGES_WITH_LINKS = sorted(
    path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if path.name != "CHANGELOG.md"
)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert PAGES[name](text) == text, f"{name} is stale: run make docs"


@pytest.mark.parametrize("page", PAGES_WITH_LINKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_failure_code_is_in_the_protocol() -> None:
    text = (ROOT / "docs/protocol.md").read_text("utf-8")
    assert [code.value for code in Failure if f"`{code.value}`" not in text] == []


def test_every_path_is_in_the_docs() -> None:
    text = "".join(page.read_text("utf-8") for page in (ROOT / "docs").glob("*.md"))
    known = {re.sub(r"\{[^}]*\}", "{}", path) for path in re.findall(r"/[\w./{}-]+", text)}
    paths = {operation.path for operation in OPERATIONS}
    missing = [path for path in sorted(paths) if not _told(re.sub(r"\{[^}]*\}", "{}", path), known)]
    assert missing == []


def _told(path: str, known: set[str]) -> bool:
    short = path.removeprefix("/v1")
    return any(each in (path, short) for each in known)


def test_make_targets_in_the_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES_WITH_LINKS:
        for target in re.findall(r"^make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE):
            assert target in targets, f"{page.name} names make {target}"
