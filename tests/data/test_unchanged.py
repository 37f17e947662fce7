"""Prepared data is left alone only where preparing again would give the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.data import unchanged
from pipeline.data.unchanged import Preparation

SETTINGS = {"path": "photos", "validation_size": 5, "split_seed": 0}


def preparation(root: Path, **changed: object) -> Preparation:
    return Preparation(
        root / "processed" / "photos",
        settings={**SETTINGS, **changed},
        sources=[root / "photos", root / "labels.csv"],
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of images, a file beside it, a link in it, and what was prepared from them."""
    root = tmp_path / "one"
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "photos" / name).write_bytes(name.encode())
    (root / "photos" / "dog" / "link.png").symlink_to("1.png")
    (root / "labels.csv").write_text("a,b")
    (root / "processed" / "photos").mkdir(parents=True)
    (root / "processed" / "photos" / "card.json").write_text("{}")
    preparation(root).note()
    settle(root)
    return root


def settle(root: Path) -> None:
    """Make the note look as if it were written long after the files."""
    note = preparation(root).path
    values = json.loads(note.read_text())
    values["noted_ns"] += 10 * unchanged.SETTLED_NS
    note.write_text(json.dumps(values))


def with_the_old_times(path: Path, content: bytes) -> None:
    """Write a file and put its times back, as some tools for copying do."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "an image of another size": lambda r: (r / "photos/cat/1.png").write_bytes(b"longer than it"),
    "an image of the same size": lambda r: (r / "photos/cat/1.png").write_bytes(b"cat/9.png"),
    "the same size and times": lambda r: with_the_old_times(r / "photos/cat/1.png", b"cat/9.png"),
    "a new image": lambda r: (r / "photos/cat/3.png").write_bytes(b"new"),
    "an image is gone": lambda r: (r / "photos/cat/2.png").unlink(),
    "an image has another name": lambda r: (r / "photos/cat/2.png").rename(r / "photos/cat/0.png"),
    "an image is of another class": lambda r: (r / "photos/cat/2.png").rename(
        r / "photos/dog/2.png"
    ),
    "two images change places": lambda r: [
        (r / "photos/cat/1.png").rename(r / "photos/x"),
        (r / "photos/cat/2.png").rename(r / "photos/cat/1.png"),
        (r / "photos/x").rename(r / "photos/cat/2.png"),
    ],
    "another file that is no image": lambda r: (r / "photos/cat/notes.txt").write_text("x"),
    "an empty class": lambda r: (r / "photos/bird").mkdir(),
    "a link leads elsewhere": lambda r: [
        (r / "photos/dog/link.png").unlink(),
        (r / "photos/dog/link.png").symlink_to("../cat/1.png"),
    ],
    "the file beside it": lambda r: (r / "labels.csv").write_text("b,a"),
    "what was prepared": lambda r: (r / "processed/photos/card.json").write_text("[]"),
    "what was prepared is gone": lambda r: shutil.rmtree(r / "processed/photos"),
    "a damaged note": lambda r: preparation(r).path.write_text('{"identity": 3}'),
    "no note": lambda r: preparation(r).path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_of_the_files_is_seen(root: Path, change: Callable[[Path], object]) -> None:
    assert preparation(root).is_done()
    change(root)
    assert not preparation(root).is_done()


def test_hidden_files_and_the_content_of_others_do_not_count(root: Path) -> None:
    (root / "photos/cat/notes.txt").write_text("one")
    preparation(root).note()
    (root / "photos/cat/notes.txt").write_text("two, and longer")
    (root / "photos/.cache").mkdir()
    (root / "photos/.cache/1.png").write_bytes(b"x")
    (root / "photos/cat/.DS_Store").write_bytes(b"x")
    assert preparation(root).is_done()


def test_images_behind_a_link_to_a_hidden_folder_count(root: Path) -> None:
    hidden = root / "photos" / ".store" / "bird"
    hidden.mkdir(parents=True)
    (hidden / "1.png").write_bytes(b"bird")
    (hidden / "circle").symlink_to(root / "photos")
    (root / "photos" / "bird").symlink_to(".store/bird")
    preparation(root).note()
    assert preparation(root).is_done()
    (hidden / "1.png").write_bytes(b"fish")
    assert not preparation(root).is_done()


def test_a_changed_setting_is_seen(root: Path) -> None:
    assert not preparation(root, split_seed=1).is_done()
    assert preparation(root).is_done()


def test_another_version_of_a_library_is_seen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unchanged, "version", lambda name: f"another {name}")
    assert not preparation(root).is_done()


def test_changed_code_is_seen(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "data"
    shutil.copytree(Path(unchanged.__file__).parent, room)
    monkeypatch.setattr(unchanged, "__file__", str(room / "unchanged.py"))
    assert preparation(root).is_done()
    (room / "split.py").write_text((room / "split.py").read_text() + "\n")
    assert not preparation(root).is_done()


def test_a_copy_and_touched_files_are_known_by_their_content(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "two"
    shutil.copytree(root, copy, symlinks=True)
    (copy / "photos/cat/1.png").touch()
    assert preparation(copy).is_done()
    assert preparation(copy).is_done(), "the note was renewed"
    (copy / "photos/cat/1.png").write_bytes(b"cat/9.png")
    assert not preparation(copy).is_done()


def test_a_file_that_changed_just_before_the_note_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparation(root).note()
    read: list[Path] = []
    content = unchanged._content
    monkeypatch.setattr(unchanged, "_content", lambda e: [read.append(e[0]), content(e)][1])
    assert preparation(root).is_done()
    assert root / "photos/cat/1.png" in read
    read.clear()
    settle(root)
    assert preparation(root).is_done()
    assert read == []


def test_a_file_that_changes_while_it_is_prepared_is_not_noted(root: Path) -> None:
    begun = preparation(root)
    (root / "photos/cat/1.png").write_bytes(b"cat/9.png")
    begun.note()
    assert not preparation(root).is_done()
