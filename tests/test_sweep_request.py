"""What a person asked of a sweep, checked before Hydra hears of it."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.sweep.request import checked

SWEPT = ("model.width=8,16", "n_trials=2")


@pytest.mark.parametrize("key", ["n_jobs", "hydra.sweeper.n_jobs"])
def test_several_jobs_get_a_launcher_that_can_run_them(project: Path, key: str) -> None:
    words = checked([*SWEPT, f"{key}=2"], root=project)
    assert {"hydra.sweeper.n_jobs=2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"} <= set(words)


def test_one_job_and_a_launcher_of_ones_own_stay_as_they_are(project: Path) -> None:
    assert not any("launcher" in word for word in checked([*SWEPT, "n_jobs=1"], root=project))
    words = checked([*SWEPT, "n_jobs=2", "hydra/launcher=basic"], root=project)
    assert [word for word in words if "launcher" in word] == ["hydra/launcher=basic"]


@pytest.mark.parametrize("swept", [SWEPT, ["hydra.sweeper.custom_search_space=a.b", "n_trials=2"]])
def test_the_worst_is_not_sought_whatever_the_space_is_made_of(project: Path, swept: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"objective=val/accuracy: minimize seeks the worst"):
        checked([*swept, "objective=val/accuracy"], root=project)
