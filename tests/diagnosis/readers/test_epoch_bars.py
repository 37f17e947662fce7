"""One bar for all epochs: the text that tqdm and Rich really write, read epoch by epoch."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from tqdm import tqdm

from pipeline.diagnosis.readers import read_log

LOSSES = [(1.0, 0.9), (0.6, 0.8), (0.5, 0.75)]


def bar(file: io.StringIO, **settings: Any) -> Any:
    return tqdm(LOSSES, file=file, mininterval=0, **settings)


def postfix(file: io.StringIO) -> None:
    each = bar(file, desc="Epoch")
    for loss, val_loss in each:
        each.set_postfix(loss=9.0)  # a first batch
        each.set_postfix(loss=loss, val_loss=val_loss)


def postfix_without_a_title(file: io.StringIO) -> None:
    each = bar(file)
    for loss, val_loss in each:
        each.set_postfix(loss=loss, val_loss=val_loss)


def postfix_after_the_step(file: io.StringIO) -> None:
    with tqdm(total=3, file=file, mininterval=0) as each:
        for loss, val_loss in LOSSES:
            each.update(1)
            each.set_postfix(loss=loss, val_loss=val_loss)


def stopped(file: io.StringIO) -> None:
    """Three of ten epochs."""
    each = tqdm(total=10, desc="epochs", file=file, mininterval=0)
    for loss, val_loss in LOSSES:
        each.set_postfix(loss=loss, val_loss=val_loss)
        each.update(1)


def title(file: io.StringIO) -> None:
    each = bar(file)
    for loss, val_loss in each:
        each.set_description(f"loss {loss:.3f} val_loss {val_loss:.3f}")


def printed_between(file: io.StringIO) -> None:
    for loss, val_loss in bar(file):
        print(f"loss: {loss}, val_loss: {val_loss}", file=file)


def printed_between_under_a_title(file: io.StringIO) -> None:
    for loss, val_loss in bar(file, desc="Epoch"):
        print(f"loss: {loss}, val_loss: {val_loss}", file=file)


def bars_of_batches_inside(file: io.StringIO) -> None:
    for loss, val_loss in bar(file, desc="epochs"):
        batches = tqdm(range(4), file=file, mininterval=0, leave=False)
        for _ in batches:
            batches.set_postfix(loss=loss)
        print(f"loss {loss} val_loss {val_loss}", file=file)


def rich(file: io.StringIO) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = Console(file=file, force_terminal=True, width=120, color_system="truecolor")
    shown = Progress(*columns, TextColumn("{task.fields[t]}"), console=console, auto_refresh=False)
    with shown:
        task = shown.add_task("Training", total=3, t="")
        for loss, val_loss in LOSSES:
            shown.update(task, advance=1, t=f"loss={loss} val_loss={val_loss}", refresh=True)


@pytest.mark.parametrize(
    "draw",
    [
        postfix,
        postfix_without_a_title,
        postfix_after_the_step,
        stopped,
        title,
        printed_between,
        printed_between_under_a_title,
        bars_of_batches_inside,
        rich,
    ],
)
def test_one_bar_for_all_epochs_gives_them_all(
    draw: Callable[[io.StringIO], None], tmp_path: Path
) -> None:
    file = io.StringIO()
    draw(file)
    (tmp_path / "out.txt").write_text(file.getvalue(), newline="")
    reading = read_log(tmp_path / "out.txt")
    train, val = np.transpose(LOSSES)
    np.testing.assert_allclose(reading.history.curves["train/loss"], train, err_msg=reading.line)
    np.testing.assert_allclose(reading.history.curves["val/loss"], val, err_msg=reading.line)


def test_bars_of_batches_stay_one_epoch_each(tmp_path: Path) -> None:
    file = io.StringIO()
    for loss, _ in LOSSES:
        batches = tqdm(range(4), file=file, mininterval=0)
        for batch in batches:
            batches.set_postfix(loss=loss + 3 - batch)
    (tmp_path / "out.txt").write_text(file.getvalue(), newline="")
    reading = read_log(tmp_path / "out.txt")
    assert reading.history.curves["train/loss"].tolist() == [1.0, 0.6, 0.5], reading.line
