"""A network as one file that other programs run: ONNX, or torch's own PT2 archive.

The file takes pixels as they are, so that nobody has to repeat training's standardisation.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.batches import standardisation
from pipeline.errors import ConfigError, ModelError

INPUT, OUTPUT = "images", "logits"
METADATA = "pipeline.json"  # of a PT2 archive
Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Format:
    """A file format. needs: packages beside torch.

    write: module, example ``[2, C, H, W]`` uint8 (of a table float32), metadata, path.
    load: path → images ``[N, C, H, W]`` of that type → logits ``[N, K]`` float32.
    """

    suffix: str
    needs: Sequence[str]
    write: Callable[[nn.Module, Tensor, Mapping[str, Any], Path], None]
    load: Callable[[Path], Run]


class OfPixels(nn.Module):
    """A network behind training's standardisation: images as they are stored → logits, float32."""

    shift: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        shift, scale = standardisation(mean, std)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, K]`` of images ``[N, C, H, W]`` uint8, or of rows float32."""
        logits: Tensor = self.network(torch.addcmul(self.shift, images.float(), self.scale))
        return logits.float()


def check_packages(name: str) -> None:
    """Raise `ConfigError` where a format needs a package that is not installed."""
    lacking = [package for package in FORMATS[name].needs if find_spec(package) is None]
    if lacking:
        raise ConfigError(
            f"format={name}: {', '.join(lacking)} is not installed. "
            f"Install it: pip install {' '.join(FORMATS[name].needs)}"
        )


def write_exported(
    name: str,
    module: nn.Module,
    path: Path,
    *,
    shape: Sequence[int],
    dtype: torch.dtype = torch.uint8,
    metadata: Mapping[str, Any],
) -> None:
    """Write a module in the format of this name; the number of images stays free.

    shape, dtype: of one image, or of a table's row.
    Raises `ModelError` for a network that torch cannot export.
    """
    example = torch.zeros(2, *shape, dtype=dtype)
    try:
        with _quiet(), torch.no_grad():
            FORMATS[name].write(module.eval(), example, metadata, path)
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AssertionError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(
            f"format={name}: torch cannot export this network: {reason}. Its forward() must be "
            "made of tensor operations that do not depend on the pixels' values."
        ) from error


def load_exported(name: str, path: Path) -> Run:
    """Return a file of this format as a function: images → logits."""
    with _quiet():
        return FORMATS[name].load(path)


@contextlib.contextmanager
def _quiet() -> Any:
    """Silence the exporters' progress and their warnings about their own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _free_batch() -> dict[str, Any]:
    return {INPUT: {0: torch.export.Dim("batch", min=1)}}


def _write_onnx(
    module: nn.Module, example: Tensor, metadata: Mapping[str, Any], path: Path
) -> None:
    program = torch.onnx.export(
        module,
        (example,),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=_free_batch(),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    program.model.metadata_props.update(texts)
    program.save(path, external_data=False)


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run([OUTPUT], {INPUT: images})[0])


def _write_pt2(module: nn.Module, example: Tensor, metadata: Mapping[str, Any], path: Path) -> None:
    program = torch.export.export(module, (example,), dynamic_shapes=_free_batch())
    torch.export.save(program, path, extra_files={METADATA: json.dumps(dict(metadata))})


def _load_pt2(path: Path) -> Run:
    module = torch.export.load(path).module()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = module(torch.tensor(images)).numpy()
        return found

    return run


FORMATS: Mapping[str, Format] = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), _write_onnx, _load_onnx),
    "pt2": Format(".pt2", (), _write_pt2, _load_pt2),
}
