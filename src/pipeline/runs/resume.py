"""The folder of a run's checkpoints: held while the run trains, and left in the right state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.errors import TrainingError
from pipeline.records import DataCard
from pipeline.runs import provenance
from pipeline.runs.role import Role
from pipeline.training.checkpoints import ResumeFolder


@contextmanager
def resumable(
    config: RunConfig, card: DataCard, *, role: Role, root: Path
) -> Iterator[ResumeFolder]:
    """Hold the run's folder in ``checkpoints/``, which an equal run that was killed has left.

    A finished run removes its checkpoints, and so does one that diverged: it would diverge again.
    Its last finite weights are kept elsewhere, see `pipeline.runs.divergence`.
    An interrupted run leaves them, whether by Ctrl-C, by a full disk, or by a lost device.
    """
    key = provenance.resume_key(config.values, card, root=root)
    folder = ResumeFolder(root / "checkpoints", key)
    try:
        yield folder
    except TrainingError:
        folder.finish()
        raise
    except BaseException:
        folder.release()
        raise
    if role.continues_elsewhere:
        folder.release()
    else:
        folder.finish()
