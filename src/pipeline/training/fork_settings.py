"""The settings of a fork: those of the run, but for its rate, its length and its seed."""

from __future__ import annotations

from typing import Any

from pipeline.config import schema
from pipeline.config.augment_schema import IdentitySettings
from pipeline.config.lightning import nodes_of
from pipeline.config.schema import Settings

# Lightning evaluates these images after each epoch of a fork; nothing reads the result.
WATCHED_IMAGES = 200
# Arguments of Lightning's Trainer that end a whole run, or that only watch it.
_OF_THE_RUN = ("max_steps", "max_time", "min_epochs", "min_steps", "profiler")
# Lightning's own callbacks that leave the weights as they are, or that end a run.
_WATCHING = (
    *("DeviceStatsMonitor", "EarlyStopping", "LearningRateMonitor", "ModelSummary"),
    *("RichModelSummary", "Timer"),
)
_ACCUMULATED = "accumulate_grad_batches"
# A control for the one batch: it shows whether any usual step moves the network.
ADAM = schema.Adam(
    name="adam",
    target="torch.optim.Adam",
    learning_rate=1e-3,
    weight_decay=0.0,
    betas=[0.9, 0.999],
    eps=1e-8,
)


def fork_settings(
    settings: Settings, *, last_rate: float, factor: float, epochs: int, seed: int
) -> Settings:
    """Return the run's settings for a fork; whatever else acts on the weights stays as it was.

    A schedule that ends low (cosine, onecycle) runs once more, shorter. After any other schedule
    the last rate stays. The first tenth of a fork rises from zero, since the optimizer has lost
    its averages.

    last_rate: learning rate of the kept epoch.  factor: multiplies the learning rate.
    """
    warmup = 0.1 * epochs
    schedule: Any = schema.Constant(name="constant", warmup_epochs=warmup)
    rate = last_rate
    if settings.schedule.name in ("cosine", "onecycle"):
        final = getattr(settings.schedule, "final_factor", 0.0)
        schedule = schema.Cosine(name="cosine", warmup_epochs=warmup, final_factor=final)
        rate = settings.optimizer.learning_rate
    return short_run(
        settings,
        rate=factor * rate,
        schedule=schedule,
        epochs=epochs,
        seed=seed,
        batch_size=settings.data.batch_size,
    )


def one_batch_settings(settings: Settings, *, epochs: int, batch_size: int) -> Settings:
    """Return settings that show one batch of images again and again, at the run's rate.

    Gradients are not accumulated: those of equal batches have the same mean.
    """
    extra = {k: v for k, v in (settings.trainer.extra or {}).items() if k != _ACCUMULATED}
    trainer = settings.trainer.model_copy(update={"extra": extra or None})
    return short_run(
        settings.model_copy(update={"trainer": trainer}),
        rate=settings.optimizer.learning_rate,
        schedule=schema.Constant(name="constant", warmup_epochs=0.0),
        epochs=epochs,
        seed=settings.seed,
        batch_size=batch_size,
    )


def short_run(
    settings: Settings, *, rate: float, schedule: Any, epochs: int, seed: int, batch_size: Any
) -> Settings:
    """Return the settings of a run on given images: one device, last weights, nothing recorded."""
    # The images are chosen already, with the labels that the run saw.
    data = {"fraction": 1.0, "label_noise": 0.0, "batch_size": batch_size}
    extra = {k: v for k, v in (settings.trainer.extra or {}).items() if k not in _OF_THE_RUN}
    trainer = {
        "extra": extra or None,
        "max_epochs": epochs,
        "early_stopping_patience": None,
        "keep": "last",
        "overfit_batches": 0,
        "sample_size": WATCHED_IMAGES,
        "devices": 1,
        "strategy": "auto",
    }
    return settings.model_copy(
        update={
            "seed": seed,
            "data": settings.data.model_copy(update=data),
            "optimizer": settings.optimizer.model_copy(update={"learning_rate": rate}),
            "schedule": schedule,
            "trainer": settings.trainer.model_copy(update=trainer),
            "signals": settings.signals.model_copy(update={"enabled": False}),
            "callbacks": _acting(settings),
            "metrics": None,
            "logger": None,
        }
    )


def _acting(settings: Settings) -> dict[str, Any]:
    """Return the callbacks by name, without those of Lightning that only watch."""
    nodes = nodes_of("callbacks", settings.callbacks)
    return {
        key.partition(".")[2]: node
        for key, node in nodes.items()
        if str(node["_target_"]) not in {f"pytorch_lightning.callbacks.{n}" for n in _WATCHING}
    }


def without_regularisation(settings: Settings) -> Settings:
    """Return the settings without penalties, weight decay and augmentation."""
    return settings.model_copy(
        update={
            "penalty": settings.penalty.model_copy(update={"l1": 0.0, "l2": 0.0}),
            "optimizer": settings.optimizer.model_copy(update={"weight_decay": 0.0}),
            "augment": IdentitySettings(name="none", target="pipeline.data.augment.Identity"),
        }
    )
