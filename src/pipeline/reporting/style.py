"""The common style of all pictures, and reproducible image files.

Only the object-oriented interface of matplotlib is used; its global state stays untouched.
It is imported when the first figure is drawn: a command may find all its pictures drawn already.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.files import write_atomically
from pipeline.terminal import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Okabe and Ito, Color Universal Design, 2008: distinct for every kind of colour vision.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
)
INK, QUIET, GRID, PAPER = "#1f2328", "#626a73", "#e3e6ea", "#ffffff"
SERIES = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK)

Grid = Literal["x", "y", "both", "none"]
DPI = 144
# Inches. A figure below NARROW is for a narrow screen: its panels stand one below the other.
WIDE, HALF, PHONE = 8.6, 5.4, 4.0
NARROW = 6.0
LONGEST_NAME = 28  # characters beside a picture


def new_figure(*, width: float, height: float) -> Figure:
    """Return an empty white figure of ``width`` × ``height`` inches with an automatic layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def label(text: str, *, most: int = LONGEST_NAME) -> str:
    """Return a name of a person's own as matplotlib must get it, to draw it as it is written.

    Between two dollar signs matplotlib reads formulas, and a formula that is none is an error.
    most: characters; a longer name, which would leave no room for the picture, loses its middle.
    """
    shown = visible(text)
    if len(shown) > most:
        shown = f"{shown[: most // 2]}…{shown[len(shown) - (most - 1) // 2 :]}"
    return shown.replace("$", r"\$")


def dress(
    axes: Axes, *, title: str = "", xlabel: str = "", ylabel: str = "", grid: Grid = "y"
) -> None:
    """Give axes a title on the left, quiet labels, and a grid along x, y, both or none."""
    # Without `y`, matplotlib measures all ticks several times: a title might be in their way.
    axes.set_title(title, loc="left", y=1.0, fontsize=11, fontweight="bold", color=INK, pad=8)
    axes.set_xlabel(xlabel, fontsize=9.5, color=QUIET)
    axes.set_ylabel(ylabel, fontsize=9.5, color=QUIET)
    axes.tick_params(labelsize=9, colors=QUIET, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#b8bec6")
    axes.set_axisbelow(True)
    if grid != "none":
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.8)


def percent_scale(
    axis: Axis, *, decimals: int | None = None, symbol: str = "\N{NO-BREAK SPACE}%"
) -> None:
    """Label the shares 0 … 1 of an axis as percentages. decimals: None for as many as they need."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=decimals, symbol=symbol))


def whole_numbers(axis: Axis, *, most: int) -> None:
    """Label an axis at whole numbers only, at one or more, and at about ``most``."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=most, min_n_ticks=1))


def legend_above(axes: Axes, *, num_columns: int) -> None:
    """Add a legend in one line above the axes, without a frame."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=num_columns,
        borderaxespad=0.3,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=1.4,
    )


def name_line_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write names beside the ends of lines, given as (x, y, name, colour), without overlaps.

    Call it after the lines are drawn and the scales are set: the places depend on the axes' range.
    """
    if not ends:
        return
    axes.get_ylim()  # settles the range that the transformation reads
    to_share = axes.transData + axes.transAxes.inverted()
    ordered = sorted(
        (float(to_share.transform((x, y))[1]), name, color) for x, y, name, color in ends
    )
    levels = _spread([share for share, _, _ in ordered], gap=0.065)
    right = max(x for x, _, _, _ in ends)
    for level, (_, name, color) in zip(levels, ordered, strict=True):
        axes.annotate(
            name,
            (right, level),
            xycoords=("data", "axes fraction"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            fontweight="bold",
            color=color,
            annotation_clip=False,
        )


def _spread(shares: Sequence[float], *, gap: float) -> list[float]:
    """Move increasing heights up until they are ``gap`` apart, then down below the top."""
    levels: list[float] = []
    for share in shares:
        levels.append(max(share, levels[-1] + gap) if levels else share)
    below = 1.0 + gap
    for place in range(len(levels) - 1, -1, -1):
        below = levels[place] = min(levels[place], below - gap)
    return levels


def png_bytes(figure: Figure) -> bytes:
    """Return the figure as PNG without date or program name: equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    target = io.BytesIO()
    # `savefig` gives the same bytes, but goes through the figure twice before it draws.
    FigureCanvasAgg(figure).print_png(target, metadata={"Software": None})
    return target.getvalue()


def save_png(figure: Figure, path: Path) -> None:
    """Write `png_bytes` in one step, so that no half picture is left; make missing folders."""
    write_atomically(path, png_bytes(figure))
