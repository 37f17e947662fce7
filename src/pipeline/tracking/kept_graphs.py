"""The exported graph of a network, kept without its weights for the next one of the same build.

To export takes torch's compiler, a second to load and half a second to use. The graph depends on
the build of a network alone, and an archive of `torch.export` holds each weight in a file of its
own. So the archive of a network that is built alike is written from the kept one.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import disk_cache

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

MOST_KEPT = 50  # graphs, of about 40 kB
_WEIGHTS = "data/weights/"
_CONFIG = "model_weights_config.json"


class KeptGraphs:
    """The graphs of a project, in ``data/.graphs/`` where ``data/`` is there already."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "data" / ".graphs"

    def archive(
        self, network: nn.Module, example: np.ndarray, export: Callable[[], bytes]
    ) -> bytes:
        """Return the archive that ``export`` returns, from a kept graph where there is one.

        network: in evaluation mode.  example: what it is exported with.
        """
        mark = _mark(network, example) if self._folder.parent.is_dir() else None
        if mark is None:
            return export()
        file = self._folder / mark
        kept = disk_cache.recall(file)
        if kept is not None:
            return _with_weights(kept, network.state_dict())
        archive = export()
        graph = _without_weights(archive)
        # Another torch may write archives that are built in another way.
        if _same_weights(archive, graph, network.state_dict()):
            disk_cache.write_sealed(file, graph)
            disk_cache.remove_oldest(self._folder, most=MOST_KEPT)
        return archive


def _mark(network: nn.Module, example: np.ndarray) -> str | None:
    """Return a hash of all that decides a network's archive but its weights.

    None for a network with code that is not torch's or ours, or with hooks, or shared weights, or
    buffers that are no weights: the graph holds their values.
    """
    from pipeline.models.structure import has_known_layers_only

    digest = disk_cache.fingerprint(libraries=("torch",), code=("models", "tracking"))
    weights = network.state_dict()
    are_shared = len({tensor.data_ptr() for tensor in weights.values()}) < len(weights)
    if are_shared or not has_known_layers_only(network):
        return None
    for name, module in network.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or module._non_persistent_buffers_set:
            return None
        values = {key: value for key, value in vars(module).items() if not key.startswith("_")}
        if not all(map(_is_plain, values.values())):
            return None
        kind = f"{type(module).__module__}.{type(module).__qualname__}"
        digest.update(repr((name, kind, sorted(values.items()))).encode())
    for name, tensor in weights.items():
        digest.update(repr((name, tensor.shape, tensor.dtype, tensor.stride())).encode())
    digest.update(repr([weight.requires_grad for weight in network.parameters()]).encode())
    digest.update(f"{network!r} {example.dtype} {example.shape} ".encode() + example.tobytes())
    return digest.hexdigest()


def _is_plain(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float))


def _without_weights(archive: bytes) -> bytes:
    """Return an archive without the files of weights."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as kept:
        for name, data in _files(archive):
            if not _is_weight(name):
                kept.writestr(name, data)
    return content.getvalue()


def _with_weights(graph: bytes, weights: Mapping[str, Tensor]) -> bytes:
    content = io.BytesIO(graph)
    with zipfile.ZipFile(content, "a") as archive:
        for name, data in _weight_files(graph, weights):
            archive.writestr(name, data)
    return content.getvalue()


def _same_weights(archive: bytes, graph: bytes, weights: Mapping[str, Tensor]) -> bool:
    """Whether the files of weights that we would write are those of an archive."""
    try:
        ours = dict(_weight_files(graph, weights))
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return ours == {name: data for name, data in _files(archive) if _is_weight(name)}


def _weight_files(graph: bytes, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of weights. Raises `KeyError` for an unknown archive."""
    import torch

    with zipfile.ZipFile(io.BytesIO(graph)) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(_WEIGHTS + _CONFIG))
        config: dict[str, Any] = json.loads(archive.read(name))["config"]
    for weight, described in config.items():
        values = weights[weight].detach().contiguous().reshape(-1).view(torch.uint8)
        yield name.removesuffix(_CONFIG) + described["path_name"], values.numpy().tobytes()


def _files(archive: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for name in opened.namelist():
            yield name, opened.read(name)


def _is_weight(name: str) -> bool:
    return _WEIGHTS in name and not name.endswith(_CONFIG)
