"""A picture is drawn once, and again only when something that decides it has changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from drawn import CLASSES, EVALUATION
from pipeline import disk_cache
from pipeline.reporting import confusion, kept_pictures
from pipeline.reporting.kept_pictures import MOST_KEPT, Album
from pipeline.reporting.style import png_bytes

DRAWN: list[str] = []


@dataclass(frozen=True)
class Point:
    x: float
    y: float


@dataclass(frozen=True)
class Place:
    x: float
    y: float


def plot(*values: object, **named: object) -> Figure:
    """A figure of no size that notes each drawing."""
    DRAWN.append(repr((values, named)))
    return Figure(figsize=(0.1, 0.1))


def other_plot(*values: object, **named: object) -> Figure:
    return plot(*values, **named)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    kept_pictures._drawn_by.cache_clear()
    DRAWN.clear()
    yield tmp_path
    kept_pictures._drawn_by.cache_clear()


def only_file(root: Path) -> Path:
    (file,) = (root / "data" / ".pictures").iterdir()
    return file


def times_drawn(root: Path, *values: object, **named: object) -> int:
    before = len(DRAWN)
    Album(root).png(plot, *values, **named)
    return len(DRAWN) - before


def test_the_second_time_it_is_read_with_the_same_bytes(root: Path) -> None:
    drawn = png_bytes(confusion.plot(EVALUATION.confusion, class_names=CLASSES))
    for _ in range(2):
        kept = Album(root).png(confusion.plot, EVALUATION.confusion, class_names=CLASSES)
        assert kept == drawn
    assert [times_drawn(root, 1), times_drawn(root, 1)] == [1, 0]


OTHERS = {
    "a number": ([1.0], [np.nextafter(1.0, 2)]),
    "its kind": ([1], [1.0]),
    "truth": ([1], [True]),
    "nothing": ([0], [None]),
    "a word": (["a b"], ["a", "b"]),
    "nesting": ([[1], 2], [[1, 2]]),
    "a name": ([{"a": 1}], [{"b": 1}]),
    "an order": ([{"a": 1, "b": 2}], [{"b": 2, "a": 1}]),
    "a field": ([Point(1, 2)], [Point(2, 1)]),
    "a class": ([Point(1, 2)], [Place(1, 2)]),
    "an entry": ([np.zeros(3)], [np.array([0, 0, 1e-300])]),
    "a sign": ([np.zeros(3)], [-np.zeros(3)]),
    "a shape": ([np.zeros((2, 3))], [np.zeros((3, 2))]),
    "a dtype": ([np.zeros(2, np.int64)], [np.zeros(2)]),
    "what follows": ([np.zeros(0), "a"], [np.zeros(0), "b"]),
}


@pytest.mark.parametrize(("values", "others"), OTHERS.values(), ids=OTHERS)
def test_other_values_are_another_picture(
    root: Path, values: list[object], others: list[object]
) -> None:
    drawn = [times_drawn(root, *each) for each in (values, others, values, others)]
    assert drawn == [1, 1, 0, 0]


def test_another_plot_or_another_word_is_another_picture(root: Path) -> None:
    Album(root).png(plot, 1)
    Album(root).png(other_plot, 1)
    Album(root).png(plot, width=1)
    assert len(DRAWN) == 3


def test_values_without_a_plain_form_are_refused(root: Path) -> None:
    with pytest.raises(TypeError, match="object has no plain form"):
        Album(root).png(plot, object())


def new_code(patch: pytest.MonkeyPatch) -> None:
    Path("new.py").write_text("other = 1")
    patch.setattr(disk_cache, "_code", lambda names: [Path("new.py")])


def settings_file(patch: pytest.MonkeyPatch) -> None:
    Path("matplotlibrc").write_text("lines.linewidth: 3")


def settings_elsewhere(patch: pytest.MonkeyPatch) -> None:
    Path("own.rc").write_text("lines.linewidth: 3")
    patch.setenv("MATPLOTLIBRC", "own.rc")


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "a library": lambda patch: patch.setattr(disk_cache, "version", lambda name: "0"),
    "our code": new_code,
    "a settings file": settings_file,
    "a settings file elsewhere": settings_elsewhere,
    "a setting": lambda patch: patch.setitem(mpl.rcParams, "lines.linewidth", 3.0),
    "the machine": lambda patch: patch.setattr("platform.platform", lambda: "another"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_after_a_change_it_is_drawn_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], object]
) -> None:
    assert times_drawn(root, 1) == 1
    change(monkeypatch)
    kept_pictures._drawn_by.cache_clear()
    assert [times_drawn(root, 1), times_drawn(root, 1)] == [1, 0]


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(file: Path) -> None:
        file.unlink()
        make(file)

    return replace


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a bit": spoil,
    "half": lambda file: file.write_bytes(file.read_bytes()[:80]),
    "empty": lambda file: file.write_bytes(b""),
    "no hash": lambda file: file.write_bytes(file.read_bytes()[65:]),
    "gone": lambda file: file.unlink(),
    "all gone": lambda file: shutil.rmtree(file.parent),
    "a folder": instead(Path.mkdir),
    "a pipe": instead(os.mkfifo),
    "a loop": instead(lambda file: file.symlink_to(file)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_picture_is_drawn_again(root: Path, damage: Callable[[Path], object]) -> None:
    whole = Album(root).png(plot, 1)
    damage(only_file(root))
    assert Album(root).png(plot, 1) == whole
    assert len(DRAWN) == 2


def test_it_is_not_kept_without_the_folder_of_the_data(tmp_path: Path) -> None:
    assert [times_drawn(tmp_path, 1), times_drawn(tmp_path, 1)] == [1, 1]
    assert list(tmp_path.iterdir()) == []


def test_it_is_drawn_where_nothing_can_be_written(root: Path) -> None:
    (root / "data" / ".pictures").write_text("in the way")
    assert [times_drawn(root, 1), times_drawn(root, 1)] == [1, 1]


def test_a_failed_drawing_leaves_nothing(root: Path) -> None:
    with pytest.raises(ValueError, match="axis 1"):
        Album(root).png(confusion.plot, np.ones(3), class_names=CLASSES)
    assert list((root / "data").iterdir()) == []


def test_the_pictures_that_were_asked_for_last_are_kept(root: Path) -> None:
    assert times_drawn(root, 1) == 1
    first = only_file(root)
    for age in range(1, MOST_KEPT):
        older = first.with_name(f"{age:03}")
        older.touch()
        os.utime(older, (age, age))
    os.utime(first, (0, 0))
    assert times_drawn(root, 1) == 0  # so it is the newest again
    assert times_drawn(root, 2) == 1  # one more than are kept
    left = {file.name for file in first.parent.iterdir()}
    assert len(left) == MOST_KEPT
    assert {first.name, "002"} < left
    assert "001" not in left
