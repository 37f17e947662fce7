"""Rules across fields: values that contradict each other, and values without effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set

from pipeline.config import schema
from pipeline.config.augment_schema import ComposeSettings, EraseSettings, IdentitySettings
from pipeline.config.guard import check_allowed
from pipeline.config.hydra_guard import check_allow_targets
from pipeline.config.lightning import attached, check_attached, mistakes_of_extra
from pipeline.config.schema import Settings
from pipeline.errors import ConfigError

ERASE = "pipeline.data.augment.Erase"


def check_rules(settings: Settings, *, explicit: Set[str] = frozenset()) -> None:
    """Raise `ConfigError` for settings that contradict each other or were set without effect.

    explicit: the keys a person set for this run (``model.width``, or ``activation`` for a group).
    """
    check_allow_targets(settings.allow_targets)  # these may come from a file, not from Hydra
    for name in ("augment", "model", "activation", "loss", "optimizer"):
        target = getattr(settings, name).target
        check_allowed(target, allow=settings.allow_targets, key=f"{name}._target_")
    if isinstance(settings.data, schema.OwnData):
        check_allowed(settings.data.target, allow=settings.allow_targets, key="data._target_")
    if isinstance(settings.schedule, schema.OwnSchedule):
        target = settings.schedule.target
        check_allowed(target, allow=settings.allow_targets, key="schedule._target_")
        if target.endswith(".ReduceLROnPlateau"):
            raise ConfigError(f"schedule._target_={target}: Use schedule=plateau instead.")
    check_attached(settings)
    mistakes = [
        *mistakes_of_extra(settings),
        *_contradictions(settings),
        *_miscounted_steps(settings),
        *_unfit_for_tables(settings),
    ]
    for keys, ineffective, why in _EFFECTS:
        touched = sorted(k for k in explicit if k in keys or k.split(".")[0] in keys)
        if touched and ineffective(settings):
            mistakes.append(f"{touched[0]} was set, but has no effect: {why}. Leave it out.")
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _contradictions(s: Settings) -> Iterator[str]:
    warmup = getattr(s.schedule, "warmup_epochs", 0.0)
    if warmup >= s.trainer.max_epochs and warmup > 0:
        yield (
            f"schedule.warmup_epochs={warmup:g}: must be less than "
            f"trainer.max_epochs={s.trainer.max_epochs}, or the learning rate never reaches its "
            "value. Lower the one or raise the other."
        )
    if s.trainer.precision == "16" and s.trainer.accelerator == "cpu":
        yield (
            "trainer.precision=16: float16 training needs a GPU. "
            "Use precision=bf16 or precision=fp32."
        )
    if s.trainer.accelerator == "mps" and s.trainer.strategy == "ddp":
        yield (
            "trainer.strategy=ddp: Apple's mps has one device. "
            "Use trainer.strategy=auto, or another accelerator."
        )
    if s.schedule.name == "step" and getattr(s.schedule, "every_epochs", 0) >= s.trainer.max_epochs:
        yield (
            f"schedule.every_epochs={getattr(s.schedule, 'every_epochs', 0)}: must be less than "
            f"trainer.max_epochs={s.trainer.max_epochs}, or the step never comes. Lower it, or use "
            "schedule=constant."
        )
    if s.data.batch_size == 1 and getattr(s.model, "normalization", "none") == "batch":
        yield (
            "data.batch_size=1: model.normalization=batch needs at least two images a batch. "
            "Use a larger batch, or model.normalization=layer."
        )
    if s.data.sampling == "balanced" and getattr(s.loss, "class_weights", None) == "balanced":
        yield (
            "loss.class_weights=balanced: data.sampling=balanced shows rare classes as often as "
            "others already. Choose one of the two."
        )
    for key, low, high in _erased_areas(s):
        if low > high:
            yield f"{key}.min_area={low}: must be at most {key}.max_area={high}. Exchange them."
    if isinstance(s.augment, ComposeSettings) and not s.augment.steps:
        yield "augment.steps=[]: must hold at least one transform. Use augment=none instead."


def _miscounted_steps(s: Settings) -> Iterator[str]:
    """Yield what changes the number of steps by which a schedule sets the learning rate."""
    warms_up = getattr(s.schedule, "warmup_epochs", 0.0) > 0
    if not warms_up and s.schedule.name not in ("cosine", "onecycle", "step"):
        return
    for key, node in attached(s).items():
        if str(node["_target_"]).endswith(".GradientAccumulationScheduler"):
            yield (
                f"{key}: changes the number of steps an epoch, and schedule={s.schedule.name} "
                "counts steps. Use trainer.extra={accumulate_grad_batches: …}, or "
                "schedule=constant."
            )


def _unfit_for_tables(s: Settings) -> Iterator[str]:
    """Yield what needs pictures: neighbours in a row of a table have nothing in common."""
    if not isinstance(s.data, schema.TableData):
        return
    if isinstance(s.model, schema.CNNSettings | schema.ResNetSettings | schema.Recurrent):
        yield f"model={s.model.name}: a table has no pixels. Use model=mlp, or one of your own."
    if not isinstance(s.augment, IdentitySettings):
        yield f"augment={s.augment.name}: changes pictures, and data=table has rows. Leave it out."
    if s.evaluation.tta:
        yield "evaluation.tta: views are of pictures, and data=table has rows. Leave it out."


def _erased_areas(s: Settings) -> Iterator[tuple[str, float, float]]:
    """Key, smallest and largest area of every rectangle that an augmentation erases."""
    if isinstance(s.augment, EraseSettings):
        yield "augment", s.augment.min_area, s.augment.max_area
    for index, step in enumerate(s.augment.steps if isinstance(s.augment, ComposeSettings) else []):
        if step["_target_"] == ERASE:
            yield f"augment.steps.{index}", step["min_area"], step["max_area"]


_RECURRENT = (schema.Recurrent,)
Effect = tuple[Set[str], Callable[[Settings], bool], str]
# (keys, when they have no effect, why)
_EFFECTS: list[Effect] = [
    (
        {"activation"},
        lambda s: isinstance(s.model, _RECURRENT),
        "recurrent cells have their own (model=rnn takes model.nonlinearity=tanh|relu)",
    ),
    (
        {"model.width", "model.dropout", "model.normalization", "activation"},
        lambda s: isinstance(s.model, schema.MLPSettings) and s.model.depth == 0,
        "model.depth=0 is softmax regression, without hidden layers",
    ),
    (
        {"trainer.devices"},
        lambda s: s.trainer.accelerator == "mps" and s.trainer.devices != 1,
        "mps has one device",
    ),
    (
        {"tracking.uri", "tracking.experiment"},
        lambda s: not s.tracking.enabled,
        "tracking=none records nothing",
    ),
    (
        {"data.label_noise_seed"},
        lambda s: s.data.label_noise == 0,
        "data.label_noise=0 shuffles no labels",
    ),
    (
        {"signals.sample_size", "signals.seed"},
        lambda s: not s.signals.enabled,
        "signals=none measures nothing",
    ),
    (
        {"init"},
        lambda s: s.initial_weights is not None,
        "initial_weights names a file that holds all weights",
    ),
    (
        {"trainer.keep"},
        lambda s: s.trainer.keep == "best" and s.trainer.max_epochs == 1,
        "with one epoch the best is the last",
    ),
    (
        {"evaluation.severities", "evaluation.corruption_size"},
        lambda s: not s.evaluation.corruptions,
        "evaluation.corruptions is empty",
    ),
    (
        {"augment"},
        lambda s: isinstance(s.augment, IdentitySettings) and s.augment.name != "none",
        "it changes nothing",
    ),
    (
        {"data.fraction"},
        lambda s: s.trainer.overfit_batches > 0,
        "trainer.overfit_batches trains on a few batches only",
    ),
]
