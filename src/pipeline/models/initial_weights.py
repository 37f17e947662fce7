"""Training that starts from the weights of a file, in place of drawn ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from pipeline.errors import ConfigError

_SPARE_BYTES = 1_000_000  # a header, and tensors of little weight


def start_from(path: Path, network: nn.Module, *, shown: str) -> None:
    """Load all weights of a network from a safetensors file.

    shown: the file as the person wrote it.  Raises `ConfigError` for a file that is missing or no
    safetensors file, for tensors of other names, shapes or types than the network's, and for
    values that are not finite. The network stays as it was then.
    """
    expected = network.state_dict()
    tensors = _read(path, expected, shown)
    for name in dict.fromkeys([*expected, *tensors]):
        here, wanted = _form(tensors, name), _form(expected, name)
        if here != wanted:
            raise _refused(shown, f"{name} is {here} there, and {wanted} in this network")
        if not sound(tensors[name], fresh=expected[name]):
            raise _refused(shown, f"{name} has values that are not finite")
    network.load_state_dict(tensors)


def sound(found: Tensor, *, fresh: Tensor) -> bool:
    """Whether all values are finite, but those that a fresh network has too: an attention mask."""
    return bool((found.isfinite() | (found == fresh.to(found.device))).all())


def _read(path: Path, expected: Mapping[str, Tensor], shown: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise _refused(shown, "there is no such file")
    most = _SPARE_BYTES + sum(t.numel() * t.element_size() for t in expected.values())
    size = path.stat().st_size
    if size > most:
        raise _refused(shown, f"it has {size} bytes, and this network needs {most} at most")
    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise _refused(shown, f"it cannot be read as safetensors ({error})") from error


def _form(tensors: Mapping[str, Tensor], name: str) -> str:
    if name not in tensors:
        return "nothing"
    return f"{tensors[name].dtype} {list(tensors[name].shape)}".removeprefix("torch.")


def _refused(shown: str, reason: str) -> ConfigError:
    return ConfigError(
        f"initial_weights={shown}: {reason}. Name the weights of the same network, for example "
        "models/<name>/model.safetensors, or leave it out."
    )
