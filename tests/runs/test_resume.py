"""The checkpoints of a run after its end: deleted, or left for the process that resumes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import RunConfig, compose
from pipeline.errors import TrainingError
from pipeline.runs.alone import Alone
from pipeline.runs.resume import resumable
from small_mnist import load_prepared

ROOT = Path(__file__).parents[2]
CARD = load_prepared(num_train=200).card


class TakenOver(Alone):
    """A run that another worker continues."""

    continues_elsewhere = True


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return compose([], root=ROOT)


def note_after(
    root: Path, config: RunConfig, role: Alone, error: type[BaseException] | None
) -> dict[str, str]:
    """Hold the folder, write a note, end in this way; return the note that the next run finds."""
    try:
        with resumable(config, CARD, role=role, root=root) as folder:
            folder.write_note({"run_id": "a"})
            if error:
                raise error
    except BaseException as raised:
        assert error is not None and isinstance(raised, error)
    with resumable(config, CARD, role=Alone(), root=root) as folder:
        return folder.read_note()


@pytest.mark.parametrize("error", [None, TrainingError], ids=["finished", "diverged"])
def test_a_run_with_a_result_leaves_no_checkpoints(
    tmp_path: Path, config: RunConfig, error: type[BaseException] | None
) -> None:
    assert note_after(tmp_path, config, Alone(), error) == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, RuntimeError])
def test_an_interrupted_run_leaves_its_checkpoints(
    tmp_path: Path, config: RunConfig, error: type[BaseException]
) -> None:
    assert note_after(tmp_path, config, Alone(), error) == {"run_id": "a"}


def test_a_run_that_another_worker_continues_leaves_its_checkpoints(
    tmp_path: Path, config: RunConfig
) -> None:
    assert note_after(tmp_path, config, TakenOver(), None) == {"run_id": "a"}


def test_two_processes_with_one_configuration_hold_two_folders(
    tmp_path: Path, config: RunConfig
) -> None:
    with (
        resumable(config, CARD, role=Alone(), root=tmp_path) as first,
        resumable(config, CARD, role=Alone(), root=tmp_path) as second,
    ):
        assert first.folder != second.folder
