"""A folder of a person's own images, from ``preprocess`` to a sweep's report."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import read_line
from pipeline.commands import evaluate, preprocess
from pipeline.commands.train_job import train
from pipeline.config import compose
from pipeline.config.experiment import write_experiment
from pipeline.config.overrides import overrides_of
from pipeline.data.prepared import card_of
from pipeline.data.store import load_prepared
from pipeline.errors import ConfigError, DataError
from pipeline.reporting.report import report

TINY = (
    "tracking=none",
    "model.width=4",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "signals=none",
    "data.batch_size=8",
)


def make_images(folder: Path, *, parts: tuple[str, ...] = ("train", "val", "test")) -> Path:
    """Ten noisy squares a class and part; the class is their grey."""
    generator = np.random.default_rng(0)
    for part in parts:
        for label, name in enumerate(("dark", "bright")):
            place = folder / part / name
            place.mkdir(parents=True)
            for index in range(10):
                pixels = generator.normal(60 + 120 * label, 10, (12, 12, 3)).clip(0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{index}.png")
    return folder


def run_preprocess(*settings: str) -> None:
    preprocess.run(read_line("preprocess", "data=image_folder", *settings))


@pytest.fixture
def prepared(project: Path) -> Path:
    """A project that has prepared the folder ``photos``."""
    make_images(project / "photos")
    run_preprocess("data.path=photos")
    return project


def test_the_set_has_the_folder_s_name_and_its_settings(prepared: Path) -> None:
    found = load_prepared(prepared / "data" / "processed" / "photos")
    assert (len(found.train), len(found.val), len(found.test)) == (20, 20, 20)
    assert found.card.name == "photos"
    assert found.card.settings == {
        "path": "photos",
        "image_size": 28,
        "channels": 1,
        "test_fraction": 0.2,
        "validation_size": 0.1,
        "split_seed": 0,
    }


def test_a_class_of_one_picture_is_noted(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_images(project / "photos", parts=("train", "val"))
    for number in range(1, 10):
        (project / f"photos/train/dark/{number}.png").unlink()
    run_preprocess("data.path=photos")
    note = "note: these classes have too few examples: dark (1 train, 10 val, 0 test). Add some."
    assert note in capsys.readouterr().out


def test_classes_of_enough_pictures_are_not_noted(
    prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "too few examples" not in capsys.readouterr().out


@pytest.mark.parametrize("count", [0, 3])
def test_test_pictures_that_were_trained_on_are_counted(
    count: int, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_images(project / "photos", parts=("train", "test"))
    for number in range(count):
        name = f"dark/{number}.png"
        shutil.copyfile(
            project / "photos/train" / name, project / f"photos/test/dark/again{name[5:]}"
        )
    run_preprocess("data.path=photos")
    out = capsys.readouterr().out
    assert (f"note: {count} of {20 + count} test images are in the training part too" in out) is (
        count > 0
    )


def test_what_was_recognised_is_printed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_images(project / "photos", parts=("train", "val"))
    run_preprocess("data.path=photos")
    line = capsys.readouterr().out.splitlines()[0]
    assert "2 classes (bright, dark)" in line
    assert "train from photos/train/, val from photos/val/" in line
    assert "test split off from train (data.test_fraction=0.2)" in line


DIFFERENT = {
    "channels": (["data.path=photos", "data.channels=3"], "data.channels=3.* with 1"),
    "size": (["data.path=photos", "data.image_size=32"], "data.image_size=32.* with 28"),
    "path": (["data.path=elsewhere", "data.name=photos"], "data.path=elsewhere.* with photos"),
    "split": (["data.path=photos", "data.split_seed=3"], "data.split_seed=3.* with 0"),
}


@pytest.mark.parametrize(("settings", "said"), DIFFERENT.values(), ids=DIFFERENT)
def test_data_of_other_settings_stops_a_training(
    settings: list[str], said: str, prepared: Path
) -> None:
    config = compose([*TINY, "data=image_folder", *settings], root=prepared)
    with pytest.raises(ConfigError, match=said):
        train(config, root=prepared, output=prepared)
    assert not (prepared / "models").exists()


def test_a_folder_that_was_never_prepared_is_not_replaced_by_another(prepared: Path) -> None:
    asked = ["data=image_folder", "data.path=/nonexistent", "data.image_size=64"]
    with pytest.raises(DataError, match=r"nonexistent/card\.json: missing") as caught:
        train(compose([*TINY, *asked], root=prepared), root=prepared, output=prepared)
    command = str(caught.value).split("`")[1]
    assert shlex.split(command) == ["pipeline", "preprocess", *asked]


def test_the_same_folder_by_another_spelling_is_the_same_data(prepared: Path) -> None:
    absolute = f"data.path={prepared / 'photos'}"
    settings = compose(["data=image_folder", absolute], root=prepared).settings
    assert card_of(settings.data, root=prepared).name == "photos"


def test_a_second_folder_does_not_replace_the_first_one_s_data(prepared: Path) -> None:
    before = load_prepared(prepared / "data" / "processed" / "photos").card
    make_images(prepared / "other" / "photos", parts=("train",))
    with pytest.raises(ConfigError, match=r"holds the data of another folder, photos.*photos_2"):
        run_preprocess("data.path=other/photos")
    assert load_prepared(prepared / "data" / "processed" / "photos").card == before
    run_preprocess("data.path=other/photos", "data.name=photos_2")
    assert (prepared / "data" / "processed" / "photos_2").is_dir()


def test_a_folder_does_not_take_the_name_of_a_published_set(project: Path) -> None:
    make_images(project / "mnist", parts=("train",))
    with pytest.raises(ConfigError, match=r"data\.name=mnist: is the name of a published set"):
        run_preprocess("data.path=mnist")


def test_a_run_s_overrides_and_experiment_give_its_settings_again(prepared: Path) -> None:
    """`verify`, `heal` and `sweep-report` train a run again from these."""
    asked = [*TINY, "data=image_folder", "data.path=photos"]
    values = compose(asked, root=prepared).values
    assert compose(overrides_of(values, root=prepared), root=prepared).values == values
    write_experiment(asked, name="again", comment="Made by a test.", root=prepared)
    again = compose(["experiment=again"], root=prepared).values
    assert again["data"] == values["data"]


def test_models_of_two_test_sets_are_not_ranked_together(prepared: Path) -> None:
    own = [*TINY, "data=image_folder", "data.path=photos"]
    for name, settings in {"own": own, "digits": [*TINY, "data.fraction=0.05"]}.items():
        train(compose([*settings, f"name={name}"], root=prepared), root=prepared, output=prepared)
        quick = ["evaluation.num_resamples=100", "evaluation.corruptions=[]"]
        evaluate.run(read_line("evaluate", f"name={name}", "tracking=none", *quick))
    on = json.loads((prepared / "results" / "own" / "evaluated_on.json").read_text())
    assert (on["data"], on["num_images"]) == ("photos", 20)

    page = report([], root=prepared).read_text()
    assert "2 models on 2 test sets" in page and "has the highest test accuracy" not in page
    assert "Covers digits, own." in page
    whole = (prepared / "results" / "report.html").read_bytes()
    assert report(["own"], root=prepared).name == "report_own.html"
    assert (prepared / "results" / "report.html").read_bytes() == whole
