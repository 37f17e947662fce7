"""A torch network as MLflow's files of a model, written without importing MLflow.

The files are those of `mlflow.pytorch.save_model`; a test compares them. Its import, and its search
for packages that might not fit, take longer than writing them.
"""

from __future__ import annotations

import io
import json
import platform
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from pipeline import interruption
from pipeline.files import naming
from pipeline.tracking.kept_graphs import KeptGraphs

DESCRIPTION = "MLmodel"
EXAMPLE, REQUEST = "input_example.json", "serving_input_example.json"


def write_model_files(
    folder: Path,
    network: Any,
    example: Any,
    *,
    requirements: Sequence[str],
    metadata: Mapping[str, Any],
    graphs: KeptGraphs | None = None,
) -> None:
    """Export a network as a graph that any torch loads, with all that MLflow needs to serve it.

    folder: is made.  example: ``[2 or more, C, H, W]`` float32 numpy; the number stays free.
    requirements: lines of a pip requirements file.  graphs: of networks that were exported before.
    Raises ``OSError`` where the disk refuses, or torch cannot export the network.
    """
    (folder / "data").mkdir(parents=True)
    num_outputs = _export(network, example, folder / "data" / "model.pt2", graphs)
    _write_json(folder / EXAMPLE, example.tolist())
    _write_json(folder / REQUEST, {"inputs": example.tolist()}, indent=2)
    (folder / "requirements.txt").write_text("\n".join(requirements))
    (folder / "conda.yaml").write_text(yaml.safe_dump(_conda(requirements), sort_keys=False))
    (folder / "python_env.yaml").write_text(yaml.safe_dump(_python(), sort_keys=False))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    described = _description([-1, *example.shape[1:]], [-1, num_outputs], size, metadata)
    (folder / DESCRIPTION).write_text(yaml.safe_dump(described))


def _export(network: Any, example: Any, path: Path, graphs: KeptGraphs | None) -> int:
    """Write the graph of a network; return how many numbers it gives for an image."""
    import torch

    images = torch.from_numpy(example)

    def export() -> bytes:
        shapes = [{0: torch.export.Dim.AUTO}]
        graph = torch.export.export(network, (images,), dynamic_shapes=shapes)
        content = io.BytesIO()  # torch's own errors do not say that a disk is full
        torch.export.save(graph, content)
        return content.getvalue()

    try:
        with torch.no_grad():
            num_outputs = int(network(images).shape[1])
            content = graphs.archive(network, example, export) if graphs else export()
    except Exception as error:  # no export knows all that a person's own forward may do
        if interruption.received() is not None:  # a library has made an error of the signal
            raise KeyboardInterrupt from error
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise OSError(f"torch cannot export this network: {reason}") from error
    with naming(path):
        path.write_bytes(content)
    return num_outputs


def _write_json(path: Path, content: Any, *, indent: int | None = None) -> None:
    path.write_text(json.dumps(content, indent=indent))


def _conda(requirements: Sequence[str]) -> dict[str, Any]:
    pip = f"pip<={version('pip')}" if _has("pip") else "pip"
    dependencies = [f"python={platform.python_version()}", pip, {"pip": list(requirements)}]
    return {"channels": ["conda-forge"], "dependencies": dependencies, "name": "mlflow-env"}


def _python() -> dict[str, Any]:
    tools = [f"{n}=={version(n)}" if _has(n) else n for n in ("pip", "setuptools", "wheel")]
    return {
        "python": platform.python_version(),
        "build_dependencies": tools,
        "dependencies": ["-r requirements.txt"],
    }


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _description(
    inputs: Sequence[int], outputs: Sequence[int], size: int, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what `DESCRIPTION` holds."""
    python = platform.python_version()
    return {
        "flavors": {
            "python_function": {
                "config": {"device": None},
                "data": "data",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.pytorch",
                "pickle_module_name": "mlflow.pytorch.pickle_module",
                "python_version": python,
            },
            "pytorch": {
                "code": None,
                "model_data": "data",
                "pytorch_version": _torch_version(),
            },
        },
        "is_signature_from_type_hint": False,
        "metadata": dict(metadata),
        "mlflow_version": version("mlflow"),
        "model_id": None,
        "model_size_bytes": size,
        "model_uuid": uuid.uuid4().hex,
        "prompts": None,
        "saved_input_example_info": {
            "artifact_path": EXAMPLE,
            "serving_input_path": REQUEST,
            "type": "ndarray",
        },
        "signature": {
            "inputs": _tensor(inputs),
            "outputs": _tensor(outputs),
            "params": None,
        },
        "type_hint_from_example": False,
        "utc_time_created": str(datetime.now(UTC).replace(tzinfo=None)),
    }


def _torch_version() -> str:
    import torch

    return str(torch.__version__)


def _tensor(shape: Sequence[int]) -> str:
    spec = {"dtype": "float32", "shape": list(shape)}
    return json.dumps([{"type": "tensor", "tensor-spec": spec}])
