"""Damaged files: cut at each percent and with flipped bits, each is noticed before it is used.

``PIPELINE_DAMAGE_FLIPS=100`` flips so many bits of each file instead of a few.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data import manifest
from pipeline.data.idx import format_idx
from pipeline.data.manifest import RawFile
from pipeline.data.official import SUMS_NAME
from pipeline.data.raw import accept, check_sums, read_raw
from pipeline.data.store import load_card, load_prepared
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.record import Diagnosis
from pipeline.errors import DataError, PipelineError
from pipeline.evaluation.metrics_files import (
    DETAILS_FILE,
    METRICS_FILE,
    read_metrics,
    write_metrics,
)
from pipeline.evaluation.results import Metrics
from pipeline.files import read_record, write_record
from pipeline.models.saved import load_familiarity, load_model
from pipeline.reporting.page_origin import check_page, signed, sources_of
from pipeline.runs.files import RunFiles
from pipeline.runs.history import read_run
from pipeline.training.checkpoints import LAST, NOTE, ResumeFolder, WholeFileIO

FLIPS = int(os.environ.get("PIPELINE_DAMAGE_FLIPS", "12"))
RAW = ("train_images", "train_labels", "test_images", "test_labels")
PREPARED = "data/processed/mnist"


def write_raw(root: Path) -> dict[str, RawFile]:
    """Small official files of a data set ``fashion_mnist``; return them by their role."""
    generator = np.random.default_rng(0)
    dataset, files = manifest.DATASETS["fashion_mnist"], {}
    for role in RAW:
        shape = (12, 28, 28) if role.endswith("images") else (12,)
        content = format_idx(generator.integers(0, 10, shape, dtype=np.uint8))
        official: RawFile = getattr(dataset, role)
        file = dataclasses.replace(
            official, shape=shape, sha256=hashlib.sha256(content).hexdigest()
        )
        accept(file, content, directory=root / "data/raw/fashion_mnist")
        files[role] = file
    return files


def write_checkpoint(root: Path) -> None:
    """The checkpoint and the note of a run that was killed."""
    folder = ResumeFolder(root / "checkpoints", "key")
    state = {"weights": torch.arange(50.0), "epoch": 3, "best": float("inf")}
    WholeFileIO().save_checkpoint(state, folder.folder / LAST)
    folder.write_note({"run_id": "0123456789abcdef0123456789abcdef"})
    folder.release()


@pytest.fixture(scope="module")
def whole(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with every kind of file, none of them damaged."""
    root = tmp_path_factory.mktemp("whole") / "project"
    shutil.copytree(trained_once, root)
    write_raw(root)
    write_checkpoint(root)
    numbers = {"test/accuracy": 0.25, "corruption/x": 1e-9}
    write_metrics(root / "results/mlp", numbers, weights_sha256="")
    write_record(root / "results/mlp/diagnosis.json", diagnose(read_run("mlp", root=root).history))
    page = f"<dl><dt>mlp</dt><dd>{sources_of(['mlp'], root=root)['mlp']}</dd></dl>\n"
    (root / "results/report.html").write_text(signed(page))
    return root


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """The manifest with the small files of `write_raw` as the official ones."""
    files = {}
    for role in RAW:
        file: RawFile = getattr(manifest.DATASETS["fashion_mnist"], role)
        content = (whole / "data/raw/fashion_mnist" / file.name).read_bytes()
        shape = (12, 28, 28) if role.endswith("images") else (12,)
        digest = hashlib.sha256(content).hexdigest()
        files[role] = dataclasses.replace(file, shape=shape, sha256=digest)
    small = dataclasses.replace(manifest.DATASETS["fashion_mnist"], **files)
    monkeypatch.setitem(manifest.DATASETS, "fashion_mnist", small)


def raw(root: Path) -> None:
    read_raw("fashion_mnist", root / "data/raw/fashion_mnist")


def sums(root: Path) -> None:
    check_sums(manifest.DATASETS["fashion_mnist"], root / "data/raw/fashion_mnist")


def checkpoint(root: Path) -> None:
    folder = ResumeFolder(root / "checkpoints", "key")
    try:
        if folder.last is None or not folder.read_note():
            raise DataError("the run begins anew")
        WholeFileIO().load_checkpoint(folder.last)
    finally:
        folder.release()


