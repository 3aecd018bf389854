"""The texts of the production code, and the words that plain English does without."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

SOURCES = sorted(
    path
    for pattern in ("*.py", "ingest/**/*.py", "commands/**/*.py")
    for path in ROOT.glob(pattern)
)

# Words that a reader whose third language is English may not know, and what to write instead.
PLAIN = {
    r"anew": "again",
    r"begun": "started",
    r"beside": "next to",
    r"broke(n)? off|breaks off": "was cut off",
    r"belongs? into": "move it to",
    r"give up|gave up|given up": "stop",
    r"had better": "should",
    r"for good": "permanently",
    r"in which": "if, when",
    r"(is|are|has|have) none(?! of)": "there is no ...",
    r"(?<!there )(is|are) no (?!longer)\w+": "is not a ...",
    r"let go": "release",
    r"mend(s|ed)?": "fix",
    r"meanwhile": "during that",
    r"no more than": "at most",
    r"(?<!has )none of": "not one of",
    r"nothing to do if": "the next run tries again",
    r"of no use": "does not help",
    r"set(s|ting)? (aside|down)": "rename, quarantine, write",
    r"stands? in the": "is in the",
    r"thereof": "of it",
    r"whose(?! credentials)": "which ... belongs to",
}
UNPLAIN = re.compile(rf"\b({'|'.join(PLAIN)})\b", re.I)


def docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """Each text of a file with the line it is on; {} stands for a value in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(each) for each in docstrings(tree)}
    for node in ast.walk(tree):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield where, "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            yield where, node.value
