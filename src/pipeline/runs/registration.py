"""Registering a trained model under an alias, if it is better than the one that holds it now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from pipeline.config.schema import Tracking
from pipeline.data.prepared import prepared_folder
from pipeline.data.store import load_card, load_split
from pipeline.errors import DataError, ModelError, TrackingError
from pipeline.evaluation.intervals import wilson
from pipeline.evaluation.paired import PairedAnswers, compare_answers
from pipeline.models.inference import predict_logits
from pipeline.models.saved import SavedModel, load_model
from pipeline.records import DataCard, Estimate, ImageSet
from pipeline.runs.provenance import data_sha256
from pipeline.runs.tracked import NUM_EXAMPLES, record_network
from pipeline.tracking import MODEL_TAG, Tracker, open_tracker, where_its_run_is
from pipeline.tracking.registry import Registry, Version

# The graph that MLflow keeps may add float32 numbers in another order than the network.
TOLERANCE = 1e-3
NEEDED = ("weights_sha256", "test_sha256", "class_names", "mean", "std")
Outcome = Literal["first", "better", "forced", "present", "refused"]


@dataclass(frozen=True)
class Registration:
    """What became of a model that asked for an alias.

    outcome: ``first`` holder, ``better`` than the champion, ``forced``, ``present`` already, or
    ``refused``.  version: the one that holds the alias now.
    accuracy: of its logged model on the test set.  against: the comparison with the champion; None
    without one.  difference: the largest between the logits of network and logged model.
    """

    outcome: Outcome
    name: str
    alias: str
    version: Version
    champion: Version | None
    accuracy: Estimate
    against: PairedAnswers | None
    difference: float

    @property
    def refused(self) -> bool:
        """Whether the alias stays where it was since the model is not better."""
        return self.outcome == "refused"


@dataclass(frozen=True)
class _Tested:
    """A model with its test set, and the logits of its network on it."""

    model: SavedModel
    card: DataCard
    test: ImageSet
    logits: np.ndarray


@dataclass(frozen=True)
class _Copy:
    """The logged model of the network. right: ``[N]`` bool, which test images it answers rightly.

    difference: the largest between its logits and the network's.
    """

    model_id: str
    right: np.ndarray
    difference: float

    @property
    def accuracy(self) -> Estimate:
        return wilson(int(self.right.sum()), len(self.right))


def register(
    name: str, *, into: str | None, alias: str, force: str | None, tracking: Tracking, root: Path
) -> Registration:
    """Register ``models/<name>/`` and give it the alias, unless the present holder is as good.

    into: name of the registered model; None for that of the model's data.
    force: why the alias moves although the model is not better; recorded with the version.
    Raises `ModelError` or `DataError` where the model cannot be compared: no data, another test set
    than the holder's, or another answer of the logged model; `TrackingError` where MLflow fails.
    """
    tested = _tested(name, root=root)
    tracking = where_its_run_is(tracking, tested.model.settings.tracking)
    tracker = open_tracker(tracking, root=root)
    if tracker is None:
        raise TrackingError("tracking.enabled=false: only MLflow has a registry. Leave it out.")
    model_id = _logged(name, tested, tracker)
    registry = Registry(tracking.uri, root=root)
    copy = _copy(name, tested, registry, model_id)

    registered = into or tested.card.name
    with registry.alone():
        holder = registry.holder(registered, alias)
        against = None
        if holder is not None:
            against = _against(tested, copy, holder, registry, forced=force is not None)
        outcome = _outcome(tested, holder, against, force)
        version = holder
        if outcome not in ("present", "refused"):
            version = registry.register(
                model_id,
                name=registered,
                alias=alias,
                tags=_tags(tested, copy, holder, against, outcome, force),
                description=f"{name}: {outcome}",
            )
    assert version is not None
    return Registration(
        outcome, registered, alias, version, holder, copy.accuracy, against, copy.difference
    )


def _tested(name: str, *, root: Path) -> _Tested:
    model = load_model(root / "models" / name)
    folder = prepared_folder(model.settings.data.name, root=root)
    card = load_card(folder)
    if data_sha256(card) != model.data_sha256:
        raise DataError(
            f"data/processed/{card.name}: is not the data that models/{name} was trained on, so "
            "some test images may have been trained on. Prepare that data again, or train again: "
            f"pipeline train name={name}"
        )
    test = load_split(folder, "test")
    logits = predict_logits(model.network, test.images, mean=model.mean, std=model.std)
    return _Tested(model, card, test, logits)


def _logged(name: str, tested: _Tested, tracker: Tracker) -> str:
    """Return the id of the model's logged model; record one where there is none yet."""
    sha256 = tested.model.weights_sha256

    def found() -> str | None:
        registry = Registry(tracker.uri, root=tracker.root)
        return registry.logged_model(sha256, name=name, experiment=tracker.experiment)

    known = found() if tracker.has_store else None
    if known is None:
        with tracker.of_model(model_sha256=sha256, name=name, create=True) as run:
            images = tested.test.images[:NUM_EXAMPLES]
            record_network(
                run,
                tested.model.network,
                tested.card,
                images,
                name=name,
                sha256=sha256,
                root=tracker.root,
            )
        known = found()
    if known is None:
        raise TrackingError(
            f"{tracker.kept_uri}: MLflow has not taken the model yet, so there is nothing to "
            "register. Start its server, then: pipeline sync"
        )
    return known


