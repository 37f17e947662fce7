"""The corpus as one file: the curves of every labelled run in half precision, and a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cases import SEEDS, Case, cases
from datasets import load
from oracle import cut, end_of, family, fault_shown, label
from stacked import CURVES, Settings, Trained, with_seed

FILE = Path(__file__).parent / "corpus.npz"
KEPT = tuple(name for name in CURVES if name != "test_loss")


TABLE = ("part", "case", "fault", "family", "planted", "num_classes", "steps_an_epoch", "settings")


@dataclass(frozen=True)
class Run:
    """One labelled run. curves: as `stacked.Trained`, as far as the log goes.

    fault, family: what the oracle says.  settings: of `stacked.Settings`.
    """

    part: str
    case: str
    fault: str
    family: str
    planted: str
    num_classes: int
    steps_an_epoch: int
    settings: dict[str, Any]
    curves: dict[str, np.ndarray]
    step_losses: np.ndarray

    @property
    def pair(self) -> tuple[str, str]:
        """Data set and network."""
        return self.settings["data"], self.settings["net"]


def pack(parts: Sequence[str]) -> None:
    """Label every case of which all trainings are there; the other parts stay as they are."""
    from make import trained

    there, table, values = trained(), list[dict[str, Any]](), list[np.ndarray]()
    for row, flat in _rows():
        if row["part"] not in parts:
            table.append(row)
            values.append(flat)
    counts: Counter[tuple[str, ...]] = Counter()
    for part in parts:
        for case in cases(part):
            for row, pieces in _labelled(part, case, there, counts):
                table.append(row)
                values += pieces
    with np.errstate(over="ignore"):
        half = np.concatenate(values).astype(np.float16)
    text = np.frombuffer(json.dumps(table, separators=(",", ":")).encode(), np.uint8)
    np.savez_compressed(FILE, planes=planes_of(half), table=text)
    for key, number in sorted(counts.items()):
        print(*key, number)
    print(f"{len(table)} runs, {FILE.stat().st_size / 1e6:.2f} MB")


def _labelled(
    part: str, case: Case, there: dict[Settings, Trained], counts: Counter[tuple[str, ...]]
) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
    """The rows of a case's runs and their curves: whole, and cut where they overfit clearly."""
    needed = [with_seed(s, seed) for s in (case.settings, *case.remedies) for seed in SEEDS[part]]
    if any(run not in there for run in needed):
        counts[part, "not trained yet", case.planted] += 1
        return
    fault, runs = label(case, there, SEEDS[part]), needed[: len(SEEDS[part])]
    counts[part, fault or "nobody knows", case.planted] += 1
    end = cut(case, [there[run] for run in runs])
    for what, stop in ((fault, None), ("overfitting" if end else None, end)):
        for run in (there[key] for key in runs) if what else ():
            length = (end_of(case, run) if stop is None else stop) + 1
            found = family(case, what, run, length, there)
            if stop is not None and found != "fits_and_fails":
                found = None
            counts[part, "whole" if stop is None else "cut", found or "nobody knows"] += 1
            if found:
                shown = fault_shown(what, found, run, length)
                row = _row(part, shown, case, run, length, cut=stop is not None)
                pieces = [run.curves[name][:length] for name in KEPT] + [_steps(run, length)]
                yield {**row, "family": found}, pieces


def _row(
    part: str, fault: str, case: Case, run: Trained, length: int, *, cut: bool
) -> dict[str, Any]:
    num_train = len(_indices(case.settings.data, run.settings.num_train))
    return {
        "part": part, "case": f"{case.name}-cut" if cut else case.name,
        "fault": fault, "planted": case.planted,
        "num_classes": load(case.settings.data).num_classes,
        "steps_an_epoch": -(-num_train // run.settings.batch),
        "epochs": length, "step_losses": len(_steps(run, length)),
        "settings": asdict(run.settings),
    }  # fmt: skip


def _steps(run: Trained, length: int) -> np.ndarray:
    """The losses of single steps, as far as the log goes."""
    whole = len(run.curves["val_loss"])
    return run.step_losses[: max(1, round(len(run.step_losses) * length / whole))]


@cache
def _indices(data: str, num_train: int) -> range:
    return range(min(num_train, len(load(data).y["train"])))


def runs(*parts: str) -> Iterator[Run]:
    """Read the corpus."""
    for row, flat in _rows():
        if row["part"] in parts:
            pieces = np.split(flat, np.cumsum([row["epochs"]] * len(KEPT)))
            yield Run(
                **{name: row[name] for name in TABLE},
                curves=dict(zip(KEPT, pieces[:-1], strict=True)),
                step_losses=pieces[-1],
            )  # fmt: skip


def planes_of(half: np.ndarray) -> np.ndarray:
    """``[2, N]`` uint8: the low and the high bytes of numbers, which compress better apart."""
    return np.ascontiguousarray(half.astype("<f2").view(np.uint8).reshape(-1, 2).T)


def values_of(planes: np.ndarray) -> np.ndarray:
    """Return the numbers ``[N]`` float16 of `planes_of`."""
    return np.ascontiguousarray(planes.T).view("<f2").ravel()


def _rows() -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The rows of the file, each with its numbers: the curves of `KEPT` and the steps' losses."""
    with np.load(FILE) as file:
        values, table = values_of(file["planes"]), json.loads(file["table"].tobytes())
    values = values.astype(np.float32)
    start = 0
    for row in table:
        length = row["epochs"] * len(KEPT) + row["step_losses"]
        yield row, values[start : start + length]
        start += length
