"""Files of tensors have the library's bytes, and lie outside of memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file, save, save_file

from pipeline.data import tensor_files
from pipeline.data.prepare import prepare_dataset, take
from pipeline.data.tensor_files import mapped, room, write
from pipeline.records import ImageSet

GENERATOR = np.random.default_rng(0)
ARRAYS = {
    "images": GENERATOR.integers(0, 256, (5, 3, 4, 4), dtype=np.uint8),
    "labels": np.arange(5),
    "numbers": GENERATOR.normal(size=(5, 1, 1, 7)).astype(np.float32),
}


@pytest.mark.parametrize("names", [("images", "labels"), ("numbers", "labels"), tuple(ARRAYS)])
def test_a_written_file_has_the_bytes_of_the_library(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_files, "_WRITTEN", 100)  # several pieces
    arrays = {name: ARRAYS[name] for name in names}
    write(tmp_path / "ours", arrays)
    assert (tmp_path / "ours").read_bytes() == save(arrays)


def test_rows_in_any_order_of_memory_are_written_in_theirs(tmp_path: Path) -> None:
    turned = ARRAYS["images"].transpose(0, 2, 3, 1)[::2]
    write(tmp_path / "ours", {"images": turned})
    assert np.array_equal(load_file(tmp_path / "ours")["images"], turned)


def test_a_file_of_the_library_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    save_file(ARRAYS, path, metadata={"made": "elsewhere"})
    found = mapped(path)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
    with pytest.raises(ValueError, match="read-only"):
        found["images"][:] = 0
    path.unlink()
    assert np.array_equal(found["labels"], ARRAYS["labels"])


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:7], lambda b: b[:8] + b"[" + b[9:], lambda b: b""]
)
def test_a_damaged_file_is_refused(damage: object, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(damage(save(ARRAYS)))  # type: ignore[operator]
    with pytest.raises((OSError, ValueError, SafetensorError)):
        mapped(tmp_path / "x")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write(tmp_path / "x", {"labels": ARRAYS["labels"]})
    before = (tmp_path / "x").read_bytes()
    with pytest.raises(KeyError):
        write(tmp_path / "x", {"labels": ARRAYS["labels"].astype(np.float64)})
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == before


def test_large_images_are_prepared_outside_of_memory_with_equal_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = GENERATOR.integers(0, 256, (60, 1, 4, 4), dtype=np.uint8)
    given = ImageSet(images=images, labels=np.arange(60) % 2)

    def prepared(name: str) -> dict[str, bytes]:
        folder = tmp_path / name / "own"
        prepare_dataset(
            take(given, np.arange(50)),
            take(given, np.arange(50, 60)),
            name="own",
            class_names=("a", "b"),
            validation_size=10,
            split_seed=0,
            directory=folder,
        )
        assert [path.name for path in folder.parent.iterdir()] == ["own"]
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    within = prepared("within")
    monkeypatch.setattr(tensor_files, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr("pipeline.data.prepare._CHUNK", 7)
    assert prepared("outside") == within
    assert isinstance(room((3, 2), directory=tmp_path), np.ndarray)


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from pipeline.data.tensor_files import mapped, room, write
root = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (2**28, 2**28))  # bytes of a process, less mapped files
shape = (400, 2**20)
if sys.argv[2] == "in memory":
    images = np.zeros(shape, np.uint8)
    images[:] = 1
else:
    images = room(shape, directory=root)
    images[-1] = 7
    write(root / "file", {"images": images, "labels": np.arange(400)})
    print(int(mapped(root / "file")["images"][-1].max()))
"""


def test_four_hundred_megabytes_fit_where_memory_is_less(tmp_path: Path) -> None:
    """The same in memory fails, so the limit of the process is one."""
    done, failed = (
        subprocess.run(
            [sys.executable, "-c", MEMORY, str(tmp_path), how],
            capture_output=True,
            text=True,
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        for how in ("outside", "in memory")
    )
    assert done.stdout == "7\n", done.stderr
    assert failed.returncode != 0 and "MemoryError" in failed.stderr
