from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch

from pipeline.commands.train_job import train
from pipeline.config import compose

CONF = Path(__file__).parents[2] / "conf"
# The tracker's options are the subject of other tests.
OPTIONS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name != "tracking"
)
MISSING = {
    "trainer=gpu": (
        torch.cuda.is_available() or torch.backends.mps.is_available(),
        "no graphics card",
    ),
    "trainer=mps": (torch.backends.mps.is_available(), "no Apple graphics"),
    "precision=fp16": (torch.cuda.is_available(), "fp16 needs a graphics card"),
    "data=datamodule": (False, "tests/commands/test_own_code.py has a class for it"),
    "data=table": (False, "tests/commands/test_table.py has tables for it"),
    "trainer=ddp": (False, "tests/test_ddp.py trains with two processes"),
}
TINY = ["tracking=none", "trainer.sample_size=100", "trainer.max_epochs=1"]
FEW_IMAGES = "data.fraction=0.05"
# What an option asks of the other values, by the rules across fields.
NEEDED = {
    "data=image_folder": [FEW_IMAGES, "data.path=image_folder"],
    "debug=overfit_batch": [],
    "callbacks=lr_monitor": [FEW_IMAGES, "logger=csv"],
    "schedule=own": [
        FEW_IMAGES,
        "schedule._target_=torch.optim.lr_scheduler.ExponentialLR",
        "schedule.arguments={gamma: 0.9}",
    ],
    "schedule=step": [FEW_IMAGES, "schedule.every_epochs=1", "trainer.max_epochs=2"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_conf_trains(project: Path, option: str) -> None:
    available, reason = MISSING.get(option, (True, ""))
    if not available:
        pytest.skip(reason)
    group, _, name = option.partition("=")
    if group == "data" and name != "mnist":
        shutil.copytree(
            project / "data" / "processed" / "mnist", project / "data" / "processed" / name
        )
    device = [] if group == "trainer" else ["trainer.accelerator=cpu"]
    overrides = [*TINY, *device, option, *NEEDED.get(option, [FEW_IMAGES]), "name=tried"]
    config = compose(overrides, root=project)
    assert math.isfinite(train(config, root=project, output=project))
    assert (project / "models" / "tried" / "model.safetensors").is_file()
