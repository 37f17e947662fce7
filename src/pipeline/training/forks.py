"""Short runs from a trained model's weights, on the training part that it was trained on."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.config import schema
from pipeline.config.augment_schema import Identity
from pipeline.config.schema import Settings
from pipeline.data.batches import epoch_seed, standardisation
from pipeline.data.prepare import take
from pipeline.diagnosis.probes.one_batch import BY_HEART
from pipeline.diagnosis.probes.outcome import FACTORS, FRESH_FACTOR, Batch, Fork, Outcome
from pipeline.errors import TrainingError
from pipeline.evaluation.scores import log_softmax
from pipeline.models.inference import predict_logits
from pipeline.models.widen import NotWidened, embed
from pipeline.records import DataCard, ImageSet, Prepared
from pipeline.training.fit import fit, images_of

REPEATS = 2
# Images that one fork shows at most.
MOST_IMAGES = 40_000
# A fork is as long as this share of the run.
SHARE_OF_RUN = 0.25
NUM_BATCHES, BATCH_SIZE, BATCH_STEPS = 3, 64, 300
MEASURED_IMAGES = 5000
WATCHED_IMAGES = 200  # what Lightning evaluates after each epoch of a fork: nobody looks at it
_STEPS_PER_EPOCH = 15
# The control of the one batch: whether any usual step moves the network.
ADAM = schema.Adam(
    name="adam",
    target="torch.optim.Adam",
    learning_rate=1e-3,
    weight_decay=0.0,
    betas=[0.9, 0.999],
    eps=1e-8,
)
_STREAM = 7  # of the seeds, so that a fork's orders are none of the run's
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long the forks are, known before they run.

    epochs: of a fork, over ``num_images`` of the training part.  seconds: of all probes, about, as fast as
    the run itself was; NaN where that is not known.
    """

    epochs: int
    num_images: int
    num_runs: int
    shown_images: int
    seconds: float


@dataclass(frozen=True)
class Trained:
    """A trained model and what its forks need.

    fresh: the same network with new weights.  part: the images it was trained on, with the labels it saw.
    last_rate: learning rate of the epoch whose weights are kept.
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


def plan(*, num_train: int, epochs_done: int, images_per_s: float, epochs: int | None, widened: bool) -> Plan:
    """Choose the length of a fork: a quarter of the run, between one epoch and `MOST_IMAGES`.

    epochs: what a person asked for instead; then nothing is cut.
    """
    num_images = num_train if epochs else min(num_train, MOST_IMAGES)
    if epochs is None:
        epochs = max(1, min(round(SHARE_OF_RUN * epochs_done), MOST_IMAGES // num_images))
    forks = REPEATS * (len(FACTORS) + 1)  # and those from new weights
    wide = REPEATS if widened else 0
    one_batch = 2 * NUM_BATCHES * BATCH_STEPS * BATCH_SIZE  # with Adam's, where they are needed
    shown = forks * epochs * num_images + one_batch
    # Twice the units are four times the work in the layers between.
    work = shown + 4 * wide * epochs * num_images
    runs = forks + wide + 2 * NUM_BATCHES
    return Plan(epochs, num_images, runs, shown + wide * epochs * num_images, work / images_per_s)


def run(trained: Trained, planned: Plan, *, wide: nn.Module | None, lacking: str, say: Say) -> Outcome:
    """Train every fork and measure it; the model itself and its files stay as they are.

    wide: an untrained network with twice the units; None where there is none, and ``lacking`` says why.
    """
    examples = _Examples(trained, planned)
    missing: dict[str, str] = {}
    wider = None
    if wide is None:
        missing["wider"] = lacking
    else:
        try:
            embed(trained.network, wide, images=examples.standardised(trained.val.images[:256]))
            wider = wide
        except NotWidened as error:
            missing["wider"] = str(error)
    before = examples.measured([trained.network])
    rates = {}
    for factor in FACTORS:
        rates[factor] = examples.measured(_forked(trained, trained.network, planned, examples, factor))
        say(f"{factor:g} times the learning rate: {told(before, rates[factor])}")
    fresh = examples.measured(_forked(_anew(trained), trained.fresh, planned, examples, FRESH_FACTOR))
    say(f"new weights, {FRESH_FACTOR:g} times the learning rate: {told(before, fresh)}")
    widened = None
    if wider is not None:
        widened = examples.measured(_forked(trained, wider, planned, examples, 1.0))
        say(f"twice the units: {told(before, widened)}")
    batch = _one_batch(trained, examples)
    say(f"one batch: loss {float(batch.own.mean()):.3g} after {BATCH_STEPS} steps")
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


def _anew(trained: Trained) -> Trained:
    """The same, at the rate that the run was set to, whatever it came down to."""
    return replace(trained, last_rate=trained.settings.optimizer.learning_rate)


def told(before: Fork, after: Fork) -> str:
    """One fork's result in words."""
    return f"validation loss {float(before.val.mean()):.4f} -> {float(after.val.mean()):.4f}"


