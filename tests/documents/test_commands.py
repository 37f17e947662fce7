"""Every command in a document's ``sh`` block runs here, shortened, or in a test that is named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from document import DOCUMENTS, ROOT, recipe, shell_commands
from shortened import run

# Documents whose commands run here, in their order, in one small project.
RUN_HERE = ("README.md", "docs/histories.md", "docs/signals.md", "docs/sweeps.md")
# Beginning of a command → the test that runs it.
ELSEWHERE = {
    "make repro": "test_models_have_learned",
    "make ui": "test_runs_are_sorted_by_their_verdict",
    "pipeline verify cmd=": "test_a_true_improvement_is_accepted_with_both_controls",
    "pipeline verify": "test_a_remedy_is_proved",
    "pipeline heal": "test_a_run_that_diverged_is_healed",
    "pipeline diagnose name=mlp probe=true": "test_probes_write_a_record_of_every_fork",
    "pipeline diagnose history=training.csv fail_on=": "test_the_command_exits_with_three",
    "pipeline diagnose name=mlp fail_on=": "test_a_run_of_ones_own_fails_by_its_name",
    "pipeline export name=cnn format=onnx": "test_an_onnx_file_answers_as_the_model",
    "pipeline export name=cnn format=pt2": "test_a_file_that_answers_otherwise_is_not_kept",
    "pipeline register": "test_a_better_model_takes_the_alias_beyond_noise",
    "pipeline preprocess data=table": "test_every_command_works_on_a_table",
    "pipeline train data=table": "test_every_command_works_on_a_table",
    "pipeline evaluate name=wine": "test_every_command_works_on_a_table",
    "pipeline predict new.csv": "test_every_command_works_on_a_table",
    "pipeline train data=image_folder": "test_every_command_works_on_coloured_pictures",
    "pipeline train model=mlp initial_weights=": (
        "test_the_message_holds_the_command_that_goes_on_from_finite_weights"
    ),
    "pipeline watch": "test_a_growing_log_gets_one_line_and_a_verdict_at_the_end",
    "pipeline diagnose run=": "test_a_run_of_another_program_is_read_from_its_mlflow_store",
}
# Beginnings of commands that no test runs: they set an environment up, belong to other programs, or
# are benchmarks, which take hours.
NOT_RUN = (
    "make test",
    "source .venv/bin/activate",
    "pip install",
    "optuna-dashboard",
    "python benchmarks/",
    "for i in 1 2; do python benchmarks/",
)


def begins(words: list[str], beginning: str) -> bool:
    return " ".join(words).startswith(beginning)


def here(document: str) -> list[list[str]]:
    """The commands of a document that neither another test nor the README's own test runs."""
    others = (*ELSEWHERE, *NOT_RUN)
    commands = shell_commands((ROOT / document).read_text())
    known = here("README.md") if document != "README.md" else []
    known = [*known, *shell_commands(recipe())]  # tests/commands/test_recipe.py
    commands = [words for words in commands if words not in known]
    return [words for words in commands if not any(begins(words, other) for other in others)]


@pytest.fixture
def files(project: Path) -> Path:
    """The pictures and curves that the documents' commands read, in a small project."""
    from torch.utils.tensorboard import SummaryWriter

    fixtures = ROOT / "tests" / "fixtures" / "keras"
    shutil.copy(fixtures / "tutorial_cnn.csv", project / "training.csv")
    shutil.copy(fixtures / "tutorial_cnn.json", project / "history.json")
    (project / "docs" / "pictures").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "pictures" / "three.png", project / "docs" / "pictures")
    with SummaryWriter(project / "lightning_logs" / "version_0") as events:
        for epoch, loss in enumerate((1.0, 0.6, 0.4, 0.3)):
            events.add_scalar("train_loss_epoch", loss, epoch)
            events.add_scalar("val_loss", loss + 0.1, epoch)
    return project


@pytest.mark.parametrize("document", RUN_HERE)
def test_the_commands_of_a_document_run(
    document: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands = here(document)
    assert commands
    for words in commands:
        run(words, monkeypatch, capsys)


def test_no_document_has_a_command_that_nothing_runs() -> None:
    # Some documents have tests of their own.
    own = {*RUN_HERE, "docs/learn.md", "docs/dvc.md", "docs/own_code.md", "docs/serve.md"}
    left = [words for document in DOCUMENTS if document not in own for words in here(document)]
    assert left == []


def test_every_named_test_exists() -> None:
    source = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in ELSEWHERE.values() if f"def {name}(" not in source] == []


def test_a_benchmark_knows_the_options_that_a_document_gives_it() -> None:
    texts = [(ROOT / document).read_text() for document in DOCUMENTS]
    calls = [call for text in texts for call in re.findall(r"python (benchmarks/[^`\n]*)", text)]
    assert len(calls) > 10
    for call in calls:
        script, *_ = call.split()
        source = (ROOT / script).read_text()
        assert [f for f in re.findall(r"--[a-z-]+", call) if f'"{f}"' not in source] == [], call
