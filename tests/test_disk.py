"""Room and rights on the disk: told before work begins, and the right limit is named."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.reporting.test_sweep_report import planted
from torch import nn

from pipeline import cli, disk
from pipeline.commands import train_job as stage
from pipeline.config import compose
from pipeline.disk import check_disk
from pipeline.errors import DiskError
from pipeline.runs.needed_disk import check_room
from pipeline.training.checkpoints import LAST
from trained_models import TINY

SOURCE = Path(__file__).parents[1] / "src"
POWERLESS = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Let a test lower the limit on a file's size; it is raised again afterwards."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def limit_files(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def test_what_fits_is_no_error_and_leaves_nothing(tmp_path: Path) -> None:
    check_disk({tmp_path / "a" / "b": 1000}, largest=1000)
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_told_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 14_000_000})
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)
    check_disk({tmp_path / "a": 4_000_000}, largest=1)
    # both folders are on one disk, so their sizes add up
    with pytest.raises(DiskError, match=r"b: the disk has 14 MB free, but about 15 MB are needed"):
        check_disk({tmp_path / "a": 4_000_000, tmp_path / "b": 1_000_000}, largest=1)


@pytest.mark.usefixtures("file_limit")
def test_a_limit_on_files_is_told_with_the_command_that_raises_it(tmp_path: Path) -> None:
    limit_files(1_000_000)
    check_disk({tmp_path: 1}, largest=1_000_000)
    with pytest.raises(DiskError, match=r"1 MB at most .* about 1\.1 MB.*ulimit -f unlimited"):
        check_disk({tmp_path: 1}, largest=1_000_001)


def test_a_training_needs_room_for_its_largest_checkpoint(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The true checkpoint, model and results are no larger than what was foreseen."""
    foreseen: dict[Path, int] = {}

    def noted(places: dict[Path, int], *, largest: int) -> None:
        foreseen.update(places)
        foreseen[Path("largest")] = largest

    monkeypatch.setattr("pipeline.runs.needed_disk.check_disk", noted)
    config = compose([*TINY, "tracking=none", "model.width=2048"], root=project)
    stage.train(config, root=project, output=project)
    (checkpoint,) = (project / "checkpoints" / "finished").rglob("*.ckpt")
    size = checkpoint.stat().st_size
    assert 0.3 * foreseen[Path("largest")] < size <= foreseen[Path("largest")]
    for place in ("models", "results"):
        written = sum(p.stat().st_size for p in (project / place).rglob("*") if p.is_file())
        assert written <= foreseen[project / place]


def test_the_weights_count(tmp_path: Path) -> None:
    settings = compose(["tracking=none"], root=Path(__file__).parents[1]).settings
    network = nn.Linear(1, 1)
    network.weight = nn.Parameter(torch.empty(1).expand(10**9, 10**6))  # takes no memory
    with pytest.raises(DiskError, match="MB are needed"):
        check_room(network, settings, output=tmp_path, root=tmp_path)


