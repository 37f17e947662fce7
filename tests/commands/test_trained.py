"""Which model a command is about."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands import trained


def test_a_hidden_folder_is_no_model(tmp_path: Path) -> None:
    """Editors, sync clients and a save that was killed leave such folders."""
    for name in ("mlp", ".ipynb_checkpoints", ".mlp.1234"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "history.csv").touch()
    assert trained.models(tmp_path) == trained.results(tmp_path) == ["mlp"]