class _Examples:
    """The images of the forks, the same for all: what each repeat shows, and on what all are measured."""

    def __init__(self, trained: Trained, planned: Plan) -> None:
        self.card, self.val = trained.card, trained.val
        part, seed = trained.part, trained.settings.seed
        order = np.random.default_rng(epoch_seed(seed, 0, _STREAM)).permutation(len(part))
        self.train = take(part, np.sort(order[:MEASURED_IMAGES]))
        self.shown = [_sample(part, planned.num_images, seed=s) for s in self.seeds(seed)]
        self.batches = [
            take(part, np.sort(order[i * BATCH_SIZE : (i + 1) * BATCH_SIZE])) for i in range(NUM_BATCHES)
        ]
        self.batches = [b for b in self.batches if len(b) > 1]

    @staticmethod
    def seeds(seed: int) -> list[int]:
        """Of the repeats."""
        return [epoch_seed(seed, 1 + r, _STREAM) % 2**32 for r in range(REPEATS)]

    def standardised(self, images: np.ndarray) -> torch.Tensor:
        shift, scale = standardisation(self.card.mean, self.card.std)
        return torch.addcmul(shift, torch.tensor(images).float(), scale)

    def measured(self, networks: Iterable[nn.Module | None]) -> Fork:
        """Losses of one network a repeat; a repeat that diverged (None) is infinite everywhere."""
        found = [[self.losses(n, part) for part in (self.val, self.train)] for n in networks]
        return Fork(*(np.stack([each[i] for each in found]) for i in (0, 1)))

    def losses(self, network: nn.Module | None, images: ImageSet) -> np.ndarray:
        """Cross-entropy of each image ``[N]`` float64."""
        if network is None:
            return np.full(len(images), math.inf)
        logits = predict_logits(network, images.images, mean=self.card.mean, std=self.card.std)
        logs = log_softmax(logits.astype(np.float64))
        losses = -logs[np.arange(len(images)), images.labels]
        return losses if np.all(np.isfinite(losses)) else np.full(len(images), math.inf)


def _sample(images: ImageSet, number: int, *, seed: int) -> ImageSet:
    if number == len(images):
        return images
    return take(images, np.sort(np.random.default_rng(seed).permutation(len(images))[:number]))


def _forked(
    trained: Trained, network: nn.Module, planned: Plan, examples: _Examples, factor: float
) -> Iterator[nn.Module | None]:
    """Train one copy a repeat; None where it diverged."""
    for seed, images in zip(examples.seeds(trained.settings.seed), examples.shown, strict=True):
        settings = fork_settings(trained, factor=factor, epochs=planned.epochs, seed=seed)
        yield _fitted(network, settings, images, trained)


