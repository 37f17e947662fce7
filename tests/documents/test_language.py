"""Documents keep short sentences and short lines."""

from __future__ import annotations

import pytest

from document import DOCUMENTS, ROOT, lines_of, num_words, sentences

MAX_WORDS = 25
MAX_COLUMNS = 100


def long_sentences(text: str) -> list[str]:
    """Each sentence of more than 25 words, with its paragraph's line."""
    return [f"{line}: {s}" for line, s in sentences(text) if num_words(s) > MAX_WORDS]


def long_lines(text: str) -> list[int]:
    """Numbers of the lines of prose over 100 columns. Code, tables and lone links may be longer."""
    lines = [line for line in lines_of(text) if line.is_prose and " " in line.text.strip()]
    return [line.number for line in lines if len(line.text) > MAX_COLUMNS]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_sentence_is_too_long(name: str) -> None:
    assert long_sentences((ROOT / name).read_text()) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_line_is_too_long(name: str) -> None:
    assert long_lines((ROOT / name).read_text()) == []


def test_a_long_sentence_would_be_seen() -> None:
    words = "A " + " ".join(["word"] * 25)
    assert long_sentences(f"# Title\n\nShort. {words}. Short.") == [f"3: {words}."]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" ".join(["word"] * 25) + ".", id="at-the-limit"),
        pytest.param(" ".join(["word"] * 20 + ["0.5", "%", "12"] * 5), id="figures"),
        pytest.param("| " + " | ".join(["word"] * 30) + " |", id="table"),
        pytest.param("```\n" + " ".join(["word"] * 30) + "\n```", id="code"),
        pytest.param("* " + "\n* ".join([" ".join(["word"] * 15)] * 2), id="bullets"),
    ],
)
def test_a_short_sentence_passes(text: str) -> None:
    assert long_sentences(text) == []


def test_a_long_line_would_be_seen_unless_it_is_code() -> None:
    line = "word " * 30
    assert long_lines(f"{line}\n```sh\n{line}\n```\n| {line} |") == [1]
