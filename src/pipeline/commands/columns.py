"""The options of commands that read a log: which of its columns holds which curve."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pipeline.commands.command import Options

Column = Annotated[str, Field(min_length=1)]
# Option → the curve whose column it names.
COLUMNS = {
    "train_loss": "train/loss",
    "val_loss": "val/loss",
    "train_accuracy": "train/accuracy",
    "val_accuracy": "val/accuracy",
    "learning_rate": "learning_rate",
}


def column(curve: str) -> Any:
    """Return the field of an option that names the column of a curve, given in words."""
    return Field(None, description=f"column of history= that holds the {curve}")


def named(options: Options) -> dict[str, str]:
    """Return curve → column, where the person named one."""
    return {curve: name for option, curve in COLUMNS.items() if (name := getattr(options, option))}
