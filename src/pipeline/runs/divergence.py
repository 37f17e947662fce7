"""A training whose loss was lost: the layer where that began, and the last finite weights."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from pipeline.config import RunConfig
from pipeline.config.lightning import attached
from pipeline.diagnosis.history import TRAINS_ITSELF
from pipeline.files import write_atomically
from pipeline.records import Prepared
from pipeline.runs.network import untrained_network
from pipeline.training.checkpoints import ResumeFolder, network_weights
from pipeline.training.fit import Diverged
from pipeline.training.replay import Loss, find_loss


def explained(
    error: Diverged, data: Prepared, config: RunConfig, *, resume: ResumeFolder, root: Path
) -> Diverged:
    """Return the error with two more sentences: where the loss began, and where the weights lie.

    The weights are written to ``checkpoints/diverged/``.  Several processes, and a person's own
    modules and callbacks, cannot train an epoch again: there the weights are those of the last
    whole epoch, if there is one.
    """
    found = _find(error, data, config, resume) if _can_repeat(error, config) else None
    weights = found.weights if found else network_weights(resume.last)
    sentences = [str(error)]
    if found:
        sentences.append(_where(found))
    if weights:
        path = _path(config.settings.name, resume, root=root)
        sentences.append(_kept(weights, path, root=root))
    return Diverged(" ".join(sentences), error.history, error.signals, world_size=error.world_size)


def _can_repeat(error: Diverged, config: RunConfig) -> bool:
    """Whether the lost epoch can be trained again as it was, without a person's own callbacks."""
    own = TRAINS_ITSELF in error.signals.metadata or attached(config.settings)
    return error.world_size == 1 and not own


def _find(error: Diverged, data: Prepared, config: RunConfig, resume: ResumeFolder) -> Loss | None:
    return find_loss(
        untrained_network(config.settings, data.card),
        data,
        settings=config.settings,
        checkpoint=resume.last,
        until_epoch=error.history[-1].epoch,
    )


def _where(found: Loss) -> str:
    step = f"at step {found.step}" if found.step else "in the evaluation"
    return f"The first number that was not finite was in {found.place}, {step}."


def _path(name: str, resume: ResumeFolder, *, root: Path) -> Path:
    """Return the file of these settings: another divergence under this name has its own."""
    return root / "checkpoints" / "diverged" / f"{name}-{resume.folder.name[:8]}.safetensors"


def _kept(weights: dict[str, Tensor], path: Path, *, root: Path) -> str:
    try:
        write_atomically(path, save(weights))
    except OSError as refused:
        return f"The last finite weights could not be written: {refused}."
    return f"The last finite weights are in {path.relative_to(root)}."
