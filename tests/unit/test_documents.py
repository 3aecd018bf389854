"""README.md and CONTRIBUTING.md: what they name exists."""

import re

import pytest

from tests.conftest import ROOT

TEXTS = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")
}
every_document = pytest.mark.parametrize("name", TEXTS)

# A path in one of the project's folders, and a name that stands for others.
NAMED = re.compile(
    r"(?<![\w/.~-])(?:ingest|commands|tests|deploy|docs|embedded|benchmarks)/[\w./-]*\w"
)
PATTERNS = {"commands/NAME.py", "tests/commands/test_NAME_command.py"}


@every_document
def test_every_file_that_a_document_names_exists(name: str) -> None:
    linked = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", TEXTS[name])}
    paths = {path for path in linked if "://" not in path} | set(NAMED.findall(TEXTS[name]))
    assert paths
    assert [path for path in sorted(paths - PATTERNS) if not (ROOT / path).exists()] == []


@every_document
def test_every_target_of_make_that_a_document_names_exists(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make (\w+)", TEXTS[name], re.MULTILINE))
    assert named
    assert named <= targets


def test_every_table_that_contributing_names_is_in_the_file_it_names() -> None:
    named = re.findall(r"`([A-Z_]{4,})` (?:in|of) `([\w/]+\.py)`", TEXTS["CONTRIBUTING.md"])
    assert len(named) >= 6
    for table, path in named:
        assert re.search(rf"^{table}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_each_term_of_the_glossary_has_one_meaning() -> None:
    glossary = TEXTS["CONTRIBUTING.md"].partition("## Glossary")[2]
    terms = re.findall(r"^\| ([a-z ]+) \|", glossary, re.MULTILINE)[1:]
    assert len(terms) >= 20
    assert len(set(terms)) == len(terms)
