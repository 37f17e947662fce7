"""The written form of probes: what is written is read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.diagnosis import diagnose
from pipeline.diagnosis.probes import Fork, settle
from pipeline.diagnosis.probes.record import ProbesRecord, probes_record
from pipeline.diagnosis.probes.settle import evidence_of
from pipeline.files import read_record, write_record
from planted_history import history
from probe_outcome import N, outcome


def test_the_record_of_probes_is_read_back_and_a_diverged_loss_as_nan(tmp_path: Path) -> None:
    lost = Fork(np.full((2, N), np.inf), np.full((2, N), np.inf))
    probed = settle(diagnose(history()), evidence_of(outcome()), settings={}).probes
    assert probed is not None
    record = probes_record(outcome(rates={10.0: lost}), probed, name="a", weights_sha256="0")
    write_record(tmp_path / "probes.json", record)
    back = read_record(tmp_path / "probes.json", ProbesRecord, way_out="")
    assert np.isnan(back.forks["learning_rate*10"].val_loss).tolist() == [True, True]
    assert back.forks["learning_rate*1"] == record.forks["learning_rate*1"]
    assert back.changes[0].verdict == probed.changes[0].verdict
