"""The command ``predict``: a trained model on pictures, or rows of a table, from anywhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.commands import trained
from pipeline.commands.command import Call, Command, ModelName, Options
from pipeline.commands.importing import lasting_imports
from pipeline.commands.unwritable import noted_if_read_only
from pipeline.terminal import visible

if TYPE_CHECKING:
    from pipeline.runs.prediction import PredictedPictures, Prediction


class PredictOptions(Options):
    """Options of ``pipeline predict``."""

    paths: Annotated[tuple[Path, ...], Field(min_length=1)] = Field(
        description="pictures and folders of pictures; for a model of a table, tables"
    )
    name: ModelName | None = Field(
        None, description="trained model; may be left out where there is only one"
    )
    output: Literal["text", "json", "inputs"] = Field(
        "text", description="form of the answer; inputs is the request for a server of the model"
    )
    raw: bool = Field(
        False, description="only for a model of digits: do not make pictures look like MNIST's"
    )


def run(call: Call[PredictOptions]) -> None:
    """Predict the pictures with a trained model."""
    asked = call.options
    name = trained.the_one(asked.name, trained.models(call.root))
    with lasting_imports("torch"):
        import pipeline.runs.prediction  # noqa: F401
    predict(asked.paths, name=name, root=call.root, output=asked.output, raw=asked.raw)


def predict(
    paths: Sequence[Path], *, name: str, root: Path, output: str = "text", raw: bool = False
) -> None:
    """Print the predictions for pictures and folders; draw ``results/<name>/predictions.png``.

    output: text, json, or inputs (the request for a server; it draws nothing).
    In a project that cannot be written, the predictions are printed all the same, after a note.
    Raises the errors of `pipeline.runs.prediction.predict`, and those of a full disk; nothing is
    written then.
    """
    from pipeline.disk import check_results
    from pipeline.reporting import predictions
    from pipeline.reporting.style import save_png
    from pipeline.runs.prediction import predict as predict_pictures
    from pipeline.runs.prediction import serving_request

    if output == "inputs":
        print(serving_request(paths, name=name, root=root, raw=raw))
        return
    predicted = predict_pictures(paths, name=name, root=root, raw=raw)
    drawn = False
    if predicted.predictions[0].row is None:
        with noted_if_read_only("the picture"):
            check_results(name, root=root)
            drawn = True
    for sentence in predicted.left_out:
        print(f"left out: {visible(sentence)}", file=sys.stderr)
    picture = root / "results" / name / "predictions.png"
    if drawn:
        save_png(predictions.plot(predicted), picture)
    if output == "json":
        print(json.dumps([_as_json(p) for p in predicted.predictions], indent=2))
    else:
        _print_text(predicted, picture.relative_to(root) if drawn else None)


def _as_json(prediction: Prediction) -> dict[str, object]:
    label, probability = prediction.top[0]
    return {
        "path": str(prediction.path),
        "class": label,
        "probability": probability,
        "top": prediction.top,
        "entropy_share": prediction.entropy,
        "familiarity_p": prediction.familiarity,
        # Not compared is not the same as "like the training data".
        "unlike_training_data": None if prediction.familiarity is None else prediction.unfamiliar,
        **_own_of(prediction),
    }


def _own_of(prediction: Prediction) -> dict[str, object]:
    """Return what only a row of a table has, or only a picture."""
    if prediction.row:
        return {"row": prediction.row, "unknown": prediction.unknown}
    return {"blank": prediction.blank}


def _print_text(predicted: PredictedPictures, picture: Path | None) -> None:
    for prediction in predicted.predictions:
        print(visible(_line(prediction)))
    if picture:
        print(f"how they looked to the network: {picture}")
    if not predicted.compared:
        print(
            "not compared with the training data: the model had fewer than 50 validation "
            "examples, or is of an earlier version."
        )


def _line(prediction: Prediction) -> str:
    (label, probability), *others = prediction.top
    then = ", ".join(f"{other} {share:.1%}" for other, share in others)
    row = f" row {prediction.row}" if prediction.row else ""
    line = (
        f"{prediction.path}{row}: {label}  {probability:.1%}  "
        f"(then {then}; uncertainty {prediction.entropy:.0%}, where guessing is 100%)"
    )
    if prediction.unfamiliar:
        line += f"  WARNING: unlike the training data (p = {prediction.familiarity:.2g})"
    if prediction.blank:
        line += "  WARNING: nothing can be seen in it, so the answer means nothing"
    if prediction.unknown:
        line += f"  WARNING: the training data has no {', '.join(prediction.unknown)}"
    return line


COMMAND = Command(
    options=PredictOptions,
    run=run,
    positional="paths",
    examples=(
        "pipeline predict digit.png name=cnn",
        "pipeline predict photos/ name=cnn output=json",
    ),
)