def fork_settings(trained: Trained, *, factor: float, epochs: int, seed: int) -> Settings:
    """The run's settings for a fork: all that acts on the weights but the rate is as it was.

    A schedule that ends low (cosine, onecycle) is gone through once more, shorter; after any other the
    last rate goes on. The first tenth rises from zero: the optimizer has forgotten its averages.
    """
    s = trained.settings
    warm = 0.1 * epochs
    schedule: Any = schema.Constant(name="constant", warmup_epochs=warm)
    rate = trained.last_rate
    if s.schedule.name in ("cosine", "onecycle"):
        final = getattr(s.schedule, "final_factor", 0.0)
        schedule = schema.Cosine(name="cosine", warmup_epochs=warm, final_factor=final)
        rate = s.optimizer.learning_rate
    return _changed(
        s, rate=factor * rate, schedule=schedule, epochs=epochs, seed=seed, batch_size=s.data.batch_size
    )


def _changed(s: Settings, *, rate: float, schedule: Any, epochs: int, seed: int, batch_size: Any) -> Settings:
    data = {"fraction": 1.0, "label_noise": 0.0, "batch_size": batch_size}  # the part is chosen already
    trainer = {
        "max_epochs": epochs,
        "early_stopping_patience": None,
        "keep": "last",
        "overfit_batches": 0,
        "probe_size": WATCHED_IMAGES,
        "devices": 1,
        "strategy": "auto",
    }
    return s.model_copy(
        update={
            "seed": seed,
            "data": s.data.model_copy(update=data),
            "optimizer": s.optimizer.model_copy(update={"learning_rate": rate}),
            "schedule": schedule,
            "trainer": s.trainer.model_copy(update=trainer),
            "signals": s.signals.model_copy(update={"enabled": False}),
        }
    )


def _fitted(network: nn.Module, settings: Settings, images: ImageSet, trained: Trained) -> nn.Module | None:
    watched = take(trained.val, np.arange(min(WATCHED_IMAGES, len(trained.val))))
    nothing = take(trained.val, np.arange(0))  # the test part is not read
    prepared = Prepared(train=images, val=watched, test=nothing, card=trained.card)
    copied = copy.deepcopy(network)
    copied.train()
    try:
        return fit(copied, prepared, settings=settings, show_progress=False).network
    except TrainingError:
        return None


def _one_batch(trained: Trained, examples: _Examples) -> Batch:
    entropy = np.array([_entropy(b.labels) for b in examples.batches])
    plain = _unregularised(trained)
    own = _learnt(plain, plain.settings, examples)
    adam = None
    if float((own / entropy).mean()) > BY_HEART:
        adam = _learnt(plain, plain.settings.model_copy(update={"optimizer": ADAM}), examples)
    return Batch(entropy=entropy, own=own, adam=adam)


def _learnt(trained: Trained, settings: Settings, examples: _Examples) -> np.ndarray:
    """Mean loss of each batch ``[B]`` after it alone was shown again and again."""
    found = []
    for batch in examples.batches:
        again = take(batch, np.tile(np.arange(len(batch)), _STEPS_PER_EPOCH))
        changed = _changed(
            settings,
            rate=settings.optimizer.learning_rate,
            schedule=schema.Constant(name="constant", warmup_epochs=0.0),
            epochs=BATCH_STEPS // _STEPS_PER_EPOCH,
            seed=settings.seed,
            batch_size=len(batch),
        )
        found.append(float(examples.losses(_fitted(trained.network, changed, again, trained), batch).mean()))
    return np.array(found)


def _unregularised(trained: Trained) -> Trained:
    """The same without dropout, penalties, weight decay and augmentation, which would hold the loss up."""
    s = trained.settings
    network = copy.deepcopy(trained.network)
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif isinstance(module, nn.RNNBase):
            module.dropout = 0.0
    settings = s.model_copy(
        update={
            "penalty": s.penalty.model_copy(update={"l1": 0.0, "l2": 0.0}),
            "optimizer": s.optimizer.model_copy(update={"weight_decay": 0.0}),
            "augment": Identity(name="none", target="pipeline.data.augment.Identity"),
        }
    )
    return replace(trained, network=network, settings=settings)


def _entropy(labels: np.ndarray) -> float:
    """Of the classes' shares, in nats."""
    shares = np.bincount(labels) / len(labels)
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
