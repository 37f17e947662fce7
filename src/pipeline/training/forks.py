"""Short runs from a trained model's weights, on the training part that it was trained on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from torch import nn

from pipeline.config.schema import Settings
from pipeline.data.prepare import take
from pipeline.diagnosis.probes.one_batch import BY_HEART
from pipeline.diagnosis.probes.outcome import FACTORS, FRESH_FACTOR, Batch, Fork, Outcome
from pipeline.diagnosis.probes.plan import BATCH_STEPS, ProbePlan
from pipeline.errors import TrainingError
from pipeline.models.widen import NotWidened, embed
from pipeline.records import DataCard, ImageSet, Prepared
from pipeline.training.assembly import images_of
from pipeline.training.fit import fit
from pipeline.training.fork_examples import (
    ForkExamples,
    label_entropy,
)
from pipeline.training.fork_settings import (
    ADAM,
    WATCHED_IMAGES,
    fork_settings,
    one_batch_settings,
    without_regularisation,
)

_STEPS_PER_EPOCH = 15


class Parts(Protocol):
    """Where the losses of finished groups of forks are kept, so that a killed probe goes on."""

    def read(self, part: str) -> Mapping[str, np.ndarray] | None:
        """Return the arrays of a part; None where it has not finished."""

    def write(self, part: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays of a part."""


@dataclass(frozen=True)
class Trained:
    """A trained model with the data and settings of its forks.

    fresh: the same network with new weights.
    part: the images it was trained on, with the labels it saw.
    last_rate: learning rate of the epoch whose weights are kept.
    kept_is_last: whether that epoch is the last one.
    """

    network: nn.Module
    fresh: nn.Module
    settings: Settings
    card: DataCard
    part: ImageSet
    val: ImageSet
    last_rate: float
    kept_is_last: bool


def training_part(settings: Settings, prepared: Prepared) -> ImageSet:
    """Return the images and labels that a run with these settings trains on."""
    return images_of(prepared, settings, channels_last=False).training_part()


def run(
    trained: Trained,
    planned: ProbePlan,
    *,
    wide: nn.Module | None,
    lacking: str,
    report: Callable[[str], None],
    parts: Parts,
) -> Outcome:
    """Train every fork and measure it; the model itself and its files stay as they are.

    wide: an untrained network with twice the units; None where there is none, and ``lacking`` says
    why.  report: called with one line after each fork.  parts: of the same probe that have
    finished before are not trained again.
    """
    num_images, seed = planned.num_images, trained.settings.seed
    examples = ForkExamples(
        trained.part, trained.val, trained.card, num_images=num_images, seed=seed
    )
    wider, missing = _widened(trained, wide, examples, lacking=lacking)
    before = examples.measured([trained.network])

    def measured(name: str, start: Trained, network: nn.Module, factor: float) -> Fork:
        trained_copies = _forked(start, network, planned, examples, factor)
        fork = _read(parts, name) or _kept(parts, name, examples.measured(trained_copies))
        report(f"{name}: {_change(before, fork)}")
        return fork

    rates = {
        factor: measured(f"{factor:g} times the learning rate", trained, trained.network, factor)
        for factor in FACTORS
    }
    # New weights start at the rate of the settings: the last rate may have come down a long way.
    anew = replace(trained, last_rate=trained.settings.optimizer.learning_rate)
    name = f"new weights, {FRESH_FACTOR:g} times the learning rate"
    fresh = measured(name, anew, trained.fresh, FRESH_FACTOR)
    widened = measured("twice the units", trained, wider, 1.0) if wider is not None else None
    batch = _one_batch(trained, examples)
    report(f"one batch: loss {float(batch.own.mean()):.3g} after {BATCH_STEPS} steps")
    return Outcome(
        before=before,
        rates=rates,
        fresh=fresh,
        wider=widened,
        batch=batch,
        epochs=planned.epochs * planned.num_images / len(trained.part),
        kept_is_last=trained.kept_is_last,
        lacking=missing,
    )


