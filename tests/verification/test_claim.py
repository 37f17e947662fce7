"""The claim: the test set is read once, and only for a claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.verification.patient import patient_of
from pipeline.verification.verify import verify
from verified import MORE_DATA, Verified, counted_reads, run_sweep


def test_a_verification_reads_the_test_set_once(verified: Verified) -> None:
    assert verified.reads == ["test"]


def test_a_claim_that_was_made_is_not_made_again(verified: Verified, proved: Path) -> None:
    (proved / "results/wide/verification.json").unlink()  # as if killed just after the claim
    with counted_reads() as reads:
        again = verify(patient_of("wide", root=proved), MORE_DATA, root=proved, run_sweep=run_sweep)
    assert reads == []
    assert again == verified.verification


def test_a_damaged_record_of_claims_is_not_replaced(proved: Path) -> None:
    path = proved / "results/wide/claims.json"
    path.write_text("{}}")
    with pytest.raises(DataError, match="reads the test set again"), counted_reads() as reads:
        verify(patient_of("wide", root=proved), MORE_DATA, root=proved, run_sweep=run_sweep)
    assert (path.read_text(), reads) == ("{}}", [])
