"""benchmarks/rivals.py: the same labelled curves for every tool, and one table.

Each other tool is a stand-in here: a package with its interface, in an environment of its own.
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # last: a folder of tests may have the name of a benchmark

from rivals.adapters.protocol import (  # noqa: E402
    FAMILY_OF,
    FAULTS,
    Named,
    curves_of,
    nearest,
    verdict_of,
)
from rivals.environments import OURS, RIVALS, Tool, Unavailable, verdicts  # noqa: E402
from rivals.histories import BadInput, Labelled, read_histories  # noqa: E402
from rivals.scores import (  # noqa: E402
    calibration_error,
    confusion,
    family_named,
    macro_f1,
    macro_f1_interval,
)
from rivals.scores import scores as scores_of  # noqa: E402

EPOCHS = np.arange(30)
GUESSING = math.log(10)


# --- curves by formula ----------------------------------------------------------------------------


def losses(fault: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation loss of a fault, without noise."""
    fall = np.exp(-EPOCHS / 4)
    fitted = 0.05 + 2.2 * fall
    rise = 0.05 * np.maximum(EPOCHS - 6, 0)
    return {
        "healthy": (0.2 + 2.1 * fall, 0.25 + 2.05 * fall),
        "overfitting": (fitted * np.exp(-EPOCHS / 20), 0.4 + 1.9 * fall + rise),
        "label_noise": (2.3 * np.exp(-EPOCHS / 12), 1.5 + 0.8 * fall + 2 * rise),
        "undertrained": (2.3 - 0.04 * EPOCHS, 2.3 - 0.038 * EPOCHS),
        "underfitting": (1.5 + 0.8 * fall, 1.5 + 0.8 * fall),
        "learning_rate_too_low": (2.3 - 0.004 * EPOCHS, 2.3 - 0.004 * EPOCHS),
        "learning_rate_too_high": (
            2.0 + 0.1 * EPOCHS * (-1.0) ** EPOCHS,
            2.2 + 0.1 * EPOCHS * (-1.0) ** EPOCHS,
        ),
        "not_learning": (np.full(30, GUESSING), np.full(30, GUESSING)),
    }[fault]


def planted(fault: str, seed: int) -> dict[str, Any]:
    """One line of the input: the fault's curves with a little noise."""
    generator = np.random.default_rng([FAULTS.index(fault), seed])
    train, val = (loss + generator.normal(0, 0.004, 30) for loss in losses(fault))
    curves: dict[str, list[Any]] = {
        "train_loss": train.tolist(),
        "val_loss": val.tolist(),
        "train_accuracy": np.clip(np.exp(-train), 0.1, 1).tolist(),
        "val_accuracy": np.clip(np.exp(-val), 0.1, 1).tolist(),
    }
    if fault == "learning_rate_too_high" and seed % 2:
        curves = {name: values[:20] + ["nan"] * 10 for name, values in curves.items()}
    if seed == 3:
        curves["val_loss"][0] = None
    return {
        "id": f"{fault}-{seed}",
        "curves": curves,
        "fault": fault,
        "family": FAMILY_OF[fault],
    }


