"""The command ``export``: a trained model as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from pipeline.commands import trained
from pipeline.commands.command import Call, Command, ModelName, Options
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.runs.exporting import Exported


class ExportOptions(Options):
    """Options of ``pipeline export``."""

    name: ModelName | None = Field(
        None, description="trained model; may be left out where there is only one"
    )
    format: Literal["onnx", "pt2"] = Field(
        "onnx", description="onnx for any runtime; pt2 is torch's own, for Python and C++"
    )
    file: Path | None = Field(None, description="file to write; without it exports/<name>.<format>")

    @field_validator("format", mode="before")
    @classmethod
    def _has_a_future(cls, value: Any) -> Any:
        if value == "torchscript":
            raise ConfigError(
                "format=torchscript: torch has deprecated TorchScript. Its successor, which "
                "Python and C++ load too, is format=pt2"
            )
        return value


def run(call: Call[ExportOptions]) -> None:
    """Export a model, and print how the file compares with it."""
    from pipeline.runs.exporting import export

    asked = call.options
    name = trained.the_one(asked.name, trained.models(call.root))
    path = asked.file or Path("exports") / f"{name}.{asked.format}"
    for line in lines_of(name, export(name, format=asked.format, path=path, root=call.root)):
        print(line)


def lines_of(name: str, done: Exported) -> list[str]:
    """Return the printed lines of an export."""
    megabytes, weights = done.size / 1e6, done.network_size / 1e6
    return [
        f"{name}: the file agrees with the network on {done.num_images - done.disagreeing:,} of "
        f"{done.num_images:,} test images; logits differ by at most {done.difference:.1e}",
        f"size {megabytes:.2f} MB (weights {weights:.2f} MB); one image takes {done.ms:.2f} ms "
        f"(the network {done.network_ms:.2f} ms)",
        f"takes {done.takes}, gives logits: {done.path}",
    ]


COMMAND = Command(
    options=ExportOptions,
    run=run,
    examples=(
        "pipeline export name=cnn format=onnx",
        "pipeline export name=cnn format=pt2 file=cnn.pt2",
    ),
)
