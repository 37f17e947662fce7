"""Lightning's loops over batches, without what nothing here asks for.

Lightning's own loop looks in every step for hooks, loggers, several optimizers, devices, and
transfers. For a small network this takes as long as its step. Where a training is plain, these
loops do the same operations in the same order and skip the search, so the weights are the same, bit
for bit. Every other training takes Lightning's loop: with a module of a person's own, accumulated
gradients, several devices, loss scaling, or a callback that wants each batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytorch_lightning as lightning
from pytorch_lightning.loops.evaluation_loop import _EvaluationLoop
from pytorch_lightning.loops.fetchers import _PrefetchDataFetcher
from pytorch_lightning.loops.fit_loop import _FitLoop
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins import MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.trainer.states import RunningStage, TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException

from pipeline.training.module import Classifier
from pipeline.training.steady import steady_threads

# A callback of ours with this attribute needs nothing of Lightning's bookkeeping within an epoch.
PLAIN = "in_plain_loops"
TRAINING_HOOKS = ("on_train_batch_start", "on_before_optimizer_step", "on_train_batch_end")
EVALUATION_HOOKS = ("on_validation_batch_start", "on_validation_batch_end")
OTHER_HOOKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward")
HOOKS = (*TRAINING_HOOKS, *EVALUATION_HOOKS, *OTHER_HOOKS)
Hook = Callable[..., None]


def use_plain_loops(trainer: lightning.Trainer) -> None:
    """Let a trainer use the loops of this file wherever the training allows it."""
    given = trainer.fit_loop.epoch_loop
    trainer.fit_loop = WholeFitLoop(
        trainer, min_epochs=trainer.fit_loop.min_epochs, max_epochs=trainer.fit_loop.max_epochs
    )
    loop = PlainEpochLoop(trainer, min_steps=given.min_steps, max_steps=given.max_steps)
    loop.val_loop = PlainEvaluationLoop(
        trainer, TrainerFn.FITTING, RunningStage.VALIDATING, verbose=False, inference_mode=False
    )
    trainer.fit_loop.epoch_loop = loop


def is_plain(trainer: lightning.Trainer) -> bool:
    """Return whether nothing of a training needs Lightning's own loops over batches."""
    precision = trainer.precision_plugin
    unscaled = type(precision) is Precision or (
        type(precision) is MixedPrecision and precision.scaler is None
    )
    return (
        type(trainer.lightning_module) is Classifier
        and type(trainer.strategy) is SingleDeviceStrategy
        and unscaled
        and trainer.accumulate_grad_batches == 1
        and isinstance(trainer.profiler, PassThroughProfiler)  # type: ignore[attr-defined]
        and not trainer.loggers
        and all(map(_is_plain_callback, trainer.callbacks))  # type: ignore[attr-defined]
    )


def _is_plain_callback(callback: lightning.Callback) -> bool:
    if getattr(callback, PLAIN, False):
        return True
    return not any(_overrides(callback, name) for name in HOOKS)


def _overrides(callback: lightning.Callback, name: str) -> bool:
    return getattr(type(callback), name) is not getattr(lightning.Callback, name)


