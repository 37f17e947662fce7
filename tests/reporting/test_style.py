"""All plots: the same input gives the same bytes, and nothing global changes."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from drawn import PLOTS
from pipeline.errors import DataError
from pipeline.reporting import comparison, generalization, learning_curves
from pipeline.reporting.style import png_bytes, save_png


def chunks(png: bytes) -> set[bytes]:
    """The kinds of a PNG's chunks, each of which is length, kind, content and checksum."""
    kinds, at = set(), 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        kinds.add(kind)
        at += 12 + length
    return kinds


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS.keys())
def test_the_same_input_gives_the_same_bytes(draw: Callable[[], Figure]) -> None:
    assert png_bytes(draw()) == png_bytes(draw())


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS.keys())
def test_the_bytes_are_those_of_matplotlibs_savefig(draw: Callable[[], Figure]) -> None:
    target = io.BytesIO()
    draw().savefig(target, format="png", metadata={"Software": None})
    assert png_bytes(draw()) == target.getvalue()


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS.keys())
def test_a_plot_changes_nothing_global(draw: Callable[[], Figure]) -> None:
    before = dict(mpl.rcParams)
    png_bytes(draw())
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("draw", PLOTS.values(), ids=PLOTS.keys())
def test_titles_stand_where_matplotlib_would_move_them(
    draw: Callable[[], Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are given a height only because it spares matplotlib from measuring all ticks."""
    fixed, original = png_bytes(draw()), Axes.set_title

    def without_height(axes: Axes, text: str, y: float | None = None, **options: Any) -> Text:
        return original(axes, text, **options)

    monkeypatch.setattr(Axes, "set_title", without_height)
    assert png_bytes(draw()) == fixed


def test_a_png_holds_neither_text_nor_time() -> None:
    assert chunks(png_bytes(PLOTS["comparison"]())) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


def test_save_png_replaces_in_one_step(tmp_path: Path) -> None:
    figure = PLOTS["comparison"]()
    save_png(figure, tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").read_bytes() == png_bytes(figure)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


@pytest.mark.parametrize("draw", [learning_curves.plot, generalization.plot, comparison.plot])
def test_nothing_to_draw_is_refused(draw: Callable[[list[object]], Figure]) -> None:
    with pytest.raises(DataError, match="0 "):
        draw([])
