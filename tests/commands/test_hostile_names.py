"""Class names that are markup, formulas or escape sequences: shown as written, nowhere run.

A person's folders name the classes. Their names go to the terminal, into pictures, pages, tables,
and MLflow.
"""

from __future__ import annotations

import html
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import cli
from pipeline.reporting.style import label, new_figure, png_bytes
from pipeline.terminal import visible
from trained_models import ON_ONE_THREAD

NAMES = (
    "<svg onload=alert(1)>",
    "<script>alert(2)<",
    "$\\undefined{x}$",
    "{{ 7 * 7 }} ${oc.env:HOME}",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    '=cmd|" /C calc"!A0, "b"',
)
SHORT = (*ON_ONE_THREAD, "data=image_folder", "data.path=photos", "data.image_size=8")
TRAINED = ("name=odd", "model.width=8", "trainer.max_epochs=1", "signals=none")
SIGNS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Elements(HTMLParser):
    """The elements of a page, and the attributes of all of them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture
def photos(project: Path) -> Path:
    dice = np.random.default_rng(0)
    for name in NAMES:
        (project / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = dice.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(project / "photos" / name / f"{number}.png")
    return project


def test_hostile_class_names_are_only_text(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [
        ["preprocess", *SHORT],
        ["train", *SHORT, *TRAINED],
        ["evaluate", "name=odd", "evaluation.corruptions=[]", "evaluation.num_resamples=100"],
        ["diagnose", "name=odd"],
        ["report", "models=[odd]"],
        ["predict", f"photos/{NAMES[2]}/0.png", "name=odd"],
    ]
    for command, *rest in lines:
        assert cli.call(command, rest) == 0, command
    told = capfd.readouterr()
    assert not SIGNS.search(told.out + told.err)
    assert "\\x1b[2J" in told.out and "\\u202egnp" in told.out  # by `preprocess`

    page = (photos / "results" / "report_odd.html").read_text()
    found = Elements(page)
    assert not found.names & {"script", "svg", "iframe", "object", "embed"}
    assert not {name for name in found.attributes if name.startswith("on")}
    # The page names the classes that are taken for one another.
    assert any(html.escape(name) in page for name in NAMES[:4]) and "49 ${" not in page

    with closing(sqlite3.connect(photos / "mlflow.db")) as store:
        texts = [text for (text,) in store.execute("select value from tags")]
    assert not any(name in text for name in NAMES[:2] for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_shows_a_name_as_it_is_written(
    name: str, recwarn: pytest.WarningsRecorder
) -> None:
    figure = new_figure(width=4, height=2)
    text = figure.text(0.1, 0.5, label(name))
    png_bytes(figure)
    drawn, is_formula = text._preprocess_math(text.get_text())
    assert (drawn, bool(is_formula)) == (visible(name), False)
    assert not [w for w in recwarn if "missing from" in str(w.message)]


def test_what_a_terminal_obeys_is_written_out() -> None:
    assert visible("a\x1b[31mb\u202ec\x7f") == "a\\x1b[31mb\\u202ec\\x7f"
    assert visible("a\tb\nc ä 漢 🎈 שלום") == "a\tb\nc ä 漢 🎈 שלום"