def _hooks(trainer: lightning.Trainer, names: tuple[str, ...]) -> list[list[Hook]]:
    """Return, for each name, the methods of the callbacks that have one."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return [[getattr(c, name) for c in callbacks if _overrides(c, name)] for name in names]


class WholeFitLoop(_FitLoop):
    """Begins and ends a resumed training also where no epoch is left of it.

    Lightning skips it then, and callbacks such as weight averaging never do what they do at the
    end: a run that was killed behind its last epoch would keep other weights.
    """

    @property
    def skip(self) -> bool:
        """Whether there is nothing that could be trained."""
        return self.max_batches == 0 or self.trainer.limit_train_batches == 0


class PlainEpochLoop(_TrainingEpochLoop):
    """Trains all batches of an epoch in one call of `advance`, where the training is plain."""

    def advance(self, data_fetcher: Any) -> None:
        """Train the batches up to the last one, or until a callback or a signal asks for an end."""
        if (
            self.restarting
            or not isinstance(data_fetcher, _PrefetchDataFetcher)
            or not is_plain(self.trainer)
        ):
            super().advance(data_fetcher)
            return
        self.val_loop.restarting = False
        step = _PlainSteps(self)
        while True:
            batch, _, _ = next(data_fetcher)
            self.batch_progress.is_last_batch = data_fetcher.done
            step(batch, self.batch_idx + 1)
            if self._pauses(data_fetcher):
                return
            self._batches_that_stepped += 1

    def _pauses(self, data_fetcher: Any) -> bool:
        """Return whether Lightning would do more now than begin with the next batch."""
        trainer = self.trainer
        ends = self._is_training_done or trainer.should_stop or trainer.received_sigterm
        return ends or self._should_check_val_fx(data_fetcher)


class _PlainSteps:
    """One training step: forward, backward, optimizer, schedule, with the hooks that exist."""

    def __init__(self, loop: PlainEpochLoop) -> None:
        trainer = loop.trainer
        self.loop, self.trainer = loop, trainer
        self.module: Any = trainer.lightning_module
        self.optimizer = trainer.optimizers[0]
        self.context = trainer.precision_plugin.train_step_context
        self.clips = trainer.gradient_clip_val is not None
        self.starts, self.before_steps, self.ends = _hooks(trainer, TRAINING_HOOKS)

    def __call__(self, batch: Any, index: int) -> None:
        trainer, module, optimizer = self.trainer, self.module, self.optimizer
        batches = self.loop.batch_progress
        steps = self.loop.automatic_optimization.optim_progress.optimizer
        batches.increment_ready()
        for hook in self.starts:
            hook(trainer, module, batch, index)
        module.on_train_batch_start(batch, index)
        batches.increment_started()

        with self.context():
            objective = module.training_step(batch, index)
        steps.step.increment_ready()
        optimizer.zero_grad()
        steps.zero_grad.increment_ready()
        steps.zero_grad.increment_started()
        steps.zero_grad.increment_completed()
        objective.backward()
        for hook in self.before_steps:
            hook(trainer, module, optimizer)
        if self.clips:
            with steady_threads():
                module.configure_gradient_clipping(
                    optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
                )
        optimizer.step()
        steps.step.increment_completed()

        batches.increment_processed()
        self.loop.update_lr_schedulers("step", update_plateau_schedulers=False)
        if self.loop._num_ready_batches_reached():
            self.loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        for hook in self.ends:
            hook(trainer, module, None, batch, index)
        batches.increment_completed()


class PlainEvaluationLoop(_EvaluationLoop):
    """Evaluates a batch without the search for hooks, where the training is plain."""

    def on_run_start(self) -> None:
        """Look once an evaluation whether the training is plain."""
        super().on_run_start()
        self._plain = is_plain(self.trainer) and not self.trainer.sanity_checking
        self._starts, self._ends = _hooks(self.trainer, EVALUATION_HOOKS)

    def _evaluation_step(
        self, batch: Any, batch_idx: int, dataloader_idx: int, dataloader_iter: Any
    ) -> None:
        if not self._plain or dataloader_iter is not None:
            super()._evaluation_step(batch, batch_idx, dataloader_idx, dataloader_iter)
            return
        trainer, module = self.trainer, cast(Classifier, self.trainer.lightning_module)
        self.batch_progress.increment_ready()
        for hook in self._starts:
            hook(trainer, module, batch, batch_idx, dataloader_idx)
        self.batch_progress.increment_started()
        with trainer.precision_plugin.val_step_context():
            module.validation_step(batch, batch_idx, dataloader_idx)
        self.batch_progress.increment_processed()
        for hook in self._ends:
            hook(trainer, module, None, batch, batch_idx, dataloader_idx)
        self.batch_progress.increment_completed()
        self._has_run = True
        if not self.batch_progress.is_last_batch and trainer.received_sigterm:
            raise SIGTERMException
