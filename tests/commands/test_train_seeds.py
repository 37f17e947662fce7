"""One setting with several seeds: a model and a run for each, and one record of them all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from statistics import stdev
from typing import Any

import mlflow
import pytest
from scipy import stats

from conftest import make_project
from pipeline import cli
from pipeline.commands import train_job
from pipeline.config import RunConfig
from pipeline.errors import ConfigError, DataError, TrainingError
from pipeline.evaluation.metrics_files import read_metrics
from pipeline.evaluation.over_seeds import SeedsRecord, read_seeds
from sealed_records import fields_of, write_fields
from trained_models import ON_ONE_THREAD

KILLS = Path(__file__).parents[2] / "benchmarks" / "killed_seeds.py"
SETTING = (
    "name=tiny",
    *ON_ONE_THREAD,
    *("signals=none", "model.width=8", "model.depth=1", "data.fraction=0.2"),
    *("trainer.sample_size=100", "trainer.max_epochs=2"),
    *("evaluation.num_resamples=100", "evaluation.corruptions=[]"),
)
SEEDS = (3, 7, 11)
LINE = ["seeds=[3,7,11]", *SETTING]


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has trained the group once, with tracking."""
    root = make_project(tmp_path_factory.mktemp("group"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert cli.call("train", LINE) == 0
    return root


@pytest.fixture
def group(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of that project, to change."""
    root = tmp_path / "copy"
    shutil.copytree(once, root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield root


def record_of(root: Path) -> SeedsRecord:
    record = read_seeds(root / "results" / "tiny")
    assert record is not None
    return record


def metrics_of(root: Path, seed: int) -> dict[str, float]:
    return read_metrics(root / "results" / f"tiny_seed{seed}")


def runs_of(root: Path) -> list[Any]:
    client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def parent_of(root: Path) -> Any:
    (parent,) = [run for run in runs_of(root) if run.info.run_name == "tiny, 3 seeds"]
    return parent


def test_every_number_of_the_metrics_files_has_its_mean_to_the_last_digit(once: Path) -> None:
    files = [metrics_of(once, seed) for seed in SEEDS]
    record = record_of(once)
    assert len({metrics["test/accuracy"] for metrics in files}) > 1
    for key, summary in record.test.items():
        values = [metrics[key] for metrics in files]
        assert summary.mean == float(sum(map(Fraction, values)) / 3), key
        assert summary.values == tuple(values) and summary.n == 3
    ends = {key for key in files[0] if key.endswith(("_low", "_high"))}
    assert ends and set(files[0]) - set(record.test) == ends


def test_spread_and_interval_are_those_of_student(once: Path) -> None:
    values = [metrics_of(once, seed)["test/accuracy"] for seed in SEEDS]
    accuracy = record_of(once).test["test/accuracy"]
    sd = stdev(values)
    low, high = stats.t.interval(0.95, 2, loc=accuracy.mean, scale=sd / 3**0.5)
    assert accuracy.standard_deviation == sd
    assert (accuracy.low, accuracy.high) == (pytest.approx(low), pytest.approx(high))


def test_mlflow_has_one_parent_with_a_child_for_each_seed(once: Path) -> None:
    parent, record = parent_of(once), record_of(once)
    children = [run for run in runs_of(once) if run.info.run_id != parent.info.run_id]
    assert len(children) == 3
    assert {run.info.run_name for run in children} == {f"tiny_seed{s}" for s in SEEDS}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.status for run in [parent, *children]} == {"FINISHED"}
    shown = {key: each for key, each in record.kept.items() if key.startswith("val/")}
    assert {"val/loss", "val/accuracy"} <= set(shown)
    for key, summary in shown.items():
        assert parent.data.metrics[f"mean/kept/{key}"] == summary.mean
        assert parent.data.metrics[f"sd/kept/{key}"] == summary.standard_deviation
        assert parent.data.metrics[f"low/kept/{key}"] == summary.low
        assert parent.data.metrics[f"high/kept/{key}"] == summary.high
    for key in ("val/loss", "val/accuracy"):
        kept = [run.data.metrics[f"kept/{key}"] for run in children]
        assert record.kept[key].mean == float(sum(map(Fraction, kept)) / 3)


def test_the_parent_links_the_best_run_by_validation(once: Path) -> None:
    parent = parent_of(once)
    by_loss = {
        run.data.metrics["kept/val/loss"]: run
        for run in runs_of(once)
        if run.info.run_id != parent.info.run_id
    }
    best = by_loss[min(by_loss)]
    assert parent.data.tags["seeds.best_run"] == best.info.run_id
    assert record_of(once).best == best.info.run_name


def test_the_models_stand_under_their_names(once: Path) -> None:
    for seed in SEEDS:
        description = fields_of(once / "models" / f"tiny_seed{seed}" / "model.json")
        assert description["settings"]["seed"] == seed
        assert (once / "results" / f"tiny_seed{seed}" / "history.csv").is_file()
    assert (once / "results" / "tiny" / "seeds.png").read_bytes().startswith(b"\x89PNG")


def test_a_seed_of_a_group_is_the_model_that_trains_alone(group: Path) -> None:
    cli.call("train", [*SETTING, "name=alone", "seed=7", "tracking=none"])
    alone = (group / "models" / "alone" / "model.safetensors").read_bytes()
    assert alone == (group / "models" / "tiny_seed7" / "model.safetensors").read_bytes()


def test_the_same_command_again_changes_nothing(
    group: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in group.glob("results/*/*.json")}
    cli.call("train", LINE)
    assert {p: p.read_bytes() for p in group.glob("results/*/*.json")} == before
    assert len(runs_of(group)) == 4
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "tiny: 3 trainings, seeds 3, 7, 11"
    assert "3 done" in lines[1] and not [line for line in lines if line.startswith("tiny_seed")]
    accuracy = record_of(group).test["test/accuracy"]
    assert lines[-2] == (
        f"tiny: test accuracy {100 * accuracy.mean:.2f} % ± "
        f"{100 * accuracy.standard_deviation:.2f} % over 3 seeds "
        f"[{accuracy.low:.2%}, {accuracy.high:.2%}]"
    )
    assert lines[-1] == "record: results/tiny/seeds.json, picture: results/tiny/seeds.png"


def test_overwrite_trains_all_again(group: Path) -> None:
    first = record_of(group).study
    cli.call("train", [*LINE, "overwrite=true"])
    assert record_of(group).study == f"{first}_2"
    cli.call("train", LINE)
    assert record_of(group).study == f"{first}_2"  # goes on with the latest
    assert Counter(run.info.run_name for run in runs_of(group)) == {
        "tiny, 3 seeds": 2, **{f"tiny_seed{seed}": 2 for seed in SEEDS}
    }  # fmt: skip


def test_a_model_of_other_settings_is_not_replaced(group: Path) -> None:
    before = record_of(group)
    with pytest.raises(ConfigError, match=r"models/tiny_seed3 was trained with other settings"):
        cli.call("train", [*LINE, "model.width=9"])
    assert record_of(group) == before


def test_a_model_that_is_gone_is_named(group: Path) -> None:
    shutil.rmtree(group / "models" / "tiny_seed7")
    with pytest.raises(DataError, match=r"models/tiny_seed7: missing.*overwrite=true"):
        cli.call("train", LINE)


def test_a_seed_that_fails_is_named_and_left_out(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = train_job.seed_job

    def seed_job(config: RunConfig, *, root: Path) -> Any:
        if config.settings.seed == 1:
            raise TrainingError("the loss is not finite")
        return trained(config, root=root)

    monkeypatch.setattr(train_job, "seed_job", seed_job)
    cli.call("train", ["seeds=3", *SETTING, "tracking=none"])
    record = record_of(project)
    assert [run.name for run in record.finished] == ["tiny_seed0", "tiny_seed2"]
    values = [metrics_of(project, seed)["test/accuracy"] for seed in (0, 2)]
    assert record.test["test/accuracy"].mean == sum(values) / 2
    printed = capsys.readouterr().out
    assert "seed 1 failed: TrainingError: the loss is not finite" in printed
    assert "over 2 seeds; 1 seed failed" in printed


def test_a_number_of_seeds_begins_at_the_seed(project: Path) -> None:
    cli.call("train", ["seeds=2", "seed=4", *SETTING, "tracking=none", "n_jobs=2"])
    assert [run.seed for run in record_of(project).runs] == [4, 5]


@pytest.mark.slow
def test_a_group_that_is_killed_four_times_is_whole() -> None:
    """In a process of its own: a fork of this one, which has threads, could wait for ever."""
    words = ["--seeds", "3", "--kills", "4", "--longest", "8"]
    script = [sys.executable, str(KILLS), *words]
    done = subprocess.run(script, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_damaged_record_is_refused(group: Path) -> None:
    path = group / "results" / "tiny" / "seeds.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "best": "tiny_seed7"}))
    with pytest.raises(DataError, match=r"seeds\.json"):
        record_of(group)


def test_the_report_has_a_row_for_the_group_and_none_for_its_models(
    group: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.call("report", [])
    page = (group / "results" / "report.html").read_text()
    accuracy = record_of(group).test["test/accuracy"]
    assert f"{100 * accuracy.mean:.2f}\N{NO-BREAK SPACE}% ± " in page
    assert f"{100 * accuracy.low:.2f} … {100 * accuracy.high:.2f}" in page
    assert "Over several seeds" in page and "seeds 3, 7, 11; the best" in page
    assert '<article aria-labelledby="model-1">' not in page
    assert "report on tiny: results/report.html" in capsys.readouterr().out
    cli.call("check", [])
    path = group / "results" / "tiny" / "seeds.json"
    write_fields(path, fields_of(path) | {"best": "tiny_seed3"})
    with pytest.raises(DataError, match="shows an earlier state"):
        cli.call("check", [])


def test_a_group_stands_beside_models_of_their_own(group: Path) -> None:
    for place in ("models", "results"):
        shutil.copytree(group / place / "tiny_seed7", group / place / "single")
    cli.call("report", [])
    page = (group / "results" / "report.html").read_text()
    assert "Over several seeds" in page and "tiny_seed3</a>" not in page
    assert page.count("<article ") == 1
    cli.call("report", ["models=[tiny_seed3,tiny]"])
    page = (group / "results" / "report-tiny_seed3+tiny.html").read_text()
    assert "Over several seeds" in page and page.count("<article ") == 1


def test_a_comparison_shows_every_model_of_a_group(
    group: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("models", "results"):
        shutil.copytree(group / place / "tiny_seed7", group / place / "single")
    capsys.readouterr()
    cli.call("compare", ["names=[single,tiny]"])
    lines = capsys.readouterr().out.splitlines()
    labels = [line.split()[0] for line in lines[1:5]]
    assert labels == ["single", *(f"tiny_seed{seed}" for seed in SEEDS)]
    assert f"tiny: test {record_of(group).in_words}" in lines


def test_check_finds_a_mean_that_is_not_that_of_the_files(group: Path) -> None:
    cli.call("check", [])
    path = group / "results" / "tiny" / "seeds.json"
    fields = fields_of(path)
    fields["test"]["test/accuracy"]["mean"] += 1e-15
    write_fields(path, fields)
    with pytest.raises(DataError, match="test/accuracy is not that of the models' evaluations"):
        cli.call("check", [])
