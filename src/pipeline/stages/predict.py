"""The stage ``predict``: a trained model on pictures from anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.decode import SUFFIXES, decode_grey, decode_image
from pipeline.data.digit_view import DIGIT_SETS, as_mnist
from pipeline.data.store import load_split
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation.familiarity import UNFAMILIAR, Familiarity, fit_familiarity
from pipeline.evaluation.scores import log_softmax
from pipeline.models.inference import network_inputs, predict_logits
from pipeline.models.saved import SavedModel, load_model
from pipeline.reporting import predictions
from pipeline.reporting.style import save_png

MOST_PICTURED = 40


@dataclass(frozen=True)
class Prediction:
    """One picture. top: the three likeliest classes with their probabilities.

    entropy: of all probabilities, as a share of that of guessing, 0 … 1.  familiarity: p-value that the
    picture is of the kind that the model was trained on; None where the data is not there to compare.
    """

    path: str
    top: tuple[tuple[str, float], ...]
    entropy: float
    familiarity: float | None

    @property
    def strange(self) -> bool:
        """Whether it looks unlike the training data."""
        return self.familiarity is not None and self.familiarity < UNFAMILIAR


def predict(
    paths: Sequence[Path], *, name: str, root: Path, output: str = "text", raw: bool = False
) -> list[Prediction]:
    """Predict pictures and those in folders; print them, draw ``results/<name>/predictions.png``.

    raw: only scale to the model's size, without making the picture look like MNIST's.
    Raises `DataError` for what is no picture, `ModelError` where there is no model; nothing is written then.
    """
    model = load_model(root / "models" / name)
    files, views = _views(paths, model, raw=raw)
    logits = predict_logits(model.network, views, mean=model.mean, std=model.std)
    known = _familiarity(model, root)
    found = _predictions(files, views, logits, model, known)
    picture = root / "results" / name / "predictions.png"
    save_png(predictions.plot(*_drawn(files, views, found)), picture)
    if output == "json":
        print(json.dumps([_plain(p) for p in found], indent=2))
    else:
        _tell(found, picture.relative_to(root), compared=known is not None)
    return found


def serving_request(paths: Sequence[Path], *, name: str, root: Path, raw: bool = False) -> str:
    """Return pictures as the JSON that a server of the model's tracked run takes (docs/serve.md).

    Raises what `predict` does.
    """
    model = load_model(root / "models" / name)
    _, views = _views(paths, model, raw=raw)
    return json.dumps({"inputs": network_inputs(views, mean=model.mean, std=model.std).tolist()})


def _views(paths: Sequence[Path], model: SavedModel, *, raw: bool) -> tuple[list[Path], np.ndarray]:
    """All pictures, and how each looks to the network."""
    files = [file for path in paths for file in _pictures(path)]
    normalised = model.settings.data.name in DIGIT_SETS and not raw
    return files, np.stack([view(file, model, normalised=normalised) for file in files])


def view(path: Path, model: SavedModel, *, normalised: bool) -> np.ndarray:
    """A picture as the network sees it, ``[C, H, W]`` uint8."""
    channels, height, _ = model.input_shape
    if normalised and channels == 1:
        return as_mnist(decode_grey(path), size=height)[np.newaxis]
    return decode_image(path, size=height, channels=channels, background=0)


def _pictures(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(
                f"{path}: has no pictures ({', '.join(SUFFIXES)}). Give a file, or a folder with some."
            )
        return found
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file. Give a picture ({', '.join(SUFFIXES)}) or a folder of some."
        )
    return [path]


def _familiarity(model: SavedModel, root: Path) -> Familiarity | None:
    folder = root / "data" / "processed" / model.settings.data.name
    if not (folder / "card.json").is_file():
        return None
    train, val = load_split(folder, "train"), load_split(folder, "val")
    if train.images.shape[1:] != model.input_shape:
        return None
    return fit_familiarity(train.images, val.images)


def _predictions(
    files: Sequence[Path], views: np.ndarray, logits: np.ndarray, model: SavedModel, known: Familiarity | None
) -> list[Prediction]:
    logs = log_softmax(logits.astype(np.float64))
    shares = np.exp(logs)
    entropies = -(shares * logs).sum(1) / np.log(shares.shape[1])
    p_values = known.p_values(views) if known else [None] * len(files)
    found = []
    for file, share, entropy, p in zip(files, shares, entropies, p_values, strict=True):
        order = np.argsort(-share)[:3]
        found.append(
            Prediction(
                path=str(file),
                top=tuple((str(model.class_names[i]), float(share[i])) for i in order),
                entropy=float(entropy),
                familiarity=None if p is None else float(p),
            )
        )
    return found


def _drawn(
    files: Sequence[Path], views: np.ndarray, found: Sequence[Prediction]
) -> tuple[list[np.ndarray], np.ndarray, list[str], list[bool]]:
    originals = [decode_grey(f) for f in files[:MOST_PICTURED]]
    titles = [f"{p.top[0][0]}  {p.top[0][1]:.0%}" for p in found[:MOST_PICTURED]]
    return originals, views[:MOST_PICTURED], titles, [p.strange for p in found[:MOST_PICTURED]]


def _plain(p: Prediction) -> dict[str, object]:
    return {
        "path": p.path,
        "class": p.top[0][0],
        "probability": p.top[0][1],
        "top": [list(pair) for pair in p.top],
        "entropy_share": p.entropy,
        "familiarity_p": p.familiarity,
        "unlike_training_data": p.strange,
    }


def _tell(found: Sequence[Prediction], picture: Path, *, compared: bool) -> None:
    for p in found:
        others = ", ".join(f"{name} {share:.1%}" for name, share in p.top[1:])
        strange = f"  WARNING: unlike the training data (p = {p.familiarity:.2g})" if p.strange else ""
        print(
            f"{p.path}: {p.top[0][0]}  {p.top[0][1]:.1%}  (then {others}; entropy {p.entropy:.0%} of guessing){strange}"
        )
    print(f"how they looked to the network: {picture}")
    if not compared:
        print("not compared with the training data: it is not under data/processed/.")


def parse(arguments: Sequence[str]) -> tuple[list[Path], str, str, bool]:
    """Return the pictures, the model's name, the output's form and ``raw``."""
    name, output, raw, paths = "cnn", "text", False, []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in ("name", "output", "raw") and not Path(argument).exists():
            if key == "output" and value not in ("text", "json", "inputs"):
                raise ConfigError(f"{argument}: must be text, json or inputs.")
            if key == "raw" and value not in ("true", "false"):
                raise ConfigError(f"{argument}: must be true or false.")
            name = value if key == "name" else name
            output = value if key == "output" else output
            raw = value == "true" if key == "raw" else raw
        else:
            paths.append(Path(argument))
    if not paths:
        raise ConfigError("predict: no picture was given. For example: pipeline predict digit.png name=cnn")
    return paths, name, output, raw
