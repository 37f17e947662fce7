"""What ``conf/`` composes to is remembered, and only while nothing that decides it has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import cli, disk_cache
from pipeline.config import compose, compose_cache
from pipeline.config.compose import values_and_references
from pipeline.config.compose_cache import MOST_KEPT, write_cache
from pipeline.errors import PipelineError

WORDS = ["model=cnn", "model.dropout=0.25", "optimizer.learning_rate=1e-5", "name=own"]
COMPOSE = """
import json, sys
from pathlib import Path
from pipeline.config import compose
from pipeline.config.compose import values_and_references
from pipeline.config.compose_cache import write_cache
words = sys.argv[1:]
print(json.dumps([compose(words, root=Path.cwd()).values,
                  values_and_references(words, root=Path.cwd())]))
print("hydra" in sys.modules)
write_cache(Path.cwd())
"""


@pytest.fixture
def root(project: Path) -> Path:
    """A project that remembers what `WORDS` compose to."""
    values_and_references(WORDS, root=project)
    compose(WORDS, root=project)
    write_cache(project)
    return project


def memory(root: Path) -> Path:
    return root / "data" / ".composed.json"


def num_kept(root: Path) -> int:
    write_cache(root)
    return len(disk_cache.read(memory(root)))


def poison(root: Path) -> None:
    """Make every remembered answer wrong, so that its use is seen."""
    answers = {key: {"poisoned": True} for key in disk_cache.read(memory(root))}
    assert len(answers) == 2
    disk_cache.keep(memory(root), answers, most=MOST_KEPT)


def test_another_process_answers_the_same_without_hydra(root: Path) -> None:
    line = [sys.executable, "-c", COMPOSE, *WORDS]
    second = subprocess.run(line, cwd=root, capture_output=True, text=True, check=True).stdout
    memory(root).unlink()
    first = subprocess.run(line, cwd=root, capture_output=True, text=True, check=True).stdout
    # As text, so that 1 is not 1.0 and the order of the keys counts.
    assert first.splitlines()[0] == second.splitlines()[0]
    assert [first.splitlines()[1], second.splitlines()[1]] == ["True", "False"]
    assert json.loads(second.splitlines()[0])[0]["model"]["dropout"] == 0.25


def test_the_poison_of_these_tests_works(root: Path) -> None:
    poison(root)
    with pytest.raises(Exception, match="poisoned"):
        compose(WORDS, root=root)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def gone(path: Path) -> Path:
    path.unlink()
    return path


CHANGES: dict[str, Callable[[Path], object]] = {
    "a value": lambda r: append(r / "conf/model/cnn.yaml", "# another\n"),
    "a file that is not chosen": lambda r: append(r / "conf/model/mlp.yaml", "# another\n"),
    "a new file": lambda r: (r / "conf/data/more.yaml").write_text("name: more\n"),
    "a file that has gone": lambda r: (r / "conf/experiment/tutorial_cnn.yaml").unlink(),
    "another name": lambda r: (r / "conf/model/mlp.yaml").rename(r / "conf/model/nlp.yaml"),
    "a folder elsewhere": lambda r: (r / "conf/linked").symlink_to(r / "data"),
    "a search path": lambda r: append(r / "conf/debug/fast.yaml", "# hydra.searchpath\n"),
    "a bit": lambda r: memory(r).write_bytes(memory(r).read_bytes().replace(b"0.25", b"0.35")),
    "half a file": lambda r: memory(r).write_bytes(memory(r).read_bytes()[:500]),
    "a nested file": lambda r: memory(r).write_text("[" * 100_000),
    "a folder": lambda r: gone(memory(r)).mkdir(),
    "a pipe": lambda r: os.mkfifo(gone(memory(r))),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_after_a_change_it_is_composed_anew(root: Path, change: Callable[[Path], object]) -> None:
    if change not in list(CHANGES.values())[7:]:
        poison(root)
    change(root)
    assert compose(WORDS, root=root).values["model"]["dropout"] == 0.25


def test_other_libraries_code_plugins_and_words_are_composed_anew(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(root)
    plugins = tmp_path_factory.mktemp("site")
    (plugins / "hydra_plugins" / "mine").mkdir(parents=True)
    (plugins / "hydra_plugins" / "mine" / "__init__.py").touch()
    with monkeypatch.context() as changed:
        changed.setattr(disk_cache, "version", lambda name: "0")
        compose(WORDS, root=root)
    with monkeypatch.context() as changed:
        changed.setattr("pipeline.config.compose_cache.CODE", ("config",))
        compose(WORDS, root=root)
    with monkeypatch.context() as changed:
        changed.syspath_prepend(str(plugins))
        compose(WORDS, root=root)
    compose([*WORDS, "seed=1"], root=root)
    compose(WORDS[::-1], root=root)


NOT_KEPT = {
    "the clock": ["name='at_${now:%M%S}'"],
    "a password": ["tracking.uri=postgresql://me:secret@host/db"],
    "another folder": ["hydra.searchpath=[file:///tmp]"],
}


@pytest.mark.parametrize("words", NOT_KEPT.values(), ids=NOT_KEPT)
def test_words_that_may_mean_more_the_next_time_are_not_kept(
    project: Path, words: list[str]
) -> None:
    compose([*words, "hydra.run.dir='${now:%S}'"], root=project)
    assert num_kept(project) == 0
    compose(["hydra.run.dir='${now:%S}'"], root=project)
    assert num_kept(project) == 1, "the folder of a run is no value of it"


def test_a_choice_by_the_environment_is_made_each_time(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = project / "conf" / "config.yaml"
    top.write_text(top.read_text().replace("- model: mlp", '- model: "${oc.env:MINE}"'))
    for option in ("mlp", "cnn"):
        monkeypatch.setenv("MINE", option)
        assert compose([], root=project).values["model"]["name"] == option
    assert num_kept(project) == 0


def test_a_password_of_conf_is_hidden_each_time(project: Path) -> None:
    (project / "conf" / "experiment" / "store.yaml").write_text(
        "# @package _global_\ntracking:\n  uri: postgresql://me:secret@host/db\n"
    )
    compose(["experiment=store"], root=project)
    assert num_kept(project) == 0
    compose([], root=project)
    assert num_kept(project) == 1
    assert b"secret" not in memory(project).read_bytes()


def test_where_nothing_can_be_written_the_answer_is_the_same(root: Path) -> None:
    expected = repr(compose(WORDS, root=root).values)
    gone(memory(root)).mkdir()
    assert repr(compose(WORDS, root=root).values) == expected
    assert num_kept(root) == 0


def test_a_command_that_fails_keeps_nothing(project: Path) -> None:
    with pytest.raises(PipelineError, match="nothing of this name is trained"):
        cli.call("evaluate", ["name=mlp"])
    assert not memory(project).exists()
    compose_cache._unwritten.clear()


def test_a_command_leaves_another_project_as_it_is(project: Path, tmp_path: Path) -> None:
    compose(WORDS, root=project)
    write_cache(tmp_path / "another")
    write_cache(project)
    assert not memory(project).exists()


def test_no_folder_is_made_for_it(project: Path) -> None:
    (project / "data").rename(project / "elsewhere")
    compose(WORDS, root=project)
    write_cache(project)
    assert not (project / "data").exists()


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    for number in range(5):
        disk_cache.keep(file, {str(number): number}, most=3)
    assert disk_cache.read(file) == {"2": 2, "3": 3, "4": 4}


@pytest.mark.parametrize("answer", [{1: "key"}, {"a": (1, 2)}, {"a": Path("b")}], ids=str)
def test_an_answer_that_json_would_change_is_not_kept(tmp_path: Path, answer: object) -> None:
    disk_cache.keep(tmp_path / "kept.json", {"key": answer, "other": 1}, most=3)
    assert disk_cache.read(tmp_path / "kept.json") == {"other": 1}
