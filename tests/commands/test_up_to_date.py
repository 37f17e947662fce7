"""`download` and `preprocess` with nothing to do take the short way, and only then."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pipeline import cli, disk_cache
from pipeline.commands import up_to_date
from pipeline.commands.up_to_date import is_up_to_date
from pipeline.data import manifest, unchanged
from pipeline.data.idx import format_idx

WORDS = ["data=image_folder", "data.path=photos", "data.name=own", "data.validation_size=2"]
LIBRARIES = {"hydra", "omegaconf", "pydantic", "numpy", "yaml"}
RUN_AND_NAME_THE_LIBRARIES = """
import sys
from pipeline.cli import main
code = main()
print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def photos(project: Path) -> Path:
    """A project with a prepared folder of sixteen small pictures."""
    from PIL import Image

    for shade in range(8):
        for label, size in (("dark", (8, 8)), ("light", (9, 9))):
            file = project / "photos" / label / f"{shade}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", size, 30 * shade).save(file)
    assert cli.call("preprocess", WORDS) == 0
    return project


@pytest.fixture
def raw(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a downloaded MNIST of a few bytes."""
    content = format_idx(np.zeros((3, 28, 28), np.uint8))
    official = manifest.DATASETS["mnist"]
    names = ("train_images", "train_labels", "test_images", "test_labels")
    files = {
        name: dataclasses.replace(
            getattr(official, name), shape=(3, 28, 28), sha256=hashlib.sha256(content).hexdigest()
        )
        for name in names
    }
    small = dataclasses.replace(official, **cast(Any, files))
    monkeypatch.setitem(cast(Any, manifest.DATASETS), "mnist", small)
    folder = project / "data" / "raw" / "mnist"
    folder.mkdir(parents=True)
    for file in small.files:
        (folder / file.name).write_bytes(content)
    assert cli.call("download", []) == 0
    return folder


def test_a_second_preprocess_says_the_same_without_libraries(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    # Files that have just been written are read again, and noted anew once they have settled.
    time.sleep(1.1 * unchanged.SETTLED_NS / 1e9)
    assert cli.call("preprocess", [*WORDS, "seed=1"]) == 0  # other words: the long way
    long_way = capsys.readouterr().out
    assert long_way.startswith("nothing to do: data/processed/own/")

    line = [sys.executable, "-c", RUN_AND_NAME_THE_LIBRARIES, "preprocess", *WORDS]
    done = subprocess.run(line, cwd=photos, capture_output=True, text=True, check=True)
    assert done.stdout == long_way
    assert LIBRARIES & set(done.stderr.splitlines()[-1].split()) == set()


def test_a_second_download_says_the_same(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cli.call("download", ["seed=1"]) == 0
    long_way = capsys.readouterr().out
    assert is_up_to_date("download", [], root=raw.parents[2])
    assert capsys.readouterr().out == long_way


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a value in conf/": lambda r: append(r / "conf/data/image_folder.yaml", "# another\n"),
    "a new file in conf/": lambda r: (r / "conf/data/more.yaml").write_text("name: more\n"),
    "a folder elsewhere in conf/": lambda r: (r / "conf/linked").symlink_to(r / "photos"),
    "a pipe in conf/": lambda r: os.mkfifo(r / "conf/data/pipe.yaml"),
    "a search path": lambda r: append(r / "conf/debug/fast.yaml", "# hydra.searchpath\n"),
    "an image": lambda r: (r / "photos/dark/0.png").write_bytes(b"another"),
    "the prepared data": lambda r: append(r / "data/processed/own/card.json", " "),
    "a damaged note": lambda r: (r / "data/.settled.json").write_text("[3]"),
    "a nested note": lambda r: (r / "data/.settled.json").write_text("[" * 100_000),
    "no note": lambda r: (r / "data/.settled.json").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_takes_the_long_way(
    photos: Path, change: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_up_to_date("preprocess", WORDS, root=photos)
    capsys.readouterr()
    change(photos)
    assert not is_up_to_date("preprocess", WORDS, root=photos)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "words",
    [WORDS[:-1], WORDS[::-1], [*WORDS, "--help"], ["data=mnist"]],
    ids=["fewer", "another order", "help", "others"],
)
def test_other_words_take_the_long_way(photos: Path, words: list[str]) -> None:
    assert not is_up_to_date("preprocess", words, root=photos)


def test_another_library_or_other_code_takes_the_long_way(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as changed:
        changed.setattr(disk_cache, "version", lambda name: "0")
        assert not is_up_to_date("preprocess", WORDS, root=photos)
    with monkeypatch.context() as changed:
        changed.setattr(disk_cache, "_code", lambda names: [Path(__file__)])
        assert not is_up_to_date("preprocess", WORDS, root=photos)
    assert is_up_to_date("preprocess", WORDS, root=photos)


@pytest.mark.parametrize("place", ["~/photos", "photos_${now:%Y}"])
def test_settings_that_words_do_not_decide_are_not_noted(
    photos: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("HOME", str(photos))
    (photos / f"photos_{time.strftime('%Y')}").symlink_to("photos")
    words = [*WORDS[:2], f"data.path='{place}'", "data.name=third"]
    for _ in range(2):
        assert cli.call("preprocess", words) == 0
        assert not is_up_to_date("preprocess", words, root=photos)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "train-labels-idx1-ubyte").write_bytes(b"others"),
        lambda folder: (folder / "train-labels-idx1-ubyte").unlink(),
        lambda folder: (folder / ".train-labels-idx1-ubyte.part").write_bytes(b""),
    ],
    ids=["wrong", "missing", "left over"],
)
def test_raw_files_that_are_not_official_take_the_long_way(
    raw: Path, change: Callable[[Path], object]
) -> None:
    root = raw.parents[2]
    assert is_up_to_date("download", [], root=root)
    change(raw)
    assert not is_up_to_date("download", [], root=root)


def test_only_the_newest_notes_are_kept(raw: Path) -> None:
    root = raw.parents[2]
    for number in range(up_to_date.MOST_NOTES + 5):
        up_to_date.note("download", [f"seed={number}"], {"data": "mnist"}, root=root)
    assert len(disk_cache.read(root / "data" / ".settled.json")) == up_to_date.MOST_NOTES
    assert not is_up_to_date("download", ["seed=0"], root=root)
    assert is_up_to_date("download", [f"seed={up_to_date.MOST_NOTES}"], root=root)
