"""The command line: a mistake is one message, a nonzero exit code, and nothing on the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save

from pipeline import cli
from pipeline.commands.registry import REGISTRY, overview
from pipeline.config import compose
from pipeline.evaluation.model_description import ModelDescription, TrainingSummary
from pipeline.models.build import Architecture, build_network
from pipeline.models.saved import save_model
from sealed_records import fields_of, write_fields

SOURCE = Path(__file__).parents[2] / "src"


def _tree(root: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file and folder."""
    paths = sorted(root.rglob("*"))
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def _refused(
    line: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Run a command that must fail; return its exit code and the message, checked for its form."""
    before = _tree(root)
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split(" ")])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # main sets it; here it is put back
    code = cli.main()
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert told.err.count("error: ") == 1
    assert "Traceback" not in told.out + told.err
    assert all(text.startswith("  ") for text in told.err.splitlines()[1:]), "one message"
    assert _tree(root) == before
    return code, told.err


# id: (command line, exit code, words of the message)
BAD: dict[str, tuple[str, int, list[str]]] = {
    "unknown_command": ("trian", 2, ["trian: unknown command", "Did you mean train?"]),
    "unknown_flag": ("train --fast", 2, ["--fast: unknown flag", "pipeline train --help"]),
    "unknown_flag_of_a_sweep": ("train -m --fast", 2, ["--fast: unknown flag"]),
    "flag_of_hydra_that_would_leave_conf": (
        "train --config-name=x",
        2,
        ["--config-name=x: unknown flag"],
    ),
    "resolve_alone": ("train --resolve", 2, ["--resolve", "--cfg job --resolve"]),
    "group_set_to_null_where_hydra_answers": (
        "train --cfg job model=null",
        2,
        ["model=null: a group takes the name"],
    ),
    "many_evaluations": ("evaluate -m", 2, ["evaluate -m", "only train", "Leave -m out"]),
    "unknown_option_of_a_sweep": (
        "train -m model=mlpp",
        2,
        ["model=mlpp", "Did you mean model=mlp?"],
    ),
    "flag_between_settings": (
        "train seed=1 -m model.width",
        2,
        ["model.width: is no setting", "Write model.width=<value>"],
    ),
    "glob_of_nothing": ("train -m model=glob(zz*)", 2, ["model=glob(zz*)", "empty choice"]),
    "budget_without_a_sweep": ("train n_trials=5", 2, ["n_trials=5: belongs to a sweep", "Add -m"]),
    "space_without_a_sweep": ("train sweep=all", 2, ["sweep=all: belongs to a sweep", "Add -m"]),
    "storage_in_memory": (
        "train -m seed=1,2 storage=sqlite:///:memory:",
        2,
        ["kept in memory", "optuna.db"],
    ),
    "bad_value_in_a_sweep": (
        "train -m model=mlpp,cnn",
        2,
        ["model=mlpp", "Did you mean model=mlp?"],
    ),
    "nothing_to_sweep": (
        "train -m seed=1",
        2,
        ["nothing to sweep", "interval(1e-4,1e-1)", "leave -m out"],
    ),
    "empty_choice": (
        "train -m seed=choice()",
        2,
        ["seed=choice(): is an empty choice", "at least one value"],
    ),
    "choice_of_null": ("train -m model.dropout=choice(null,0.1)", 2, ["takes no null", "null,1,2"]),
    "log_over_zero": (
        "train -m optimizer.learning_rate=tag(log,interval(0,1)) n_trials=2",
        2,
        ["optimizer.learning_rate=", "must begin above 0", "1e-6"],
    ),
    "unknown_sampler": (
        "train -m seed=1,2 hydra/sweeper/sampler=tpee",
        2,
        [
            "hydra/sweeper/sampler=tpee: unknown",
            "Did you mean hydra/sweeper/sampler=tpe?",
            "nsgaii, ",
        ],
    ),
    "unknown_pruner": (
        "train -m seed=1,2 hydra/sweeper/pruner=medain",
        2,
        ["hydra/sweeper/pruner=medain: unknown", "Did you mean hydra/sweeper/pruner=median?"],
    ),
    "unknown_option_of_a_sampler": (
        "train -m seed=1,2 hydra.sweeper.sampler.sed=1",
        2,
        ["hydra.sweeper.sampler.sed: unknown key", "Did you mean hydra.sweeper.sampler.seed?"],
    ),
    "budget_in_words": (
        "train -m seed=1,2 n_trials=many",
        2,
        ["n_trials: Value 'many'", "Integer"],
    ),
    "no_workers": ("train -m seed=1,2 n_jobs=0", 2, ["n_jobs=0: must be at least 1"]),
    "no_direction": (
        "train -m seed=1,2 hydra.sweeper.direction=up",
        2,
        ["direction=up: must be minimize or"],
    ),
    "storage_without_a_server": (
        "train -m seed=1,2 storage=postgresql://127.0.0.1:9/x",
        1,
        ["storage=postgresql", "cannot be reached", "Start its server, or correct the URL"],
    ),
    "storage_without_a_folder": (
        "train -m seed=1,2 storage=sqlite:////proc/x/optuna.db",
        1,
        ["storage=sqlite:////proc/x/optuna.db", "Name a folder that can be written"],
    ),
    "sweep_unprepared": (
        "train -m data=kmnist seed=1,2",
        1,
        ["kmnist", "pipeline preprocess data=kmnist"],
    ),
    "two_modes": ("train --cfg job -m", 2, ["--cfg: does not go together with -m", "Leave one"]),
    "unknown_key": (
        "train model.widht=3",
        2,
        ["model.widht: unknown key", "Did you mean model.width?"],
    ),
    "not_a_setting": (
        "train model.width",
        2,
        ["model.width: is no setting", "Write model.width=<value>"],
    ),
    "dropout_2": ("train model.dropout=2", 2, ["model.dropout=2: must be less than 1"]),
    "rate_nan": ("train optimizer.learning_rate=nan", 2, ["must be a finite number"]),
    "name_upwards": ("train name=../../x", 2, ["name=../../x: must be"]),
    "without_effect": ("train model=gru activation=gelu", 2, ["activation", "no effect"]),
    "two_mistakes": ("train seed=-1 model.dropout=2", 2, ["seed=-1", "\n  seed=-1"]),
    "target_of_a_stranger": ("train model._target_=os.system", 2, ["outside the allowed packages"]),
    "target_that_is_no_network": (
        "train model._target_=torch.optim.SGD",
        2,
        ["must be a subclass of Module"],
    ),
    "network_too_deep": (
        "train model=cnn model.depth=9",
        2,
        ["model.depth: 9 is too deep", "model.depth=3"],
    ),
    "train_unprepared": ("train data=kmnist", 1, ["kmnist", "pipeline preprocess data=kmnist"]),
    "evaluate_nothing": ("evaluate name=absent", 1, ["absent", "pipeline train name=absent"]),
    "evaluate_upwards": ("evaluate name=../x", 2, ["name=../x: must be"]),
    "download_a_folder": (
        "download data=image_folder data.path=x",
        2,
        ["nothing to download", "pipeline preprocess data=image_folder data.path=x"],
    ),
    "download_a_table": (
        "download data=table data.path=x.csv data.target=kind",
        2,
        ["nothing to download", "pipeline preprocess data=table data.path=x.csv data.target=kind"],
    ),
    "preprocess_without_raw": ("preprocess data=kmnist", 1, ["kmnist", "pipeline download"]),
    "preprocess_no_folder": ("preprocess data=image_folder data.path=absent", 1, ["absent"]),
    "preprocess_without_path": (
        "preprocess data=image_folder",
        2,
        ["data.path: missing", "data.path="],
    ),
    "report_nothing": ("report", 1, ["no model has results yet", "pipeline train"]),
    "report_one_without_results": ("report models=[mlp]", 1, ["mlp", "pipeline evaluate name=mlp"]),
    "report_upwards": (
        "report models=[../x]",
        2,
        ["models=[../x]", "For example: pipeline report models=[mlp,cnn]"],
    ),
    "report_none": ("report models=[]", 2, ["models=[]", "models=[mlp,cnn]"]),
    "report_other_key": ("report name=mlp", 2, ["name=mlp", "Did you mean models=?"]),
    "compare_nothing": ("compare", 2, ["study: missing", "Give one of study=, names=, folder="]),
    "compare_unknown_metric": (
        "compare names=[a,b] metric=val/los",
        2,
        ["val/los", "Did you mean val/loss?"],
    ),
    "compare_untrained": ("compare names=[mlp,cnn]", 1, ["results/mlp", "pipeline train name=mlp"]),
    "compare_no_study": ("compare study=absent", 1, ["optuna.db", "Run a sweep first"]),
    "compare_no_multirun": (
        "compare conf",
        1,
        ["conf: holds no run of a multirun", "study=<name>"],
    ),
    "port_text": ("ui port=abc", 2, ["port=abc", "1024 to 65535", "Leave it out"]),
    "port_of_the_system": ("ui port=80", 2, ["port=80", "1024 to 65535"]),
    "port_superscript": ("ui port=5000²", 2, ["port=5000²", "1024 to 65535"]),
    "ui_other_key": ("ui prot=5000", 2, ["prot=5000", "port="]),
    "ui_without_a_record": ("ui", 1, ["mlflow.db", "no runs are recorded", "pipeline train"]),
}


@pytest.mark.parametrize(
    ("line", "code", "words"), [pytest.param(*case, id=i) for i, case in BAD.items()]
)
def test_a_bad_command_line_is_one_message_and_changes_nothing(
    line: str,
    code: int,
    words: list[str],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, message = _refused(line, project, monkeypatch, capsys)
    assert found == code
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize(
    "command",
    [
        "download",
        "preprocess",
        "train",
        "train -m seed=1,2",
        "evaluate",
        "compare study=x",
        "report",
        "ui",
    ],
)
def test_outside_of_a_project_the_way_there_is_told(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, message = _refused(command, tmp_path, monkeypatch, capsys)
    assert code == 2
    assert "No conf/config.yaml" in message
    assert "cd" in message


def test_training_without_prepared_data_tells_the_command_that_prepares(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project / "data")
    code, message = _refused("train", project, monkeypatch, capsys)
    assert code == 1
    assert "pipeline preprocess data=mnist" in message


# --- damaged models ---


@pytest.fixture
def model(project: Path) -> Path:
    """The folder of a small untrained model that `evaluate` accepts."""
    overrides = ["model.width=4", "model.depth=1"]
    settings, values = compose(overrides, root=project)
    architecture = Architecture(
        model=settings.model,
        activation=settings.activation,
        init=settings.init,
        input_shape=(1, 28, 28),
        num_classes=10,
    )
    description = ModelDescription(
        class_names=tuple("0123456789"),
        data_sha256="0",
        input_shape=(1, 28, 28),
        mean=(0.13,),
        settings=values,
        std=(0.31,),
        summary=TrainingSummary(
            parameters=1, epochs=1, kept_epoch=1, stopped_early=False,
            accelerator="cpu", precision="32", channels_last=False, num_threads=1,
        ),
    )  # fmt: skip
    save_model(project / "models" / "mlp", build_network(architecture, seed=0), description)
    return project / "models" / "mlp"


def _edit(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    write_fields(path, {**fields_of(path), **changes})


def _resign(folder: Path) -> None:
    """Put the digest of the present weights into the description."""
    import hashlib

    _edit(
        folder,
        weights_sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    )


def _settings_with(folder: Path, section: str, **changes: object) -> None:
    settings = fields_of(folder / "model.json")["settings"]
    _edit(folder, settings={**settings, section: {**settings[section], **changes}})


def _flip_a_byte(folder: Path) -> None:
    blob = bytearray((folder / "model.safetensors").read_bytes())
    blob[-1] ^= 1
    (folder / "model.safetensors").write_bytes(blob)


def _other_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(save({}))
    _resign(folder)


def _no_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    _resign(folder)


DAMAGES = {
    "description_missing": lambda f: (f / "model.json").unlink(),
    "weights_missing": lambda f: (f / "model.safetensors").unlink(),
    "description_cut": lambda f: (f / "model.json").write_text((f / "model.json").read_text()[:50]),
    "description_empty": lambda f: (f / "model.json").write_bytes(b""),
    "description_not_text": lambda f: (f / "model.json").write_bytes(b"\xff\xfe\x00"),
    "description_a_list": lambda f: (f / "model.json").write_text("[]"),
    "description_without_keys": lambda f: (f / "model.json").write_text("{}"),
    "settings_text": lambda f: _edit(f, settings="mlp"),
    "settings_null": lambda f: _edit(f, settings=None),
    "shape_text": lambda f: _edit(f, input_shape="1x28x28"),
    "shape_null": lambda f: _edit(f, input_shape=None),
    "other_width": lambda f: _settings_with(f, "model", width=5),
    "bad_width": lambda f: _settings_with(f, "model", width=-5),
    "stranger_as_model": lambda f: _settings_with(f, "model", _target_="os.system"),
    "digest_null": lambda f: _edit(f, weights_sha256=None),
    "weights_flipped": _flip_a_byte,
    "weights_cut": lambda f: (f / "model.safetensors").write_bytes(b""),
    "weights_of_another_network": _other_weights,
    "weights_not_safetensors": _no_safetensors,
}


@pytest.mark.parametrize(
    "damage", [pytest.param(damage, id=name) for name, damage in DAMAGES.items()]
)
def test_a_damaged_model_is_one_message(
    damage: object, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(damage)
    damage(model)
    code, message = _refused("evaluate", model.parents[1], monkeypatch, capsys)
    assert code == 1
    assert str(model) in message
    assert "pipeline train name=mlp" in message


def test_the_undamaged_model_is_evaluated(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = (
        "evaluate tracking=none evaluation.corruptions=[] evaluation.other_sets=[] "
        "evaluation.num_resamples=100"
    )
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split(" ")])
    assert cli.main() == 0
    assert "test accuracy" in capsys.readouterr().out
    assert (model.parents[1] / "results" / "mlp" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        pytest.param("results/mlp/metrics.json", "{", id="metrics_cut"),
        pytest.param("models/mlp/model.json", "{", id="description_cut"),
        pytest.param("models/mlp/model.json", "{}", id="description_without_keys"),
        pytest.param("models/mlp/model.json", "[]", id="description_a_list"),
    ],
)
def test_a_report_on_damaged_files_is_one_message(
    file: str,
    content: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = model.parents[1]
    (root / "results" / "mlp").mkdir(parents=True)
    (root / "results" / "mlp" / "metrics.json").write_text("{}")
    (root / file).write_text(content)
    code, message = _refused("report", root, monkeypatch, capsys)
    assert code == 1
    assert "name=mlp" in message


# --- real processes ---


def _process(code: list[str], root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, *code]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def test_the_module_and_the_command_give_the_same_help(tmp_path: Path) -> None:
    as_module = _process(["-m", "pipeline", "--help"], tmp_path)
    script = (
        "import sys; from pipeline.cli import main; "
        "sys.argv = ['pipeline', '--help']; sys.exit(main())"
    )
    as_command = _process(["-c", script], tmp_path)
    assert as_module.returncode == as_command.returncode == 0
    assert as_module.stdout == as_command.stdout == overview()
    assert as_module.stderr == as_command.stderr == ""


def test_help_names_every_command_and_group() -> None:
    groups = {p.name for p in (SOURCE.parent / "conf").iterdir() if p.is_dir()} - {
        "hydra"
    }  # launchers
    words = set(overview().split())
    assert set(REGISTRY) | groups <= words


def test_a_mistake_ends_a_process_with_its_code(project: Path) -> None:
    before = _tree(project)
    done = _process(["-m", "pipeline", "train", "model.dropout=2"], project)
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr == "error: model.dropout=2: must be less than 1 (conf/ has model.dropout=0.2)\n"
    )
    assert _tree(project) == before
