"""``pipeline.diagnose``: whatever holds curves gives the verdict that its file gives."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import pipeline
from pipeline.diagnosis import Context, History
from pipeline.diagnosis.readers import read_log
from pipeline.diagnosis.verdict import diagnose
from pipeline.errors import DataError

EPOCHS = np.arange(40)
# The validation loss is lowest after a quarter of the epochs, and then rises without end.
RISING = {
    "loss": 1.8 * np.exp(-0.25 * EPOCHS) + 0.02,
    "val_loss": np.where(
        EPOCHS <= 10,
        1.8 * np.exp(-0.25 * EPOCHS) + 0.25,
        1.8 * np.exp(-2.5) + 0.25 + 0.08 * (EPOCHS - 10),
    ),
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "training.csv"
    pd.DataFrame(RISING).to_csv(path, index_label="epoch")
    return path


def test_every_form_of_the_same_curves_gives_the_verdict_of_the_file(log: Path) -> None:
    expected = diagnose(read_log(log).history)
    assert expected.family == "fits_and_fails"
    lists = {name: values.tolist() for name, values in RISING.items()}
    forms = {
        "path": log,
        "text": str(log),
        "arrays": RISING,
        "tuples": {name: tuple(values) for name, values in lists.items()},
        "tensors": {name: torch.tensor(values) for name, values in RISING.items()},
        "numbers of numpy": {name: list(values) for name, values in RISING.items()},
        "series": {name: pd.Series(values) for name, values in RISING.items()},
        "frame": pd.DataFrame(RISING),
        "frame with an index": pd.DataFrame({"epoch": EPOCHS, **RISING}).set_index("epoch"),
        "Keras": SimpleNamespace(history=lists, epoch=EPOCHS.tolist()),
        "rows": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)],
        "history": read_log(log).history,
    }
    for form, curves in forms.items():
        found = pipeline.diagnose(curves, name="training.csv").diagnosis
        assert found.verdict == expected.verdict, form
        assert found.confidence == pytest.approx(expected.confidence, abs=1e-6), form
        assert found.name == "training.csv", form


def test_an_empty_cell_of_a_frame_is_no_number() -> None:
    """Lightning's metrics.csv has training and validation on lines of their own."""
    rows = [{"epoch": e, name: values[e]} for e in EPOCHS for name, values in RISING.items()]
    spread = pd.DataFrame(rows)
    assert spread.isna().any().any()
    found, expected = pipeline.diagnose(spread), pipeline.diagnose(RISING)
    np.testing.assert_allclose(
        found.history.curves["train/loss"], expected.history.curves["train/loss"]
    )
    assert found.verdict == expected.verdict


def test_numbers_of_the_data_reach_the_history() -> None:
    of_mapping = pipeline.diagnose(RISING, num_classes=7, num_val=300).history.context
    assert (of_mapping.num_classes, of_mapping.num_val) == (7, 300)
    own = History(EPOCHS, {"train/loss": RISING["loss"]}, context=Context(num_classes=3))
    assert pipeline.diagnose(own, num_val=50).history.context == Context(num_classes=3, num_val=50)


def test_a_judgement_has_what_its_diagnosis_has(log: Path) -> None:
    judged = pipeline.diagnose(log)
    assert judged.verdict == judged.diagnosis.verdict and "likely" in dir(judged)
    assert json.loads(judged.to_json())["verdict"] == judged.verdict
    for twin in (copy.copy(judged), pickle.loads(pickle.dumps(judged))):
        assert twin.verdict == judged.verdict
    with pytest.raises(AttributeError, match="no attribute 'verdikt'"):
        judged.verdikt  # noqa: B018


def test_printed_it_is_the_text_of_the_terminal(log: Path) -> None:
    judged = pipeline.diagnose(log)
    words = judged.verdict.replace("_", " ")
    read, first, *others = str(judged).splitlines()
    assert read.startswith("read: loss → training loss, val_loss → validation loss")
    assert first == f"training.csv: {words}  (confidence {judged.confidence:.2f})"
    assert any(line.startswith("  • ") for line in others)
    assert repr(judged) == f"<training.csv: {words} (confidence {judged.confidence:.2f})>"


@pytest.mark.parametrize(
    "curves", [RISING, {"acc": [0.1, 0.3, 0.4, 0.5], "val_acc": [0.1, 0.2, 0.3, 0.3]}]
)
def test_a_notebook_shows_a_picture_and_the_text(curves: dict[str, object]) -> None:
    html = pipeline.diagnose(curves, name="<b>&")._repr_html_()
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert b64decode(picture).startswith(b"\x89PNG")
    assert "&lt;b&gt;&amp;: " in html and "<b>" not in html
    assert html.count("<") == 3  # img, pre, /pre


@pytest.mark.parametrize(
    ("curves", "word"),
    [
        (3, "int: is nothing that curves are read from. Give a path"),
        ({}, "no curves|no list"),
        ({"lose": [1.0, 2.0]}, "lose"),
        ([], "among nothing"),
        (pd.DataFrame(), "no columns"),
        ("nowhere.csv", "nowhere.csv: cannot be read"),
    ],
)
def test_what_holds_no_curves_is_refused(curves: object, word: str) -> None:
    with pytest.raises(DataError, match=word):
        pipeline.diagnose(curves)


def test_importing_the_package_imports_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import pipeline; dir(pipeline)\n"
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before}\n"
        "             - set(sys.stdlib_module_names)))\n"
        "pipeline.diagnose({'loss': [3, 2, 1, 1], 'val_loss': [3, 2, 2, 2]})\n"
        "heavy = {'torch', 'matplotlib', 'pandas', 'mlflow', 'pytorch_lightning', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['pipeline']", "[]"]


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'pipeline' has no attribute 'diagnoze'"):
        pipeline.diagnoze  # type: ignore[attr-defined]  # noqa: B018
