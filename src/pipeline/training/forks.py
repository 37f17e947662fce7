"""Short runs from a trained model's weights, on the training part that it was trained on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from pipeline.config.schema import Settings
from pipeline.data.prepare import take
from pipeline.diagnosis.probes.one_batch import BY_HEART
from pipeline.diagnosis.probes.outcome import FACTORS, FRESH_FACTOR, Batch, Fork, Outcome
from pipeline.errors import TrainingError
from pipeline.models.widen import NotWidened, embed
from pipeline.records import DataCard, ImageSet, Prepared
from pipeline.training.assembly import images_of
from pipeline.training.fit import fit
from pipeline.training.fork_examples import (
    BATCH_SIZE,
    NUM_BATCHES,
    REPEATS,
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

# The most images that one fork trains on, over all its epochs.
MOST_IMAGES = 40_000
# The length of a fork as a share of the run.
SHARE_OF_RUN = 0.25
BATCH_STEPS = 300
_STEPS_PER_EPOCH = 15


@dataclass(frozen=True)
class ForkPlan:
    """The length of the forks, known before they run.

    epochs: of a fork, over ``num_images`` of the training part.  num_runs: short runs in all.
    shown_images: in all runs.  seconds: estimate for all runs, at the speed of the run itself; NaN
    where that speed is not known.
    """

    epochs: int
    num_images: int
    num_runs: int
    shown_images: int
    seconds: float


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


def plan(
    *, num_train: int, epochs_done: int, images_per_s: float, epochs: int | None, widened: bool
) -> ForkPlan:
    """Choose the length of a fork: a quarter of the run, between one epoch and `MOST_IMAGES`.

    epochs: the length that a person chose instead; then every image is used.
    widened: whether there are forks of a wider network.
    """
    num_images = num_train if epochs else min(num_train, MOST_IMAGES)
    if epochs is None:
        epochs = max(1, min(round(SHARE_OF_RUN * epochs_done), MOST_IMAGES // num_images))

    num_forks = REPEATS * (len(FACTORS) + 1)  # each rate, and new weights
    num_wide = REPEATS if widened else 0
    one_batch = 2 * NUM_BATCHES * BATCH_STEPS * BATCH_SIZE  # with Adam, too
    narrow_images = num_forks * epochs * num_images + one_batch
    wide_images = num_wide * epochs * num_images
    # Twice the units are four times the work in the layers between.
    work = narrow_images + 4 * wide_images
    return ForkPlan(
        epochs=epochs,
        num_images=num_images,
        num_runs=num_forks + num_wide + 2 * NUM_BATCHES,
        shown_images=narrow_images + wide_images,
        seconds=work / images_per_s,
    )


def run(
    trained: Trained,
    planned: ForkPlan,
    *,
    wide: nn.Module | None,
    lacking: str,
    report: Callable[[str], None],
) -> Outcome:
    """Train every fork and measure it; the model itself and its files stay as they are.

    wide: an untrained network with twice the units; None where there is none, and ``lacking`` says
    why.  report: called with one line after each fork.
    """
    examples = ForkExamples(
        trained.part,
        trained.val,
        trained.card,
        num_images=planned.num_images,
        seed=trained.settings.seed,
    )
    wider, missing = _widened(trained, wide, examples, lacking=lacking)
    before = examples.measured([trained.network])

    def measured(name: str, start: Trained, network: nn.Module, factor: float) -> Fork:
        fork = examples.measured(_forked(start, network, planned, examples, factor))
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
    trained: Trained, network: nn.Module, planned: ForkPlan, examples: ForkExamples, factor: float
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
    copied.train()
    try:
        return fit(copied, prepared, settings=settings, show_progress=False).network
    except TrainingError:
        return None


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
