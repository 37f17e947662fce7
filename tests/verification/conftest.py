"""An overfitted run, and its verification: trained once for all tests of this room."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from foreign_script import write_script
from pipeline import cli
from pipeline.verification.patient import patient_of
from pipeline.verification.verify import verify
from small_mnist import write_prepared
from verification_cases import ROOT
from verified import (
    MORE_DATA,
    Verified,
    counted_reads,
    interrupted_after,
    run_sweep,
    working_in,
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the run ``wide``: a wide network on 200 images for long, which overfits."""
    root = tmp_path_factory.mktemp("wide")
    shutil.copytree(ROOT / "conf", root / "conf")
    (root / "mlruns").mkdir()
    write_prepared(root / "data" / "processed" / "mnist")
    size = ["model.width=128", "model.dropout=0.0", "data.fraction=0.1", "data.batch_size=32"]
    with working_in(root):
        cli.call("train", ["name=wide", *size, "trainer.max_epochs=12", "tracking=mlflow"])
    return root


@pytest.fixture(scope="session")
def verified(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Verified:
    root = tmp_path_factory.mktemp("verified") / "project"
    shutil.copytree(trained, root)
    output = io.StringIO()
    with working_in(root), counted_reads() as reads:
        patient = patient_of("wide", root=root)
        with pytest.raises(KeyboardInterrupt):
            verify(patient, MORE_DATA, root=root, run_sweep=interrupted_after(1))
        left = sorted(path.name for path in (root / "results/wide").iterdir())
        after_interrupt = (left, list(reads))
        reads.clear()
        with contextlib.redirect_stdout(output):
            found = verify(patient, MORE_DATA, root=root, run_sweep=run_sweep)
    assert found is not None
    return Verified(root, patient, found, after_interrupt, output.getvalue(), reads)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no project of ours."""
    monkeypatch.chdir(tmp_path)
    write_script(tmp_path)
    return tmp_path


@pytest.fixture
def overfitted(trained: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the project with the run ``wide``, as working directory."""
    root = tmp_path / "project"
    shutil.copytree(trained, root)
    with working_in(root):
        yield root


@pytest.fixture
def proved(verified: Verified, tmp_path: Path) -> Iterator[Path]:
    """A copy of the project with the verification of ``wide``, as working directory."""
    root = tmp_path / "project"
    shutil.copytree(verified.root, root)
    with working_in(root):
        yield root
