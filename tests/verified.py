"""Helpers of the tests that verify a run for real."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.diagnosis.proof import Verification
from pipeline.launch import multirun
from pipeline.verification import claim
from pipeline.verification.patient import Patient
from verification_cases import options

MORE_DATA = options(remedies=("more_data",), seeds=3)


def run_sweep(overrides: Any) -> Any:
    """Train as the command line does."""
    return multirun(overrides, root=Path.cwd())


@contextlib.contextmanager
def working_in(root: Path) -> Iterator[None]:
    """Make a project the working directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@contextlib.contextmanager
def counted_reads() -> Iterator[list[str]]:
    """Note every split that a claim reads."""
    reads: list[str] = []
    true_load = claim.load_split

    def load_split(folder: Path, split: str) -> Any:
        reads.append(split)
        return true_load(folder, split)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claim, "load_split", load_split)
        yield reads


def interrupted_after(sweeps: int) -> Any:
    """A sweep that is interrupted as the person presses Ctrl-C after so many parts."""
    begun: list[str] = []

    def sweep(overrides: Any) -> Any:
        begun.append(overrides[0])
        if len(begun) > sweeps:
            raise KeyboardInterrupt
        return run_sweep(overrides)

    return sweep


@dataclass(frozen=True)
class Verified:
    """A verification that was interrupted after its first part, and then ended.

    after_interrupt: files of the results at the interruption, and splits that were read until then.
    output: text of the second start.  reads: splits that the second start read.
    """

    root: Path
    patient: Patient
    verification: Verification
    after_interrupt: tuple[list[str], list[str]]
    output: str
    reads: list[str]


def refused(overrides: Any) -> Any:
    """A sweep that must not begin."""
    raise AssertionError(f"nothing may be trained here: {overrides}")