def _read(parts: Parts, name: str) -> Fork | None:
    """The fork of a part that has finished before."""
    arrays = parts.read(name)
    return None if arrays is None else Fork(val=arrays["val"], train=arrays["train"])


def _kept(parts: Parts, name: str, fork: Fork) -> Fork:
    parts.write(name, {"val": fork.val, "train": fork.train})
    return fork


def _widened(
    trained: Trained, wide: nn.Module | None, examples: ForkExamples, *, lacking: str
) -> tuple[nn.Module | None, dict[str, str]]:
    """Put the weights into the wide network; where that fails, return the reason instead."""
    if wide is None:
        return None, {"wider": lacking}
    try:
        embed(trained.network, wide, images=examples.standardised(trained.val.images[:256]))
    except NotWidened as error:
        return None, {"wider": str(error)}
    return wide, {}


def _change(before: Fork, after: Fork) -> str:
    return f"validation loss {float(before.val.mean()):.4f} -> {float(after.val.mean()):.4f}"


def _forked(
    trained: Trained, network: nn.Module, planned: ProbePlan, examples: ForkExamples, factor: float
) -> Iterator[nn.Module | None]:
    """Train one copy a repeat; None where it diverged."""
    for seed, images in zip(examples.seeds, examples.shown, strict=True):
        settings = fork_settings(
            trained.settings,
            last_rate=trained.last_rate,
            factor=factor,
            epochs=planned.epochs,
            seed=seed,
        )
        yield _fitted(network, settings, images, trained)


def _fitted(
    network: nn.Module, settings: Settings, images: ImageSet, trained: Trained
) -> nn.Module | None:
    """Train a copy of the network on the images; None where it diverged."""
    watched = take(trained.val, np.arange(min(WATCHED_IMAGES, len(trained.val))))
    unread = take(trained.val, np.arange(0))  # no fork sees the test part
    prepared = Prepared(train=images, val=watched, test=unread, card=trained.card)
    copied = copy.deepcopy(network)
    _to_training(copied, like=trained.fresh)
    try:
        return fit(copied, prepared, settings=settings, show_progress=False).network
    except TrainingError:
        return None


def _to_training(network: nn.Module, *, like: nn.Module) -> None:
    """Set the modes for a training; parts that a person's own class keeps in evaluation stay so.

    like: a network as its class has built it.
    """
    network.train()
    kept = {name for name, module in like.named_modules() if not module.training}
    for name, module in network.named_modules():
        if name in kept:
            module.training = False


def _one_batch(trained: Trained, examples: ForkExamples) -> Batch:
    """Learn each batch alone; where the run's optimizer does not get there, try Adam too."""
    entropy = np.array([label_entropy(batch.labels) for batch in examples.batches])
    plain = replace(
        trained,
        network=_without_dropout(trained.network),
        settings=without_regularisation(trained.settings),
    )
    own = _last_losses(plain, plain.settings, examples)
    adam = None
    if float((own / entropy).mean()) > BY_HEART:
        with_adam = plain.settings.model_copy(update={"optimizer": ADAM})
        adam = _last_losses(plain, with_adam, examples)
    return Batch(entropy=entropy, own=own, adam=adam)


def _last_losses(trained: Trained, settings: Settings, examples: ForkExamples) -> np.ndarray:
    """Return the mean loss of each batch ``[B]`` after `BATCH_STEPS` steps on it alone."""
    losses = []
    for batch in examples.batches:
        repeated = take(batch, np.tile(np.arange(len(batch)), _STEPS_PER_EPOCH))
        epochs = BATCH_STEPS // _STEPS_PER_EPOCH
        changed = one_batch_settings(settings, epochs=epochs, batch_size=len(batch))
        network = _fitted(trained.network, changed, repeated, trained)
        losses.append(float(examples.losses(network, batch).mean()))
    return np.array(losses)


def _without_dropout(network: nn.Module) -> nn.Module:
    copied = copy.deepcopy(network)
    for module in copied.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase):
            module.dropout = 0.0
    return copied
