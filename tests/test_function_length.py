"""Functions of the package stay short enough to read at once; ruff counts only their statements."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
MAX_LINES = 50


def long_functions(text: str) -> list[str]:
    """Names of the functions of a module that have more lines than allowed, docstring included."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return [f.name for f in found if (f.end_lineno or f.lineno) - f.lineno >= MAX_LINES]


def test_no_function_is_longer_than_50_lines() -> None:
    files = {str(path): long_functions(path.read_text()) for path in SOURCE.rglob("*.py")}
    assert {path: names for path, names in files.items() if names} == {}


def test_a_long_function_would_be_seen() -> None:
    body = "    pass\n" * 49
    assert long_functions(f"def at_the_limit():\n{body}") == []
    assert long_functions(f"def too_long():\n{body}    pass\n") == ["too_long"]