def _copy(name: str, tested: _Tested, registry: Registry, model_id: str) -> _Copy:
    """Load the logged model back, and compare it with the network on the test set."""
    network, metadata = registry.load(f"models:/{model_id}")
    found = _logits(network, metadata, tested.test)
    difference = float(np.abs(found - tested.logits).max())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"models/{name}: its copy in MLflow ({model_id}) answers otherwise: the logits differ "
            f"by up to {difference:.3g}, and {TOLERANCE:g} is allowed. Train it again: "
            f"pipeline train name={name} overwrite=true"
        )
    return _Copy(model_id, _right(found, tested.test), difference)


def _against(
    tested: _Tested, copy: _Copy, holder: Version, registry: Registry, *, forced: bool
) -> PairedAnswers | None:
    """Compare with the holder of the alias; None where that is impossible and forced."""
    network, metadata = registry.load(f"models:/{holder.name}/{holder.number}")
    reason = _incomparable(tested, holder, metadata)
    if reason is None:
        right = _right(_logits(network, metadata, tested.test), tested.test)
        return compare_answers(copy.right, right)
    if forced:
        return None
    raise DataError(
        f"{holder.name} version {holder.number}: {reason}, so the two cannot be compared. "
        'Register under another name (into=<name>), or give a reason: force="<why>"'
    )


def _incomparable(tested: _Tested, holder: Version, metadata: Mapping[str, Any]) -> str | None:
    lacking = [key for key in NEEDED if key not in metadata]
    if lacking:
        return f"another program registered it, and its metadata has no {lacking[0]}"
    if metadata["test_sha256"] != tested.card.sha256["test"]:
        return (
            f"it was tested on another test set ({str(metadata['test_sha256'])[:8]}… and not "
            f"{tested.card.sha256['test'][:8]}… of data/processed/{tested.card.name})"
        )
    return None


def _outcome(
    tested: _Tested, holder: Version | None, against: PairedAnswers | None, force: str | None
) -> Outcome:
    if holder is None:
        return "first"
    if holder.tags.get(MODEL_TAG) == tested.model.weights_sha256:
        return "present"
    if against is not None and against.better:
        return "better"
    return "forced" if force else "refused"


def _tags(
    tested: _Tested,
    copy: _Copy,
    holder: Version | None,
    against: PairedAnswers | None,
    outcome: Outcome,
    force: str | None,
) -> dict[str, str]:
    """Return what the registry keeps of the decision."""
    tags = {
        MODEL_TAG: tested.model.weights_sha256,
        "test.data": tested.card.name,
        "test.sha256": tested.card.sha256["test"],
        "test.accuracy": repr(copy.accuracy.value),
        "gate.outcome": outcome,
    }
    if holder is not None:
        tags["gate.against"] = f"version {holder.number}"
    if against is not None:
        tags |= {
            "gate.gained": str(against.gained),
            "gate.lost": str(against.lost),
            "gate.p_value": f"{against.p_value:.3g}",
        }
    return {**tags, "gate.reason": force} if outcome == "forced" and force else tags


def _right(logits: np.ndarray, test: ImageSet) -> np.ndarray:
    right: np.ndarray = logits.argmax(axis=1) == test.labels
    return right


def _logits(network: nn.Module, metadata: Mapping[str, Any], test: ImageSet) -> np.ndarray:
    return predict_logits(network, test.images, mean=metadata["mean"], std=metadata["std"])