@pytest.fixture
def histories(tmp_path: Path) -> Path:
    path = tmp_path / "histories.jsonl"
    lines = [planted(fault, seed) for fault in FAULTS for seed in range(8)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


# --- stand-ins for the other tools ----------------------------------------------------------------

# One finding where the last loss lies above the lowest, one where any loss is no number.
FAKES = {
    "runmedic": {
        "runmedic/__init__.py": "",
        "runmedic/model.py": """
class Series(list):
    def add(self, step, value): self.append(value)
class Run:
    def __init__(self, name, source, path): self.series = {}
    def get(self, name): return self.series.setdefault(name, Series())
    def finalize(self): return self
""",
        "runmedic/roles.py": "def detect(run): return run.series",
        "runmedic/checks.py": """
class Finding:
    def __init__(self, check): self.check = check
def run_checks(run, roles):
    print("a tool that prints")
    bad = any(v != v for v in roles["train_loss"])
    risen = roles["val_loss"][-1] > 1.1 * min(roles["val_loss"])
    names = ["non_finite"] * bad + ["val_below_train"] + ["overfitting"] * risen
    return [Finding(name) for name in names]
""",
    },
    "trainspotter": {
        "trainspotter/__init__.py": """
from types import SimpleNamespace
class Run(dict):
    def add_point(self, name, step, value): self.setdefault(name, []).append(value)
    def finalize(self): pass
def run_all(run):
    val = run["eval/loss"]
    found = [("lr_schedule", "lr")]
    found += [("divergence", "train/loss")] * any(v != v for v in run["train/loss"])
    risen = val[-1] > 1.1 * min(val)
    found += [("divergence", "eval/loss"), ("overfitting", "eval/loss")] * risen
    return [SimpleNamespace(detector=d, metric=m) for d, m in found]
""",
    },
    "losslint": {
        "losslint/__init__.py": "",
        "losslint/report.py": 'SEVERITY_RANK = {"info": 1, "warning": 2, "error": 3}',
        "losslint/parsing.py": """
from dataclasses import dataclass
@dataclass
class RunLog:
    steps: list
    series: dict
    source: object
""",
        "losslint/checks.py": """
from types import SimpleNamespace
def run_all_checks(log):
    assert all(len(values) == len(log.steps) for values in log.series.values())
    val = [v for v in log.series["eval_loss"] if v is not None]
    diverged = any(v is not None and v != v for v in log.series["loss"])
    found = [("overfit_onset", "info")] * (val[-1] > 1.1 * min(val))
    found += [("stagnation", "info"), ("nan_inf", "error")] * diverged
    return [SimpleNamespace(check=c, severity=s) for c, s in found]
""",
    },
    "sk-autod": {
        "sk_autod/__init__.py": """
from types import SimpleNamespace
def diagnose(train, val):
    if any(v != v for v in train):
        raise ValueError("Curves must contain only finite numeric values")
    found = [("Data leakage", 0.83)] + [("Classic overfitting", 0.92)] * (val[-1] > 1.1 * min(val))
    return SimpleNamespace(
        findings=[SimpleNamespace(detector_name=n, confidence=c) for n, c in found]
    )
""",
    },
    "training-doctor": {
        "training_doctor/__init__.py": """
from enum import Enum
from types import SimpleNamespace
class Severity(Enum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
class Doctor:
    def __init__(self): self.store, self.rows = self, []
    def log(self, step, **metrics): self.rows.append(metrics)
    def analyze(self):
        val = [row["eval_loss"] for row in self.rows if "eval_loss" in row]
        found = [("overfitting", Severity.WARNING, 0.3), ("overfitting", Severity.WARNING, 0.9)]
        found = found * (val[-1] > 1.1 * min(val))
        if any(row["loss"] != row["loss"] for row in self.rows):
            found.append(("lr_too_high", Severity.CRITICAL, 0.5))
        return [SimpleNamespace(detector_name=n, severity=s, confidence=c) for n, s, c in found]
""",
    },
}


def environment(cache: Path, tool: Tool, files: dict[str, str]) -> None:
    """Lay an installed environment whose Python sees these files."""
    home = cache / tool.name / "venv"
    for name, text in files.items():
        path = home / "packages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    python = home / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{home}/packages" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (home / "installed.txt").write_text(tool.version)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    for tool in RIVALS:
        environment(tmp_path / "cache", tool, FAKES[tool.name])
    return tmp_path / "cache"


@pytest.fixture
def command() -> ModuleType:
    """The script itself: the folder beside it has the same name, and comes first on the path."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("rivals_command", BENCHMARKS / "rivals.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- end to end -----------------------------------------------------------------------------------


def cells(text: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {row[0].split()[0]: row[1:] for row in rows[2:]}


def test_every_tool_has_a_line_in_the_table(
    histories: Path, cache: Path, command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main([str(histories), "--cache", str(cache)])
    out = capsys.readouterr().out
    rows = cells(out)
    assert list(rows) == ["pipeline", *(tool.name for tool in RIVALS)]
    assert {row[-1] for row in rows.values()} == {"64"}
    assert rows["runmedic"][7] == "–" and rows["sk-autod"][7] != "–"  # calibration error
    assert rows["sk-autod"][5] == "6.2%"  # the 4 of 64 histories with NaN
    assert "sk-autod 0.1.1, no verdict: 4 × ValueError: Curves must contain only finite" in out


@pytest.mark.parametrize("tool", RIVALS, ids=lambda tool: tool.name)
def test_the_answers_of_a_tool_are_mapped_to_the_labels(
    histories: Path, cache: Path, tool: Tool
) -> None:
    labelled = read_histories(histories)
    rows = {row["id"]: row for row in verdicts(tool, labelled, cache)}
    assert {rows[f"overfitting-{seed}"]["fault"] for seed in range(8)} == {"overfitting"}
    assert {rows[f"healthy-{seed}"]["family"] for seed in range(8)} == {"healthy"}
    diverged = rows["learning_rate_too_high-1"]
    expected = None if tool.name == "sk-autod" else "learning_rate_too_high"
    assert (diverged["fault"], diverged["abstained"]) == (expected, expected is None)
    assert all(0 <= row["seconds"] < 60 for row in rows.values())


def test_a_tool_that_repeats_itself_counts_with_its_surest_word(
    histories: Path, cache: Path
) -> None:
    doctor = next(tool for tool in RIVALS if tool.name == "training-doctor")
    first = [h for h in read_histories(histories) if h.fault == "overfitting"][:1]
    assert verdicts(doctor, first, cache)[0]["confidence"] == 0.9


def test_our_own_diagnosis_answers_every_history(histories: Path, cache: Path) -> None:
    labelled = read_histories(histories)
    rows = verdicts(OURS, labelled, cache)
    assert [row["id"] for row in rows] == [h.id for h in labelled]
    assert [row for row in rows if "Error: " in row["reason"]] == []
    named = [row["fault"] for row in rows if row["id"].startswith("overfitting")]
    assert set(named) <= {"overfitting", None} and "overfitting" in named
    assert all(0 <= row["confidence"] <= 1 for row in rows)


def test_a_family_counts_although_its_fault_is_open(tmp_path: Path, cache: Path) -> None:
    lost = {"train_loss": ["nan"] * 4, "val_loss": ["nan"] * 4, "val_accuracy": [0.1] * 4}
    line = {"id": "a", "curves": lost, "fault": "learning_rate_too_high", "family": "unstable"}
    path = tmp_path / "lost.jsonl"
    path.write_text(json.dumps(line) + "\n")
    labelled = read_histories(path)
    found = scores_of(labelled, verdicts(OURS, labelled, cache))
    assert (found.family.value, found.fault.value) == (1.0, 0.0)
    assert (found.abstained, found.family_only) == (0.0, 1.0)


def test_a_tool_that_cannot_be_had_is_skipped_with_the_reason(
    histories: Path, cache: Path, command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = cache / "losslint" / "venv" / "bin" / "python"
    broken.write_text("#!/bin/sh\necho 'No matching distribution' >&2\nexit 1\n")
    command.main([str(histories), "--cache", str(cache), "--tools", "losslint", "runmedic"])
    out = capsys.readouterr().out
    assert list(cells(out)) == ["runmedic"]
    assert "losslint 0.4.1: skipped, failed with exit code 1: No matching distribution" in out


def test_an_environment_of_another_version_is_not_used(
    monkeypatch: pytest.MonkeyPatch, histories: Path, cache: Path
) -> None:
    """It would be installed anew; here the installation fails."""
    tool = RIVALS[0]
    (cache / tool.name / "venv" / "installed.txt").write_text("0.0.9")
    monkeypatch.setattr(sys, "executable", str(cache / "no-python"))
    with pytest.raises(Unavailable, match="no-python"):
        verdicts(tool, read_histories(histories), cache)


def test_the_answers_are_kept_beside_the_truth(
    histories: Path, cache: Path, command: ModuleType
) -> None:
    command.main([str(histories), "--cache", str(cache), "--tools", "runmedic"])
    kept = (cache / "runmedic" / "verdicts.jsonl").read_text().splitlines()
    row = json.loads(kept[0])
    assert (row["id"], row["true_fault"], row["words"]) == (
        "healthy-0",
        "healthy",
        "val_below_train",
    )


def test_no_tool_sees_a_label(histories: Path) -> None:
    assert {key for h in read_histories(histories) for key in json.loads(h.line)} == {
        "id",
        "curves",
    }


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("label_noise", ("fits_and_fails", "label_noise")),
        ("does_not_fit", ("does_not_fit", None)),
        ("unstable", ("unstable", "learning_rate_too_high")),  # the only fault of its family
        ("healthy", ("healthy", "healthy")),
    ],
)
def test_a_label_has_a_family_and_perhaps_a_fault(
    label: str, expected: tuple[str, str | None]
) -> None:
    assert nearest(label) == expected


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(KeyError, match="neither a fault nor a family"):
        nearest("overfit")


def test_silence_is_healthy_unless_the_numbers_are_lacking() -> None:
    meaning = {"leak": None, "slow": "does_not_fit"}
    assert verdict_of([], meaning).family == "healthy"
    assert verdict_of([Named("leak", 0.9)], meaning).family == "healthy"
    assert verdict_of([Named("leak", 0.9)], meaning).confidence is None  # the leak's, not health's
    assert verdict_of([], meaning, judged=False).family is None
    assert verdict_of([Named("leak"), Named("slow", 0.7)], meaning).confidence == 0.7
    with pytest.raises(KeyError):
        verdict_of([Named("new")], meaning)


def test_words_for_numbers_become_numbers() -> None:
    found = curves_of({"curves": {"train_loss": [1, None, "nan", "-inf"]}})["train_loss"]
    assert found[:2] == [1.0, None]
    assert found[2] is not None and math.isnan(found[2]) and found[3] == -math.inf


# --- scores ---------------------------------------------------------------------------------------

LABELS = ("a", "b", "c")


def random_pairs(n: int, seed: int = 0) -> list[tuple[str, str | None]]:
    generator = np.random.default_rng(seed)
    truths = generator.choice(LABELS, n, p=[0.6, 0.3, 0.1])
    wrong = generator.choice([*LABELS, None], n)
    right = generator.random(n) < 0.6
    return [(t, t if r else w) for t, w, r in zip(truths, wrong, right, strict=True)]


def by_scikit_learn(pairs: list[tuple[str, str | None]]) -> float:
    truths, answers = zip(*((t, a or "none") for t, a in pairs), strict=True)
    return float(
        f1_score(truths, answers, labels=sorted(set(truths)), average="macro", zero_division=0)
    )


@pytest.mark.parametrize("n", [5, 40, 500])
def test_macro_f1_is_that_of_scikit_learn(n: int) -> None:
    pairs = random_pairs(n, seed=n)
    assert macro_f1(confusion(pairs, LABELS)) == pytest.approx(by_scikit_learn(pairs), abs=1e-12)


def test_a_label_that_the_truth_lacks_is_left_out_of_the_mean() -> None:
    pairs: list[tuple[str, str | None]] = [("a", "a"), ("a", "c"), ("b", None)]
    assert macro_f1(confusion(pairs, LABELS)) == pytest.approx((2 / 3 + 0) / 2)


def test_the_interval_is_that_of_drawing_histories_by_label() -> None:
    pairs, generator = random_pairs(120), np.random.default_rng(1)
    by_label = [[p for p in pairs if p[0] == label] for label in LABELS]
    drawn = [
        by_scikit_learn(
            [
                group[i]
                for group in by_label
                for i in generator.integers(len(group), size=len(group))
            ]
        )
        for _ in range(300)
    ]
    found = macro_f1_interval(pairs, LABELS)
    assert found.value == pytest.approx(by_scikit_learn(pairs))
    # Ends of 300 resamples scatter by about 0.012 at this spread.
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.04)


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    """Bin 0.9: 3 of 4 right; bin 0.5: 0 of 1 → (4·|0.75 - 0.95| + 1·|0 - 0.5|) / 5."""
    answers = [(0.95, True)] * 3 + [(0.95, False), (0.5, False)]
    assert calibration_error(answers) == pytest.approx((4 * 0.2 + 0.5) / 5)
    assert calibration_error([(1.0, True)]) == 0
    assert calibration_error([]) is None


@pytest.mark.parametrize(
    ("fault", "own", "family"),
    [("learning_rate_too_high", False, "does_not_fit"), ("underfitting", False, "unstable"),
     ("learning_rate_too_high", True, "unstable")],
    ids=["right_fault", "wrong_fault", "own_family"],
)  # fmt: skip
def test_a_tool_that_names_only_faults_is_right_about_the_family_of_the_right_one(
    fault: str, own: bool, family: str
) -> None:
    truth = Labelled("1", "", "learning_rate_too_high", "does_not_fit")
    row = {"family": "unstable", "fault": fault, "own_family": own}
    assert family_named(truth, row) == family


def test_the_shares_of_a_row() -> None:
    def row(family: str | None, fault: str | None, confidence: float | None) -> dict[str, Any]:
        return {"family": family, "fault": fault, "confidence": confidence, "seconds": 0.002}

    truths = ["healthy"] * 4 + ["label_noise", "underfitting"]
    found = scores_of(
        [Labelled(str(i), "", fault, FAMILY_OF[fault]) for i, fault in enumerate(truths)],
        [
            row("healthy", "healthy", None),
            row("healthy", "healthy", None),
            row("unstable", "learning_rate_too_high", 0.8),
            row(None, None, 0.9),
            row("fits_and_fails", "overfitting", 0.8),  # family right, fault wrong
            row("does_not_fit", None, 1.0),
        ],
    )
    assert (found.alarmed, found.called_healthy) == (0.25, 0.5)
    assert (found.abstained, found.family_only) == (1 / 6, 1 / 6)
    assert found.family.value == pytest.approx((2 * 2 / 6 + 1 + 1) / 3)
    assert found.fault.value == pytest.approx((2 * 2 / 6 + 0 + 0) / 3)
    assert found.overfitting.value == 1  # wrong labels, memorised, count as overfitting here
    assert found.calibration_error == pytest.approx((2 * 0.8 + 0) / 3)
    assert found.milliseconds == pytest.approx(2)


# --- bad input ------------------------------------------------------------------------------------

GOOD = {"id": "1", "curves": {"train_loss": [1]}, "fault": "healthy", "family": "healthy"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no history"),
        ("{", "line 1: is no JSON"),
        ("[1]", "line 1: is no JSON object"),
        (json.dumps({"id": 1}), "curves, fault, family is missing"),
        (json.dumps(GOOD | {"fault": "overfit"}), "unknown fault 'overfit'"),
        (json.dumps(GOOD | {"family": "unstable"}), "healthy is not of the family unstable"),
        (json.dumps(GOOD | {"curves": {}}), "has no curve"),
        (json.dumps(GOOD | {"curves": {"loss": [1]}}), "unknown curve 'loss'"),
        (json.dumps(GOOD | {"curves": {"train_loss": ["1,2"]}}), "train_loss holds '1,2'"),
        (json.dumps(GOOD | {"curves": {"train_loss": 3}}), "train_loss is no list"),
        (f"{json.dumps(GOOD)}\n{json.dumps(GOOD)}", "the id '1' stands twice"),
    ],
)
def test_bad_input_is_one_clear_message(
    tmp_path: Path, text: str, words: str, command: ModuleType
) -> None:
    path = tmp_path / "histories.jsonl"
    path.write_text(text)
    with pytest.raises(BadInput, match=re.escape(words)):
        read_histories(path)
    with pytest.raises(SystemExit, match=r"^error: ") as stopped:
        command.main([str(path)])
    assert stopped.value.code
