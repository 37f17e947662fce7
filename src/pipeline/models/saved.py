"""A trained model on the disk: ``model.safetensors`` and ``model.json``, enough to predict with.

Loading runs no code from the files: weights are plain tensors, and the classes named in
``model.json`` pass the same guard as those of a configuration.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline.config import validate
from pipeline.config.schema import Settings
from pipeline.errors import ConfigError, ModelError
from pipeline.models.build import Architecture, build_network

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


@dataclass(frozen=True)
class SavedModel:
    """A network in evaluation mode and its description.

    mean, std: per channel, of pixels scaled to 0 … 1.  summary: what training reported
    (parameters, epochs, kept epoch, seconds, device, precision).  weights_sha256: of the weights' file.
    """

    network: nn.Module
    settings: Settings
    input_shape: tuple[int, int, int]
    class_names: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    summary: Mapping[str, Any]
    data_sha256: str
    weights_sha256: str


def save_model(folder: Path, network: nn.Module, description: Mapping[str, Any]) -> str:
    """Write both files as one: the folder appears whole, or stays as it was. Return the weights' SHA-256.

    description: ``settings`` (resolved values), ``data_sha256``, ``input_shape``, ``class_names``,
    ``mean``, ``std``, ``summary``.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, partial / WEIGHTS)
    digest = hashlib.sha256((partial / WEIGHTS).read_bytes()).hexdigest()
    text = json.dumps({**description, "weights_sha256": digest}, indent=2, sort_keys=True)
    (partial / DESCRIPTION).write_text(text + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return digest


def load_model(folder: Path) -> SavedModel:
    """Load a model that `save_model` wrote.

    Raises `ModelError` where a file is missing, damaged, or does not fit the description.
    """
    way_out = f"Train it again: pipeline train name={folder.name}"
    try:
        told = json.loads((folder / DESCRIPTION).read_text())
        blob = (folder / WEIGHTS).read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            f"{error.filename}: there is no such file, so there is no model here. {way_out}"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder / DESCRIPTION}: not valid JSON ({error}). {way_out}") from error
    try:
        digest = hashlib.sha256(blob).hexdigest()
        if digest != told["weights_sha256"]:
            raise ModelError(
                f"{folder / WEIGHTS}: its SHA-256 is {digest[:12]}…, model.json says "
                f"{told['weights_sha256'][:12]}…. {way_out}"
            )
        network, settings = _rebuild(told)
        network.load_state_dict(load_file(folder / WEIGHTS))
        return SavedModel(
            network=network.eval(),
            settings=settings,
            input_shape=tuple(told["input_shape"]),
            class_names=tuple(told["class_names"]),
            mean=tuple(told["mean"]),
            std=tuple(told["std"]),
            summary=told["summary"],
            data_sha256=told["data_sha256"],
            weights_sha256=digest,
        )
    except ConfigError as error:
        raise ModelError(f"{folder / DESCRIPTION}: {error} {way_out}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: weights and description do not fit ({error}). {way_out}") from error


def _rebuild(told: Mapping[str, Any]) -> tuple[nn.Module, Settings]:
    settings = validate(told["settings"])
    architecture = Architecture(
        model=settings.model,
        activation=settings.activation,
        init=settings.init,
        input_shape=tuple(told["input_shape"]),
        num_classes=len(told["class_names"]),
        allow_targets=settings.allow_targets,
    )
    return build_network(architecture, seed=settings.seed), settings
