"""What a person asked of a sweep, checked before Hydra hears of it."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.sweep.arguments import checked_arguments

SWEPT = ("model.width=8,16", "n_trials=2")


@pytest.mark.parametrize("key", ["n_jobs", "hydra.sweeper.n_jobs"])
def test_several_jobs_get_a_launcher_that_can_run_them(project: Path, key: str) -> None:
    words = checked_arguments([*SWEPT, f"{key}=2"], root=project)
    assert {"hydra.sweeper.n_jobs=2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"} <= set(
        words
    )


def test_one_job_and_a_launcher_of_ones_own_stay_as_they_are(project: Path) -> None:
    assert not any(
        "launcher" in word for word in checked_arguments([*SWEPT, "n_jobs=1"], root=project)
    )
    words = checked_arguments([*SWEPT, "n_jobs=2", "hydra/launcher=basic"], root=project)
    assert [word for word in words if "launcher" in word] == ["hydra/launcher=basic"]


BY_CODE = ("hydra.sweeper.custom_search_space=a.b", "allow_targets=[a]", "n_trials=2")


@pytest.mark.parametrize("swept", [SWEPT, BY_CODE])
def test_the_worst_is_not_sought_whatever_the_space_is_made_of(
    project: Path, swept: list[str]
) -> None:
    with pytest.raises(ConfigError, match=r"objective=val/accuracy: minimize seeks the worst"):
        checked_arguments([*swept, "objective=val/accuracy"], root=project)


@pytest.mark.parametrize(
    "several", [["trainer=ddp"], ["trainer.devices=2"], ["trainer.devices=auto"]]
)
def test_a_trial_on_several_devices_is_refused(several: list[str], project: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices=.*one device.*trainer\.devices=1"):
        checked_arguments([*SWEPT, *several], root=project)


def test_a_value_of_the_sweep_itself_may_ask_for_no_devices_either(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.devices=2"):
        checked_arguments(["trainer.devices=1,2"], root=project)


OTHER_LOSSES = {
    "two_losses": ["loss=mse,cross_entropy"],
    "smoothing": ["loss=label_smoothing", "loss.label_smoothing=0.1,0.2"],
    "with_seeds": ["loss=focal,cross_entropy", "seed=0,1"],
}


@pytest.mark.parametrize("swept", OTHER_LOSSES.values(), ids=OTHER_LOSSES)
def test_losses_of_different_kinds_are_compared_by_their_cross_entropy(
    swept: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = checked_arguments(swept, root=project)
    assert "objective=val/cross_entropy" in words
    assert "losses of the trials are of different kinds" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"objective=val/loss: .*objective=val/cross_entropy"):
        checked_arguments([*swept, "objective=val/loss"], root=project)


def test_one_kind_of_loss_and_an_accuracy_stay_the_objective(project: Path) -> None:
    assert not [w for w in checked_arguments(SWEPT, root=project) if w.startswith("objective")]
    maximized = ["objective=val/accuracy", "hydra.sweeper.direction=maximize"]
    words = checked_arguments([*OTHER_LOSSES["two_losses"], *maximized], root=project)
    assert [w for w in words if w.startswith("objective")] == ["objective=val/accuracy"]
