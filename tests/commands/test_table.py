"""A table of a person's own through every command, beside scikit-learn's models on equal rows."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

from pipeline import cli
from pipeline.data.store import load_prepared
from pipeline.errors import ConfigError, DataError
from pipeline.models.exported import load_exported
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model
from pipeline.records import ImageSet

TABLES: dict[str, Callable[[], object]] = {
    "iris": load_iris,
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
}
PLAIN = ("trainer.accelerator=cpu", "trainer.precision=32", "tracking=none")


def write_table(path: Path, name: str) -> Path:
    """A bundled table as CSV; the class by its name, in the last column."""
    bunch: object = TABLES[name]()
    names = [*map(str, bunch.feature_names), "kind"]  # type: ignore[attr-defined]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row, label in zip(bunch.data, bunch.target, strict=True):  # type: ignore[attr-defined]
            writer.writerow([*map(repr, row.tolist()), bunch.target_names[label]])  # type: ignore[attr-defined]
    return path


def prepared_table(project: Path, name: str) -> list[str]:
    """Prepare a bundled table; return the settings of its data."""
    write_table(project / f"{name}.csv", name)
    data = ["data=table", f"data.path={name}.csv", "data.target=kind"]
    assert cli.call("preprocess", data) == 0
    return data


def flat(rows: ImageSet) -> tuple[np.ndarray, np.ndarray]:
    return rows.images[:, 0, 0], rows.labels


def measured(project: Path, data: str, name: str) -> tuple[float, float, np.ndarray]:
    """Test accuracy and loss of a trained model, and its probabilities on the test part."""
    model, test = load_model(project / "models" / name), _prepared(project, data).test
    logits = predict_logits(model.network, test.images, mean=model.mean, std=model.std)
    shares = np.exp(logits - logits.max(1, keepdims=True)).astype(np.float64)
    shares /= shares.sum(1, keepdims=True)
    return (
        float((shares.argmax(1) == test.labels).mean()),
        float(log_loss(test.labels, shares, labels=np.arange(shares.shape[1]))),
        shares,
    )


def _prepared(project: Path, data: str):  # type: ignore[no-untyped-def]
    return load_prepared(project / "data" / "processed" / f"{data}_csv")


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_an_mlp_is_as_good_as_that_of_scikit_learn(project: Path, name: str) -> None:
    data = prepared_table(project, name)
    size = ["model.width=32", "model.depth=1", "model.dropout=0.0", "data.batch_size=32"]
    assert cli.call("train", [*data, *PLAIN, *size, "name=own", "trainer.max_epochs=30"]) == 0
    accuracy, loss, _ = measured(project, name, "own")

    found = _prepared(project, name)
    others = []
    for seed in range(5):
        other = MLPClassifier((32,), alpha=0.0, batch_size=32, max_iter=30, random_state=seed)
        other.fit(*flat(found.train))
        inputs, labels = flat(found.test)
        others.append((other.score(inputs, labels), log_loss(labels, other.predict_proba(inputs))))
    (their_accuracy, their_loss), n = np.mean(others, axis=0), len(found.test)
    # Three standard errors of an accuracy over n rows; the loss within their range and a half.
    assert abs(accuracy - their_accuracy) <= 3 * math.sqrt(0.05 * 0.95 / n)
    assert abs(loss - their_loss) <= 0.05


def test_softmax_regression_finds_the_optimum_of_scikit_learn(project: Path) -> None:
    data = prepared_table(project, "wine")
    penalty, n = 0.01, len(_prepared(project, "wine").train)
    settings = (
        *("model.depth=0", "data.batch_size=all", "signals=none", "optimizer.learning_rate=0.03"),
        *(f"penalty.l2={penalty}", "trainer.max_epochs=400", "name=flat"),
    )
    assert cli.call("train", [*data, *PLAIN, *settings]) == 0
    _, _, shares = measured(project, "wine", "flat")
    found = _prepared(project, "wine")
    # Theirs: C Σ loss + ½ |w|²; ours: mean loss + penalty |w|².
    other = LogisticRegression(C=1 / (2 * penalty * n), max_iter=5000, tol=1e-8)
    other.fit(*flat(found.train))
    expected = other.predict_proba(flat(found.test)[0])
    np.testing.assert_allclose(shares, expected, atol=0.005)


def test_every_command_works_on_a_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = prepared_table(project, "iris")
    assert "recognised: 4 numbers" in capsys.readouterr().out
    quick = ["evaluation.num_resamples=100", "trainer.max_epochs=20", "model.width=16"]
    quick.append("optimizer.learning_rate=0.02")
    assert cli.call("train", [*data, *quick, "name=own", "trainer.accelerator=cpu"]) == 0
    assert cli.call("evaluate", ["name=own"]) == 0
    assert cli.call("diagnose", ["name=own"]) == 0
    told = capsys.readouterr().out
    assert "augment" not in told
    assert "own: 403 parameters, 108 training rows\n" in told
    assert cli.call("report", []) == 0
    assert cli.call("check", []) == 0
    names, first, *_ = (project / "iris.csv").read_text().splitlines()
    far = ",".join(["900"] * 4 + ["?"])
    (project / "new.csv").write_text("\n".join([names, first, far]) + "\n")
    capsys.readouterr()
    assert cli.call("predict", ["new.csv", "name=own", "output=json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    # Fewer than 100 validation rows tell nothing about what is rare.
    assert [(r["row"], r["familiarity_p"]) for r in rows] == [(1, None), (2, None)]
    assert rows[0]["class"] == "setosa"
    assert cli.call("predict", ["new.csv", "name=own"]) == 0
    assert "new.csv row 2: " in capsys.readouterr().out
    assert cli.call("predict", ["new.csv", "name=own", "output=inputs"]) == 0
    assert np.array(json.loads(capsys.readouterr().out)["inputs"]).shape == (2, 1, 1, 4)
    with pytest.raises(ConfigError, match="raw=true: has no effect on own, a model of tables"):
        cli.call("predict", ["new.csv", "name=own", "raw=true"])


def test_a_model_of_a_table_is_handed_on(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = prepared_table(project, "iris")
    quick = ["evaluation.num_resamples=100", "trainer.max_epochs=2", "model.width=16"]
    assert cli.call("train", [*data, *quick, "name=own", "trainer.accelerator=cpu"]) == 0
    rows = _prepared(project, "iris").test.images
    model = load_model(project / "models/own")
    wanted = predict_logits(model.network, rows, mean=model.mean, std=model.std)
    for form in ("onnx", "pt2"):
        assert cli.call("export", ["name=own", f"format={form}"]) == 0
        answer = load_exported(form, project / f"exports/own.{form}")
        np.testing.assert_allclose(answer(rows), wanted, atol=1e-4)
    assert "takes rows as float32 numbers" in capsys.readouterr().out
    assert cli.call("register", ["name=own"]) == 0
    (project / "results").rename(project / "former")
    (project / "results").symlink_to("/sys")  # takes no files
    capsys.readouterr()
    assert cli.call("predict", ["iris.csv", "name=own"]) == 0
    assert capsys.readouterr().err == "", "no picture is missing, for a table has none"
    (project / "new.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"new\.csv: The column .* is not there"):
        cli.call("predict", ["new.csv", "name=own"])


UNFIT = {
    "cnn": ("model=cnn", "a table has no pixels. Use model=mlp"),
    "lstm": ("model=lstm", "a table has no pixels"),
    "augment": ("augment=shift", "changes pictures"),
    "views": ("evaluation.tta=[flip]", "views are of pictures"),
}


@pytest.mark.parametrize(("setting", "said"), UNFIT.values(), ids=UNFIT)
def test_what_needs_pictures_is_refused(
    project: Path, setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.config import compose
    from pipeline.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        compose(["data=table", "data.path=x.csv", "data.target=y", setting], root=project)
    assert said in str(caught.value)


def test_a_target_of_measurements_is_refused_before_anything_is_written(project: Path) -> None:
    from pipeline.errors import DataError

    bunch = load_diabetes()
    with (project / "diabetes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*bunch.feature_names, "progression"])
        writer.writerows(
            [*row, target] for row, target in zip(bunch.data, bunch.target, strict=True)
        )
    data = ["data=table", "data.path=diabetes.csv", "data.target=progression"]
    with pytest.raises(DataError, match=r"missing. Run `pipeline preprocess data=table"):
        cli.call("train", [*data, *PLAIN, "loss=mse"])
    with pytest.raises(DataError, match=r"progression: has 214 different numbers in 442 rows"):
        cli.call("preprocess", data)
    assert not (project / "data/processed/diabetes_csv").exists()