def metrics(root: Path) -> None:
    read_metrics(root / "results/mlp")


def record(name: str, kind: type) -> Callable[[Path], object]:
    return lambda root: read_record(root / "results/mlp" / name, kind, way_out="")


# file: the function that uses it
FILES: dict[str, Callable[[Path], object]] = {
    **{f"data/raw/fashion_mnist/{part}-ubyte": raw for part in (
        "train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1",
    )},
    f"data/raw/fashion_mnist/{SUMS_NAME}": sums,
    **{f"{PREPARED}/{split}.safetensors": lambda root: load_prepared(root / PREPARED)
       for split in ("train", "val", "test")},
    f"{PREPARED}/card.json": lambda root: load_card(root / PREPARED),
    "models/mlp/model.safetensors": lambda root: load_model(root / "models/mlp"),
    "models/mlp/familiarity.safetensors": lambda root: load_familiarity(root / "models/mlp"),
    "models/mlp/model.json": lambda root: load_model(root / "models/mlp"),
    "results/mlp/history.csv": lambda root: read_run("mlp", root=root),
    "results/mlp/signals.safetensors": lambda root: read_run("mlp", root=root),
    "results/mlp/config.json": lambda root: RunFiles(root, "mlp").read_config(),
    **{f"results/mlp/{name}": metrics for name in (METRICS_FILE, DETAILS_FILE)},
    "results/mlp/diagnosis.json": record("diagnosis.json", Diagnosis),
    f"checkpoints/key/{LAST}": checkpoint,
    f"checkpoints/key/{NOTE}": checkpoint,
    "results/report.html": lambda root: check_page(root / "results/report.html", root=root),
}  # fmt: skip


def noticed(use: Callable[[Path], object], root: Path) -> bool:
    try:
        use(root)
    except PipelineError:
        return True
    return False


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("name", FILES)
def test_damage_is_noticed_before_a_file_is_used(
    name: str, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, use = whole / name, FILES[name]
    content, dice = path.read_bytes(), random.Random(name)
    others = {p: p.read_bytes() for p in path.parent.iterdir() if p.is_file()}
    cuts = sorted({len(content) * percent // 100 for percent in range(100)})
    places = [(dice.randrange(len(content)), 1 << dice.randrange(8)) for _ in range(FLIPS)]
    flipped = [content[:i] + bytes([content[i] ^ bit]) + content[i + 1 :] for i, bit in places]
    try:
        assert not noticed(use, whole), "a whole file is no damage"
        missed = []
        for number, damaged in enumerate([*(content[:cut] for cut in cuts), *flipped]):
            path.parent.mkdir(exist_ok=True)
            for other, kept in others.items():  # a damaged checkpoint is deleted
                other.write_bytes(kept)
            path.write_bytes(damaged)
            if not noticed(use, whole):
                missed.append(number)
        assert missed == []
    finally:
        path.parent.mkdir(exist_ok=True)
        for other, kept in others.items():
            other.write_bytes(kept)
    capsys.readouterr()


def test_a_run_with_a_damaged_checkpoint_says_that_it_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path)
    path = tmp_path / "checkpoints" / "key" / LAST
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    folder = ResumeFolder(tmp_path / "checkpoints", "key")
    folder.release()
    assert (folder.last, folder.read_note()) == (None, {})
    told = capsys.readouterr().err
    assert "is not as it was written" in told and "begins anew" in told
    assert "Delete" not in told


def test_a_record_of_an_earlier_version_has_no_hash_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"test/accuracy": 0.25}')
    assert read_record(path, Metrics, way_out="").root == {"test/accuracy": 0.25}


def test_a_record_with_a_wrong_hash_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_record(path, Metrics({"a": 1.0}))
    path.write_text(path.read_text().replace("1.0", "2.0"))
    with pytest.raises(DataError, match=r"not what was written.* Evaluate again"):
        read_record(path, Metrics, way_out="Evaluate again")
    path.write_text(path.read_text().replace("\n  ", " "))
    with pytest.raises(DataError, match="changed after it was written"):
        read_record(path, Metrics, way_out="")


def test_an_empty_record_has_a_hash_too(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_record(path, Metrics({}))
    assert "file_sha256" in path.read_text()
    assert read_record(path, Metrics, way_out="").root == {}
