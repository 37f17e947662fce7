"""What a configuration may hand to Lightning: arguments of its Trainer, callbacks, loggers.

Lightning itself is imported only where a training begins; a test compares the names with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config.guard import check_allowed
from pipeline.config.schema import Settings
from pipeline.config.words import nearest
from pipeline.errors import ConfigError

# Arguments that ``trainer.extra`` passes on.
PASSED = (
    *("accumulate_grad_batches", "benchmark", "detect_anomaly", "enable_autolog_hparams"),
    *("enable_model_summary", "gradient_clip_algorithm", "gradient_clip_val", "inference_mode"),
    *("log_every_n_steps", "max_steps", "max_time", "min_epochs", "min_steps", "profiler"),
    *("reload_dataloaders_every_n_epochs", "sync_batchnorm"),
)
_EVERY_EPOCH = "every epoch is measured on the whole validation part. Leave it out."
# Arguments that the pipeline sets itself, and its own way to the same end.
SET_BY_US: Mapping[str, str] = {
    "accelerator": "Set trainer.accelerator.",
    "strategy": "Set trainer.strategy.",
    "devices": "Set trainer.devices.",
    "num_nodes": "a training runs on one machine. Set trainer.devices.",
    "precision": "Choose precision=bf16|fp16|fp32.",
    "logger": "Choose logger=csv, or another option of that group.",
    "callbacks": "Choose callbacks=ema, or another option of that group.",
    "fast_dev_run": "Use debug=fast.",
    "max_epochs": "Set trainer.max_epochs.",
    "limit_train_batches": "Set data.fraction.",
    "limit_val_batches": _EVERY_EPOCH,
    "limit_test_batches": "`pipeline evaluate` measures the test part. Leave it out.",
    "limit_predict_batches": "`pipeline predict` names pictures. Leave it out.",
    "overfit_batches": "Set trainer.overfit_batches.",
    "val_check_interval": _EVERY_EPOCH,
    "check_val_every_n_epoch": _EVERY_EPOCH,
    "num_sanity_val_steps": "the network is tried on two images before. Leave it out.",
    "enable_checkpointing": "each epoch is kept in checkpoints/. Set trainer.keep=best.",
    "enable_progress_bar": "a terminal gets a bar, anything else gets lines. Leave it out.",
    "deterministic": "Set trainer.deterministic.",
    "use_distributed_sampler": "the images are shared among processes already. Leave it out.",
    "plugins": "its checkpoints must be whole files. Leave it out.",
    "barebones": "its measurements are what the verdict needs. Leave it out.",
    "default_root_dir": "Lightning's files lie in outputs/lightning/<name>. Leave it out.",
    "model_registry": "MLflow keeps the models. Leave it out.",
}
_OF_CALLBACKS, _OF_LOGGERS = "pytorch_lightning.callbacks", "pytorch_lightning.loggers"
# Classes of Lightning that write no file at a place of their own choice and open no connection.
HARMLESS: Mapping[str, tuple[str, ...]] = {
    "callbacks": tuple(
        f"{_OF_CALLBACKS}.{name}"
        for name in (
            *("DeviceStatsMonitor", "EMAWeightAveraging", "EarlyStopping", "ModelSummary"),
            *("GradientAccumulationScheduler", "LearningRateMonitor", "RichModelSummary"),
            *("StochasticWeightAveraging", "Timer", "WeightAveraging"),
        )
    ),
    "logger": tuple(f"{_OF_LOGGERS}.{name}" for name in ("CSVLogger", "TensorBoardLogger")),
    "metrics": ("torchmetrics",),
}
# What the pipeline keeps itself; a second one beside it would quarrel with it.
_INSTEAD = {
    "ModelCheckpoint": "The weights are kept already: trainer.keep=best.",
    "OnExceptionCheckpoint": "Each epoch is kept already, also before an error.",
    "RichProgressBar": "A terminal has a bar already.",
    "TQDMProgressBar": "A terminal has a bar already.",
}
_PLACES = ("save_dir", "name")


def nodes_of(section: str, value: Mapping[str, Any] | list[Any] | None) -> dict[str, Any]:
    """Return dotted key → node for each object of a section, given by name or as a list."""
    if value is None:
        return {}
    pairs = enumerate(value) if isinstance(value, list) else value.items()
    return {f"{section}.{key}": node for key, node in pairs if node is not None}


def attached(settings: Settings) -> dict[str, Any]:
    """Return dotted key → node of all callbacks, metrics and loggers."""
    sections = {name: getattr(settings, name) for name in HARMLESS}
    return {k: n for name, value in sections.items() for k, n in nodes_of(name, value).items()}


def check_attached(settings: Settings) -> None:
    """Raise `ConfigError` for a callback, metric or logger that may not be built."""
    for key, node in attached(settings).items():
        section = key.partition(".")[0]
        if not isinstance(node, Mapping) or "_target_" not in node:
            raise ConfigError(
                f"{key}={node}: must be a class with its arguments: {{_target_: <package.Class>}}"
            )
        target = str(node["_target_"])
        name = target.rpartition(".")[2]
        if target.startswith(_OF_CALLBACKS) and name in _INSTEAD:
            raise ConfigError(f"{key}._target_={target}: {_INSTEAD[name]} Leave it out.")
        if section == "logger" and (place := next((k for k in _PLACES if k in node), None)):
            raise ConfigError(
                f"{key}.{place}={node[place]}: a logger writes into outputs/lightning/<name>. "
                "Leave it out."
            )
        allow = (*HARMLESS[section], *settings.allow_targets)
        check_allowed(target, allow=allow, key=f"{key}._target_")


def mistakes_of_extra(settings: Settings) -> Iterator[str]:
    """Yield a message for each argument of ``trainer.extra`` that cannot be passed on."""
    extra = settings.trainer.extra or {}
    for name, value in extra.items():
        key = f"trainer.extra.{name}={value}"
        if name in SET_BY_US:
            yield f"{key}: the pipeline sets it: {SET_BY_US[name]}"
        elif name not in PASSED:
            known = [name for name in PASSED if name not in SET_BY_US]
            yield f"{key}: Lightning's Trainer has no such argument{nearest(name, known)}"
    for name in ("accumulate_grad_batches", "max_steps"):
        value = extra.get(name, 1)
        if type(value) is not int or value < 1:
            yield f"trainer.extra.{name}={value}: must be a whole number of 1 or more"
    if "gradient_clip_val" in extra and extra.get("gradient_clip_algorithm") != "value":
        yield (
            f"trainer.extra.gradient_clip_val={extra['gradient_clip_val']}: the pipeline clips by "
            "the norm itself. Set trainer.gradient_clip_norm, or add gradient_clip_algorithm: value"
        )
    if extra.get("gradient_clip_algorithm") and settings.trainer.gradient_clip_norm is not None:
        yield (
            "trainer.extra.gradient_clip_algorithm: trainer.gradient_clip_norm clips already. "
            "Set trainer.gradient_clip_norm=null, or leave it out."
        )
