"""A training whose loss was lost: the layer where that began, and the last finite weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor

from pipeline.config import RunConfig
from pipeline.config.lightning import attached
from pipeline.diagnosis.history import TRAINS_ITSELF
from pipeline.files import write_atomically
from pipeline.models.saved import weights_as_bytes
from pipeline.records import Prepared
from pipeline.runs.network import untrained_network
from pipeline.training.checkpoints import ResumeFolder, network_weights
from pipeline.training.fit import Diverged
from pipeline.training.replay import Loss, find_loss


def explained(
    error: Diverged, data: Prepared, config: RunConfig, *, resume: ResumeFolder, root: Path
) -> Diverged:
    """Return the error with more sentences: where the loss began, where the weights lie, a way out.

    The weights are written to ``checkpoints/diverged/``.  Several processes, and a person's own
    modules and callbacks, cannot train an epoch again: there the weights are those of the last
    whole epoch, if there is one.
    """
    repeats = _can_repeat(error, config)
    found = _find(error, data, config, resume, root=root) if repeats else None
    of_epoch = network_weights(resume.last)
    sentences = [str(error)]
    if found:
        sentences.append(_where(found))
    keep = partial(_kept, name=config.settings.name, resume=resume, root=root)
    start = None
    if found:
        start = keep(found.weights, "the last finite weights", sentences)
    if of_epoch:  # those before a lost step may be far too large already
        start = keep(of_epoch, "the weights after the last whole epoch", sentences, "-epoch")
    if start:
        rate = config.settings.optimizer.learning_rate
        sentences.append(
            "To start from them with a lower rate, add to the same command: "
            f"initial_weights={start} optimizer.learning_rate={rate / 10:g}"
        )
    return Diverged(" ".join(sentences), error.history, error.signals, world_size=error.world_size)


def _can_repeat(error: Diverged, config: RunConfig) -> bool:
    """Whether the lost epoch can be trained again as it was, without a person's own callbacks."""
    own = TRAINS_ITSELF in error.signals.metadata or attached(config.settings)
    return error.world_size == 1 and not own


def _find(
    error: Diverged, data: Prepared, config: RunConfig, resume: ResumeFolder, *, root: Path
) -> Loss | None:
    return find_loss(
        untrained_network(config.settings, data.card, root=root),
        data,
        settings=config.settings,
        checkpoint=resume.last,
        until_epoch=error.history[-1].epoch,
    )


def _where(found: Loss) -> str:
    step = f"at step {found.step}" if found.step else "in the evaluation"
    return f"The first number that was not finite was in {found.place}, {step}."


def _kept(
    weights: dict[str, Tensor],
    what: str,
    sentences: list[str],
    ending: str = "",
    *,
    name: str,
    resume: ResumeFolder,
    root: Path,
) -> Path | None:
    """Write weights, and add the sentence on them; return the file's path below the root.

    The file is that of these settings: another divergence under this name has its own.
    """
    file = f"{name}-{resume.folder.name[:8]}{ending}.safetensors"
    path = root / "checkpoints" / "diverged" / file
    try:
        write_atomically(path, weights_as_bytes(weights))
    except OSError as refused:
        sentences.append(f"Here {what} could not be written: {refused}.")
        return None
    kept = path.relative_to(root)
    sentences.append(f"{what[0].upper()}{what[1:]} are in {kept}.")
    return kept
