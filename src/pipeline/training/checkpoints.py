"""Checkpoints for resuming: written whole or not at all, kept until the run has finished.

They live outside DVC's outputs (DVC deletes those before it runs a stage), in a folder named by the
hash of everything that decides the weights. The same command after a kill finds its own folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from pipeline.files import write_atomically

LAST = "last.ckpt"
# Where the main process tells the others that it starts which folder it holds.
SHARED = "PIPELINE_CHECKPOINTS"


class WholeFileIO(TorchCheckpointIO):
    """Saves to a temporary file beside the target, flushes it to the disk, then renames it.

    Lightning's own saving swallows ``PermissionError``, stages in ``$TMPDIR`` (which may be another,
    smaller disk) and does not flush: after a power cut the file can be empty.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one checkpoint; raises ``OSError`` where the disk refuses."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)


class EpochCheckpoint(Checkpoint):
    """Saves at the end of every epoch; being a `Checkpoint`, Lightning calls it after all others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Write ``last.ckpt``."""
        trainer.save_checkpoint(self.folder / LAST)


class ResumeFolder:
    """The folder of one run's checkpoints, held by one process at a time.

    ``last`` is the checkpoint to resume from, or None. ``note`` keeps small values (such as the id
    of the tracked run) across kills. A second process with the same configuration gets a folder of
    its own instead of writing into this one.
    """

    def __init__(self, root: Path, key: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for slot in range(1000):
            name = key if slot == 0 else f"{key}-{slot}"
            lock = FileLock(root / f"{name}.lock")
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                self.folder, self._lock = root / name, lock
                os.environ[SHARED] = str(self.folder)
                return
        raise RuntimeError(f"{root}: a thousand runs of the same configuration at once")

    @property
    def last(self) -> Path | None:
        """The checkpoint to resume from."""
        path = self.folder / LAST
        return path if path.is_file() else None

    def read_note(self) -> dict[str, Any]:
        """Return what `write_note` kept, or nothing."""
        try:
            return dict(json.loads((self.folder / "note.json").read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def write_note(self, note: Mapping[str, Any]) -> None:
        """Keep small values for a later resume."""
        write_atomically(self.folder / "note.json", json.dumps(dict(note)).encode())

    def finish(self) -> None:
        """The run has its result: its checkpoints are not needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Leave the folder for whoever resumes."""
        os.environ.pop(SHARED, None)
        self._lock.release()


class SharedFolder:
    """The main process's folder, as the other processes of a distributed run see it.

    Saving and loading are steps that all processes take together: one that left them out would
    make the others wait for ever.
    """

    def __init__(self) -> None:
        self.folder = Path(os.environ[SHARED])

    @property
    def last(self) -> Path | None:
        """The checkpoint to resume from."""
        path = self.folder / LAST
        return path if path.is_file() else None
