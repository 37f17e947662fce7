"""Checkpoints for resuming: written whole or not at all, kept until the run has finished.

They lie outside DVC's outputs, which DVC deletes before it runs a stage. Their folder is named by
the hash of everything that decides the weights, so the same command finds it again after a kill.
A checkpoint ends with its own hash. One that is damaged is deleted: its run begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from pipeline.errors import DataError, TrainingError
from pipeline.files import naming, read_bytes, sealed, unsealed, write_atomically

LAST, NOTE = "last.ckpt", "note.json"
MARK = b"sha256:"  # behind a checkpoint, before the hash of the bytes in front of it
WAY_OUT = "Delete its folder in checkpoints/, then train again."
MAX_RUNS_AT_ONCE = 1000
# The variable by which the main process passes its folder to the processes that it starts.
SHARED = "PIPELINE_CHECKPOINTS"


class WholeFileIO(TorchCheckpointIO):
    """Saves to a temporary file beside the target, flushes it to the disk, then renames it.

    Lightning's own saving hides ``PermissionError`` and does not flush: after a power cut the file
    can be empty. It also writes to ``$TMPDIR`` first, which may be on another, smaller disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write one checkpoint. Raises ``OSError`` where the disk refuses."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        # The settings have them, and a module's own may not load without unpickling code.
        kept = {key: value for key, value in checkpoint.items() if "hyper_parameters" not in key}
        torch.save(kept, content)
        hashed = hashlib.sha256(content.getbuffer()).hexdigest()
        content.write(MARK + hashed.encode())
        partial = target.with_suffix(".partial")
        try:
            with naming(target), partial.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read one checkpoint of `save_checkpoint`: tensors and plain values only.

        Raises `TrainingError` for a file that is not as it was written.
        """
        try:
            content = checked_checkpoint(Path(path))
        except DataError as error:
            raise TrainingError(str(error)) from error
        try:
            loaded: dict[str, Any] = torch.load(
                io.BytesIO(content), map_location=map_location, weights_only=True
            )
        except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
            raise TrainingError(
                f"{path}: is no checkpoint of a training, although its hash fits. {WAY_OUT}"
            ) from error
        return loaded


def checked_checkpoint(path: Path) -> bytes:
    """Return the content of a checkpoint without its hash. Raises `DataError` for a damaged one."""
    content = read_bytes(path, way_out=WAY_OUT)
    body, mark, hashed = content[:-71], content[-71:-64], content[-64:]
    if mark != MARK or hashlib.sha256(body).hexdigest() != hashed.decode("ascii", "replace"):
        raise DataError(f"{path}: is not as it was written. {WAY_OUT}")
    return body


def network_weights(path: Path | None) -> dict[str, Tensor]:
    """Return the network's weights in a checkpoint of `WholeFileIO`; empty without one."""
    if path is None:
        return {}
    state = WholeFileIO().load_checkpoint(path, map_location="cpu")["state_dict"]
    start = "network."
    return {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}


class EpochCheckpoint(Checkpoint):
    """Saves at the end of every epoch. Lightning calls a `Checkpoint` after all other callbacks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule
    ) -> None:
        """Write ``last.ckpt``."""
        trainer.save_checkpoint(self.folder / LAST)


class ResumeFolder:
    """The folder of one run's checkpoints, held by one process at a time.

    A note keeps small values across kills, such as the id of the tracked run. A second process with
    the same configuration gets a folder of its own.
    """

    def __init__(self, root: Path, key: str) -> None:
        """Hold the folder of this key below ``root``, or the first free one beside it."""
        root.mkdir(parents=True, exist_ok=True)
        for slot in range(MAX_RUNS_AT_ONCE):
            name = key if slot == 0 else f"{key}-{slot}"
            lock = FileLock(root / f"{name}.lock")
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                self.folder, self._lock = root / name, lock
                os.environ[SHARED] = str(self.folder)
                self._begin_anew_if_damaged()
                return
        raise RuntimeError(
            f"{root}: {MAX_RUNS_AT_ONCE} runs of the same configuration train at once"
        )

    @property
    def last(self) -> Path | None:
        """The checkpoint to resume from, or None."""
        path = self.folder / LAST
        return path if path.is_file() else None

    def read_note(self) -> dict[str, Any]:
        """Return the note of `write_note`; empty without one. Raises `DataError` if damaged."""
        path = self.folder / NOTE
        if not path.is_file():
            return {}
        content = read_bytes(path, way_out=WAY_OUT)
        text = unsealed(content, path, way_out=WAY_OUT)
        try:
            if text is content:
                raise ValueError("it has no hash")
            return dict(json.loads(text))
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: is damaged ({error}). {WAY_OUT}") from error

    def write_note(self, note: Mapping[str, Any]) -> None:
        """Keep small values for a later resume."""
        write_atomically(self.folder / NOTE, sealed(json.dumps(dict(note), indent=2) + "\n"))

    def _begin_anew_if_damaged(self) -> None:
        """Delete checkpoints that cannot be trusted, and say so: the run then has its first epoch.

        A note without a sound checkpoint would lead into the record of the run that is lost.
        """
        try:
            self.read_note()
            if self.last:
                checked_checkpoint(self.last)
        except DataError as error:
            reason = str(error).removesuffix(WAY_OUT)
            print(f"note: {reason}The run begins anew.", file=sys.stderr)
            shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self) -> None:
        """Delete the checkpoints and give the folder up: the run has its result."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Give the folder up, but leave the checkpoints for a resumed run."""
        os.environ.pop(SHARED, None)
        self._lock.release()


class SharedFolder:
    """The main process's folder, as the other processes of a distributed run see it.

    All processes save and load together. If one left these steps out, the others would wait for
    ever.
    """

    def __init__(self) -> None:
        self.folder = Path(os.environ[SHARED])

    @property
    def last(self) -> Path | None:
        """The checkpoint to resume from, or None."""
        path = self.folder / LAST
        return path if path.is_file() else None
