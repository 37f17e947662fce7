"""A trained model's predictions for pictures from anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.data.decode import decode_grey, decode_image
from pipeline.data.digit_view import DIGIT_SETS, as_mnist
from pipeline.data.file_names import SUFFIXES
from pipeline.data.table import encoded, unknown_values
from pipeline.data.table_file import Cells, read_cells
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation.scores import log_softmax
from pipeline.models.inference import network_inputs, predict_logits
from pipeline.models.saved import SavedModel, load_model
from pipeline.runs.familiarity import Compared, compared_with_training

NUM_TOP_CLASSES = 3
LONGEST_SIDE = 1000  # pixels of a digit's photo; 48 million take 1.5 GB
MAX_SHOWN = 10  # lines about pictures that cannot be used


@dataclass(frozen=True)
class Prediction:
    """The prediction for one picture, or one row of a table.

    top: the three likeliest classes with their probabilities, the likeliest first.
    entropy: of all probabilities, as a share of the entropy of guessing, 0 … 1.
    familiarity: p-value of the hypothesis that the picture is like the training images; None
    where the model has no measure of it.  limit: below it, the picture is unlike them.
    blank: whether the network sees one even area, so that its answer says nothing.
    row: counted from 1; None for a picture.  unknown: values of the row that the training data does
    not have, as ``column=value``.
    """

    path: Path
    top: tuple[tuple[str, float], ...]
    entropy: float
    familiarity: float | None
    limit: float = 0.0
    blank: bool = False
    row: int | None = None
    unknown: tuple[str, ...] = ()

    @property
    def unfamiliar(self) -> bool:
        """Whether the picture looks unlike the training images."""
        return self.familiarity is not None and self.familiarity < self.limit


@dataclass(frozen=True)
class PredictedPictures:
    """The predictions for several pictures or rows.

    views: the pictures as the network sees them, ``[N, C, H, W]`` uint8; of rows float32.
    compared: whether the pictures were compared with the training images.
    left_out: one sentence for each picture of a folder that could not be used.
    """

    predictions: tuple[Prediction, ...]
    views: np.ndarray
    compared: bool
    left_out: tuple[str, ...] = ()


def predict(
    paths: Sequence[Path], *, name: str, root: Path, raw: bool = False
) -> PredictedPictures:
    """Predict the class of pictures, and of all pictures in folders, with ``models/<name>/``.

    With a model of a table, the paths are tables, and each row is predicted.
    raw: only scale a picture to the model's size; do not make it look like one of MNIST's.
    A picture of a folder that cannot be used is left out. Raises `DataError` for a named file that
    is no picture and for a folder without a sound one, `ModelError` where there is no model, and
    `ConfigError` for ``raw`` with a model that always gets its pictures raw.
    """
    model = load_model(root / "models" / name)
    _check_raw(raw, model, name)
    if model.columns:
        return predict_rows(paths, model, root / "models" / name)
    files, views, left_out = _seen(paths, model, raw=raw)
    logits = predict_logits(model.network, views, mean=model.mean, std=model.std)
    compared = compared_with_training(views, model, root / "models" / name)
    found = _predictions(files, logits, compared, class_names=model.class_names)
    return PredictedPictures(
        predictions=tuple(
            replace(prediction, blank=bool(np.ptp(view) == 0))
            for prediction, view in zip(found, views, strict=True)
        ),
        views=views,
        compared=compared is not None,
        left_out=left_out,
    )


def serving_request(paths: Sequence[Path], *, name: str, root: Path, raw: bool = False) -> str:
    """Return pictures as the JSON that a server of the model's tracked run takes (docs/serve.md).

    Raises the errors of `predict`.
    """
    model = load_model(root / "models" / name)
    _check_raw(raw, model, name)
    if model.columns:
        views = np.concatenate([_rows(path, read_cells(path), model) for path in paths])
    else:
        _, views, _ = _seen(paths, model, raw=raw)
    return json.dumps({"inputs": network_inputs(views, mean=model.mean, std=model.std).tolist()})


def predict_rows(paths: Sequence[Path], model: SavedModel, folder: Path) -> PredictedPictures:
    """Predict the class of every row of tables.

    folder: of the model.  Raises `DataError` for a file that is no table, or lacks a column.
    """
    files: list[Path] = []
    views: list[np.ndarray] = []
    rows: list[int] = []
    unknown: list[list[str]] = []
    for path in paths:
        cells = read_cells(path)
        views.append(_rows(path, cells, model))
        unknown += unknown_values(cells, model.columns)
        rows += range(1, len(views[-1]) + 1)
        files += [path] * len(views[-1])
    numbers = np.concatenate(views)
    logits = predict_logits(model.network, numbers, mean=model.mean, std=model.std)
    compared = compared_with_training(numbers, model, folder)
    found = _predictions(files, logits, compared, class_names=model.class_names)
    of_rows = zip(found, rows, unknown, strict=True)
    return PredictedPictures(
        predictions=tuple(replace(p, row=row, unknown=tuple(u)) for p, row, u in of_rows),
        views=numbers,
        compared=compared is not None,
    )


def _rows(path: Path, cells: Cells, model: SavedModel) -> np.ndarray:
    """Return the numbers ``[N, 1, 1, D]`` of a table's cells; its errors name the table."""
    try:
        return encoded(cells, model.columns)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Return the files among ``paths``, and for each folder its pictures in order of their names.

    Raises `DataError` for a path that does not exist and for a folder without pictures.
    """
    return [picture for path in paths for picture in _pictures(path)]


def _pictures(path: Path) -> list[Path]:
    formats = ", ".join(SUFFIXES)
    if path.is_dir():
        # Hidden files are no pictures of anybody's: macOS leaves one beside each picture.
        visible = (p for p in path.iterdir() if not p.name.startswith(".") and not p.is_dir())
        pictures = sorted(p for p in visible if p.suffix.lower() in SUFFIXES)
        if not pictures:
            raise DataError(
                f"{path}: has no pictures ({formats}). Give a file, or a folder with some."
            )
        return pictures
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such file. Give a picture ({formats}) or a folder of some."
        )
    return [path]


def _seen(
    paths: Sequence[Path], model: SavedModel, *, raw: bool
) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """Return the usable pictures, their views, and a sentence for each one that is left out."""
    folders = {path for path in paths if path.is_dir()}
    files, views, left_out = [], [], []
    for file in find_pictures(paths):
        try:
            if file.parent in folders:
                _check_inside(file)
            views.append(network_views([file], model, raw=raw)[0])
            files.append(file)
        except DataError as error:
            if file.parent not in folders or file in paths:
                raise
            left_out.append(str(error))
    if not files:
        raise DataError(f"No picture can be used:\n{chr(10).join(left_out[:MAX_SHOWN])}")
    return files, np.stack(views), tuple(left_out)


def _check_inside(file: Path) -> None:
    """Refuse a link that leads out of its folder: a folder from elsewhere shows its own files."""
    target = file.resolve()
    if not target.is_relative_to(file.parent.resolve()):
        raise DataError(f"{file}: is a link to {target}, outside of its folder. Copy the file.")


def network_views(files: Sequence[Path], model: SavedModel, *, raw: bool = False) -> np.ndarray:
    """Return pictures as the network sees them, ``[N, C, H, W]`` uint8.

    For a model of digits, a picture is centred and scaled as MNIST's are, unless ``raw``.
    """
    channels, height, _ = model.input_shape
    if _is_of_grey_digits(model) and not raw:
        greys = (decode_grey(file, longest=LONGEST_SIDE) for file in files)
        return np.stack([as_mnist(grey, size=height)[np.newaxis] for grey in greys])
    return np.stack(
        [decode_image(file, size=height, channels=channels, background=0) for file in files]
    )


def _is_of_grey_digits(model: SavedModel) -> bool:
    return model.settings.data.name in DIGIT_SETS and model.input_shape[0] == 1


def _check_raw(raw: bool, model: SavedModel, name: str) -> None:
    if raw and not _is_of_grey_digits(model):
        sort = "tables" if model.columns else f"data={model.settings.data.name}"
        raise ConfigError(
            f"raw=true: has no effect on {name}, a model of {sort}. Only a model of grey digits "
            f"({', '.join(DIGIT_SETS)}) gets its pictures centred and scaled like MNIST's. "
            "Leave it out."
        )


def _predictions(
    files: Sequence[Path],
    logits: np.ndarray,
    compared: Compared | None,
    *,
    class_names: Sequence[str],
) -> tuple[Prediction, ...]:
    log_probabilities = log_softmax(logits.astype(np.float64))
    probabilities = np.exp(log_probabilities)
    p_values = compared.p_values if compared else [None] * len(files)
    entropies = -(probabilities * log_probabilities).sum(1) / np.log(logits.shape[1])
    return tuple(
        Prediction(
            path=file,
            top=_top(shares, class_names),
            entropy=float(entropy),
            familiarity=p_value,
            limit=compared.limit if compared else 0.0,
        )
        for file, shares, entropy, p_value in zip(
            files, probabilities, entropies, p_values, strict=True
        )
    )


def _top(probabilities: np.ndarray, class_names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    likeliest = np.argsort(-probabilities)[:NUM_TOP_CLASSES]
    return tuple((str(class_names[i]), float(probabilities[i])) for i in likeliest)