@pytest.mark.usefixtures("file_limit")
def test_a_training_that_meets_a_limit_goes_on_from_its_checkpoint(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limit falls after the second epoch, as on a disk that somebody else fills."""
    whole = stage.train(
        compose([*TINY, "tracking=none", "name=whole"], root=project), root=project, output=project
    )
    line, epochs = stage.epoch_line, []

    def full_after_two(*given: object, **named: object) -> str:
        epochs.append(1)
        if len(epochs) == 2:
            limit_files(4096)
        return str(line(*given, **named))  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "epoch_line", full_after_two)
    monkeypatch.setattr(sys, "argv", ["pipeline", "train", *TINY, "tracking=none"])
    assert cli.main() == 1
    limit_files(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    told = capsys.readouterr().err
    assert "larger than a file may be here" in told and "the same command goes on" in told
    assert not (project / "models" / "mlp").exists()
    assert list((project / "checkpoints").glob(f"*/{LAST}"))
    monkeypatch.setattr(stage, "epoch_line", line)
    again = stage.train(
        compose([*TINY, "tracking=none"], root=project), root=project, output=project
    )
    assert again == whole
    assert not list(project.rglob("*.partial")) and not list(project.rglob("*.tmp"))


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
@pytest.mark.parametrize("place", ["results", "models", "mlruns", "checkpoints", "journal"])
def test_a_folder_that_cannot_be_written_is_named_before_the_first_step(
    place: str, project: Path
) -> None:
    folder = project / place
    folder.mkdir(exist_ok=True)
    folder.chmod(0o555)
    before = POWERLESS if os.geteuid() == 0 else []
    program = [sys.executable, "-m", "pipeline", "train", *TINY]
    done = subprocess.run(
        [*before, *program],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    folder.chmod(0o755)
    assert done.returncode == 1
    assert "epoch" not in done.stdout
    (message,) = done.stderr.splitlines()
    assert message.startswith(f"error: {folder}: cannot be written or read (Permission denied)")


COMMAND_OF_OWN = ["cmd=python x.py --l2 {l2} --seed {seed}", "metric=loss", "remedies={l2:[0,1]}"]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("results/mlp", ["evaluate", "name=mlp"]),
        ("results/mlp", ["verify", "name=mlp", "remedies=[dropout]"]),
        ("data/processed", ["preprocess", "data=image_folder", "data.path=photos"]),
        ("results/mlp", ["diagnose", "name=mlp", "probe=true"]),
        ("results", ["report"]),
        ("results", ["compare", "names=[mlp,other]"]),
        ("results", ["verify", *COMMAND_OF_OWN]),
        ("results", ["train", *TINY, "name=group", "seeds=2"]),
        ("checkpoints", ["train", "-m", *TINY, "seed=0,1"]),
        ("multirun", ["train", "-m", *TINY, "seed=0,1"]),
        ("journal", ["train", "-m", *TINY, "seed=0,1"]),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else None,
)
def test_other_commands_name_a_folder_before_their_work(
    place: str, words: list[str], tiny_model: Path
) -> None:
    (tiny_model / "photos").mkdir()  # without an image: reading it would be another error
    shutil.copytree(tiny_model / "results" / "mlp", tiny_model / "results" / "other")
    folder = tiny_model / place
    folder.mkdir(exist_ok=True)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    folder.chmod(0o555)
    prefix = POWERLESS if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "pipeline", *words],
        cwd=tiny_model,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    folder.chmod(0o755)
    assert done.returncode == 1
    assert "epoch" not in done.stdout and "pair" not in done.stdout
    named, _, rule = done.stderr.partition(": cannot be written or read (Permission denied)")
    assert named.startswith("error: ") and place in named and rule
    assert len(done.stderr.splitlines()) == 1
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
@pytest.mark.parametrize(
    ("words", "answer", "note"),
    [
        (["predict", "digit.png", "name=mlp", "output=json"], '"class"', "the picture"),
        (["diagnose", "name=mlp", "output=json"], '"verdict"', "the diagnosis"),
    ],
    ids=["predict", "diagnose"],
)
def test_an_answer_needs_no_right_to_write(
    words: list[str], answer: str, note: str, tiny_model: Path
) -> None:
    Image.new("L", (28, 28)).save(tiny_model / "digit.png")
    folder = tiny_model / "results" / "mlp"
    folder.chmod(0o555)
    prefix = POWERLESS if os.geteuid() == 0 else []
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "pipeline", *words],
        cwd=tiny_model,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    folder.chmod(0o755)
    assert (done.returncode, answer in done.stdout) == (0, True)
    assert done.stderr == f"note: {note} was not written: {folder}: Permission denied\n"


FILLED = {
    "evaluate": ["evaluate", "name=mlp"],
    "predict": ["predict", "digit.png", "name=mlp"],
    "diagnose": ["diagnose", "name=mlp"],
    "diagnose by probes": ["diagnose", "name=mlp", "probe=true"],
    "report": ["report"],
    "compare": ["compare", "names=[mlp,other]"],
    "sweep-report": ["sweep-report", "study=planted"],
    "verify": ["verify", "name=mlp", "remedies=[dropout]"],
    "verify a command": ["verify", *COMMAND_OF_OWN],
    "a sweep": ["train", "-m", *TINY, "seed=0,1"],
    "seeds": ["train", *TINY, "name=group", "seeds=2"],
    "train": ["train", *TINY, "name=new"],
    "reproduce": ["reproduce", "name=mlp"],
}


@pytest.mark.parametrize("words", FILLED.values(), ids=FILLED)
def test_a_full_disk_is_told_before_the_work(
    words: list[str],
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.new("L", (28, 28)).save(tiny_model / "digit.png")
    shutil.copytree(tiny_model / "results" / "mlp", tiny_model / "results" / "other")
    if "study=planted" in words:
        planted(tiny_model, n=8)
    kept = ("results", "models", "checkpoints", "multirun", "journal")
    before = {p for place in kept for p in (tiny_model / place).rglob("*") if p.is_file()}
    usage = type("Usage", (), {"free": 9_000_000})
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(sys, "argv", ["pipeline", *words])
    assert cli.main() == 1
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and "the disk has 9 MB free, but about" in told.err
    assert len(told.err.splitlines()) == 1
    assert "epoch" not in told.out
    after = {p for place in kept for p in (tiny_model / place).rglob("*") if p.is_file()}
    assert {p for p in after - before if p.suffix != ".lock"} == set()
