"""The command ``evaluate``: a trained model on the untouched test set, and on other data."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from pipeline.commands import trained
from pipeline.commands.command import Call, Command, NoOptions
from pipeline.commands.importing import lasting_imports

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.config import Settings
    from pipeline.records import Estimate
    from pipeline.runs.evaluation import ModelEvaluation


def run(call: Call[NoOptions]) -> None:
    """Evaluate the model that the settings name, or the only one that is trained."""
    from pipeline.config import compose, explicit_keys
    from pipeline.data.prepared import card_of

    settings = compose(call.settings, root=call.root).settings
    known = trained.models(call.root)
    # These settings give a run its name.
    keys = explicit_keys(call.settings)
    named = keys & {"name", "model", "model.name", "experiment", "debug"}
    name = trained.the_one(settings.name if named else None, known)
    # Without a word on the data, it is the data that the model was trained on.
    asked = any(key.split(".")[0] in ("data", "experiment") for key in keys)
    if asked:
        card_of(settings.data, root=call.root)
    with lasting_imports("torch"):
        import pipeline.runs.evaluation  # noqa: F401
    evaluate(
        settings.model_copy(update={"name": name}),
        data=settings.data.name if asked else None,
        explicit=keys,
        root=call.root,
    )


def evaluate(
    settings: Settings,
    *,
    data: str | None = None,
    explicit: Set[str] = frozenset(),
    root: Path,
) -> ModelEvaluation:
    """Measure ``models/<name>/``, write ``results/<name>/``, add the numbers to the model's run.

    data: name of the prepared data; None for that of the model's training.
    explicit: the keys a person set for this command.
    Raises `ModelError` or `DataError` where the model or its data is missing.
    """
    from pipeline.disk import check_results
    from pipeline.reporting.evaluation_pictures import write_pictures
    from pipeline.runs.evaluation import evaluate_model, track_evaluation, write_evaluation
    from pipeline.tracking import where_its_run_is

    check_results(settings.name, root=root)
    measured = evaluate_model(settings.name, data=data, options=settings.evaluation, root=root)
    if not measured.same_data:
        print(
            f"warning: {measured.name} was trained on another preparation of {measured.on.data}. "
            "A published test set stays the same. In your own folder, some test images may have "
            "been trained on."
        )
    folder = root / "results" / settings.name
    files = [*write_evaluation(measured, folder), *write_pictures(measured, folder, root=root)]
    tracking = where_its_run_is(settings.tracking, measured.tracking, explicit=explicit)
    track_evaluation(measured, files, tracking=tracking, root=root)
    print(_summary(measured))
    if measured.averaged and settings.evaluation.tta:
        accuracy = _interval(measured.averaged.accuracy)
        print(f"{measured.name}: {accuracy} for the mean of {_views(settings.evaluation.tta)}")
    return measured


def _summary(measured: ModelEvaluation) -> str:
    scores = measured.scores
    return (
        f"{measured.name}: test accuracy {_interval(scores.accuracy)}, "
        f"macro F1 {_interval(scores.f1_macro)}, "
        f"cross-entropy {scores.cross_entropy.value:.4f}, "
        f"calibration error {scores.calibration_error.value:.2%}"
    )


def _views(kinds: Sequence[str]) -> str:
    from pipeline.data.views import num_views

    return f"{num_views(kinds)} views (as it is, {', '.join(dict.fromkeys(kinds))})"


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2%} [{estimate.low:.2%}, {estimate.high:.2%}]"


COMMAND = Command(
    options=NoOptions,
    run=run,
    settings="training",
    examples=(
        "pipeline evaluate name=mlp",
        "pipeline evaluate name=cnn evaluation.corruptions=[blur,noise]",
        "pipeline evaluate name=shirts data=fashion_mnist",
    ),
)
