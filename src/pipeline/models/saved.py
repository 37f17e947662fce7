"""A trained model on the disk: ``model.safetensors`` and ``model.json``, enough to predict with.

``familiarity.safetensors`` beside them tells which pictures are unlike the training data.

Loading runs no code from the files: weights are plain tensors, and the classes named in
``model.json`` pass the same guard as those of a configuration.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from safetensors.torch import load, save
from torch import Tensor, nn

from pipeline.config import validate
from pipeline.config.schema import Settings
from pipeline.errors import ConfigError, DataError, ModelError
from pipeline.evaluation.familiarity import Familiarity, familiarity_of
from pipeline.evaluation.model_description import DESCRIPTION, ModelDescription, read_description
from pipeline.files import read_bytes, write_atomically, write_record
from pipeline.models.build import Architecture, build_network
from pipeline.models.initial_weights import sound
from pipeline.records import Column

WEIGHTS, FAMILIARITY = "model.safetensors", "familiarity.safetensors"


@dataclass(frozen=True)
class SavedModel:
    """A network in evaluation mode, its validated settings, and the fields of its description."""

    network: nn.Module
    settings: Settings
    input_shape: tuple[int, int, int]
    class_names: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    data_sha256: str
    weights_sha256: str
    columns: tuple[Column, ...] = ()


def save_model(
    folder: Path,
    network: nn.Module,
    description: ModelDescription,
    *,
    familiarity: Familiarity | None = None,
) -> str:
    """Write the files as one: the folder appears whole, or stays as it was.

    familiarity: None where it cannot be measured.
    Returns the SHA-256 of the weights' file. Raises ``OSError`` where the disk refuses.
    """
    blob = weights_as_bytes(network.state_dict())
    digest = hashlib.sha256(blob).hexdigest()
    measure = b"" if familiarity is None else _as_bytes(familiarity.arrays())
    hashed = hashlib.sha256(measure).hexdigest() if measure else ""
    described = replace(description, weights_sha256=digest, familiarity_sha256=hashed)
    partial, former = (folder.with_name(f".{folder.name}.{end}") for end in ("partial", "former"))
    for left in (partial, former):
        shutil.rmtree(left, ignore_errors=True)
    try:
        write_atomically(partial / WEIGHTS, blob)
        if measure:
            write_atomically(partial / FAMILIARITY, measure)
        write_record(partial / DESCRIPTION, described)
        if folder.exists():
            folder.rename(former)
        partial.rename(folder)
    finally:
        for left in (partial, former):
            shutil.rmtree(left, ignore_errors=True)
    return digest


def weights_as_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """Return tensors as a safetensors file; weights that layers share are written for each."""
    # Copies: safetensors refuses tensors that share memory.
    return bytes(
        save(
            {
                name: t.detach().cpu().clone(memory_format=torch.contiguous_format)
                for name, t in weights.items()
            }
        )
    )


def load_model(folder: Path) -> SavedModel:
    """Load a model that `save_model` wrote.

    Raises `ModelError` where a file is missing, damaged, or does not fit the description.
    """
    description, blob = _read(folder)
    digest = hashlib.sha256(blob).hexdigest()
    if digest != description.weights_sha256:
        raise ModelError(
            f"{folder / WEIGHTS}: its SHA-256 is {digest[:12]}…, model.json says "
            f"{description.weights_sha256[:12]}…. {_way_out(folder)}"
        )
    try:
        network, settings = _rebuild(description)
        tensors = load(blob)
        _check_tensors(tensors, network.state_dict(), folder)
        network.load_state_dict(tensors)
    except ConfigError as error:
        raise ModelError(f"{folder / DESCRIPTION}: {error} Or: {_way_out(folder)}") from error
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise ModelError(
            f"{folder}: weights and description do not fit ({error}). {_way_out(folder)}"
        ) from error
    return SavedModel(
        network=network.eval(),
        settings=settings,
        input_shape=description.input_shape,
        class_names=description.class_names,
        mean=description.mean,
        std=description.std,
        data_sha256=description.data_sha256,
        weights_sha256=digest,
        columns=description.columns,
    )


def load_familiarity(folder: Path) -> Familiarity | None:
    """Load what tells pictures unlike the training data; None where the model has no such file.

    Raises `ModelError` where the file is missing or damaged.
    """
    description, _ = _read(folder)
    if not description.familiarity_sha256:
        return None
    try:
        content = read_bytes(
            folder / FAMILIARITY, way_out=_way_out(folder), sha256=description.familiarity_sha256
        )
        return familiarity_of(load_arrays(content))
    except DataError as error:
        raise ModelError(str(error)) from error
    except (KeyError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{folder / FAMILIARITY}: is damaged ({error}). {_way_out(folder)}"
        ) from error


def _as_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    named = {name: np.ascontiguousarray(values) for name, values in sorted(arrays.items())}
    return bytes(save_arrays(named))


def _check_tensors(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], folder: Path
) -> None:
    """Raise `ModelError` for tensors of other names, shapes or types, and for NaN and infinity."""
    forms = [
        {name: f"{t.dtype} {list(t.shape)}".removeprefix("torch.") for name, t in tensors.items()}
        for tensors in (found, expected)
    ]
    for name in dict.fromkeys([*forms[1], *forms[0]]):
        here, wanted = (form.get(name, "nothing") for form in forms)
        if here != wanted:
            raise ModelError(
                f"{folder / WEIGHTS}: {name} is {here}, but the description gives {wanted}. "
                f"{_way_out(folder)}"
            )
        if not sound(found[name], fresh=expected[name]):
            raise ModelError(
                f"{folder / WEIGHTS}: {name} has values that are not finite. {_way_out(folder)}"
            )


def _read(folder: Path) -> tuple[ModelDescription, bytes]:
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(
                f"{folder / name}: no such file, so there is no model. {_way_out(folder)}"
            )
    try:
        return read_description(folder), (folder / WEIGHTS).read_bytes()
    except DataError as error:
        raise ModelError(str(error)) from error


def _way_out(folder: Path) -> str:
    settings = f"results/{folder.name}/config.json"
    return f"Train it again, with its settings ({settings}): pipeline train name={folder.name} …"


def _rebuild(description: ModelDescription) -> tuple[nn.Module, Settings]:
    settings = validate(description.settings)
    architecture = Architecture(
        model=settings.model,
        activation=settings.activation,
        init=settings.init,
        input_shape=description.input_shape,
        num_classes=len(description.class_names),
        allow_targets=settings.allow_targets,
    )
    return build_network(architecture, seed=settings.seed), settings
