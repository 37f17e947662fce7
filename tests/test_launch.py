"""Hydra runs a task once: its folder, its callbacks, its flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.launch import run_once

TASK = """
from hydra.experimental.callback import Callback

calls = []


class Seen(Callback):
    def on_run_start(self, config, **kwargs):
        calls.append("run starts")

    def on_job_start(self, config, **kwargs):
        calls.append("job starts")

    def on_run_end(self, config, job_return, **kwargs):
        calls.append(f"run ends: {job_return.status.name}")


def task(run, *, root):
    return lambda output: 7.0


def failing(run, *, root):
    def work(output):
        raise ZeroDivisionError

    return work
"""


@pytest.fixture
def watched(project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The override that adds a callback, which the module ``seen`` holds beside two tasks."""
    (project / "seen.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.delitem(__import__("sys").modules, "seen", raising=False)
    return "+hydra.callbacks.seen._target_=seen.Seen"


def test_one_run_calls_hydras_callbacks(watched: str, project: Path) -> None:
    assert run_once([watched, "allow_targets=[seen]"], root=project, task="seen.task") == 7.0
    import seen

    assert seen.calls == ["run starts", "job starts", "run ends: COMPLETED"]


def test_callbacks_learn_of_a_run_that_failed(watched: str, project: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run_once([watched, "allow_targets=[seen]"], root=project, task="seen.failing")
    import seen

    assert seen.calls[-1] == "run ends: FAILED"
