"""The written form of a diagnosis: what is written is read back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.diagnosis import Diagnosis, diagnose
from pipeline.errors import DataError
from pipeline.files import read_record, to_json, write_record
from planted_history import FAULTS, history

WAY_OUT = "Make it again: pipeline diagnose name=mlp"


@pytest.mark.parametrize("verdict", FAULTS)
def test_a_diagnosis_is_read_back_as_it_was_written(verdict: str, tmp_path: Path) -> None:
    written = diagnose(history(**FAULTS[verdict]))
    write_record(tmp_path / "diagnosis.json", written)
    back = read_record(tmp_path / "diagnosis.json", Diagnosis, way_out=WAY_OUT)
    assert to_json(back) == to_json(written)
    assert back.findings[0].conditions[0].key == written.findings[0].conditions[0].key


def test_the_fields_that_other_programs_read_are_there() -> None:
    fields = json.loads(to_json(diagnose(history(**FAULTS["overfitting"]))))
    assert {"version", "name", "verdict", "confidence", "ranked", "reason"} <= fields.keys()
    assert {"findings", "follow", "undecided", "ruled_out", "not_run"} <= fields.keys()
    finding = fields["findings"][0]
    assert {"verdict", "probability", "what", "harm", "conditions", "remedies"} <= finding.keys()
    wanted = {"what", "value", "low", "high", "unit", "wanted", "limit", "probability", "epochs"}
    assert wanted <= finding["conditions"][0].keys()


def test_a_probability_is_written_with_four_digits() -> None:
    found = diagnose(history(**FAULTS["learning_rate_too_low"]))
    fields = json.loads(to_json(found))
    assert fields["confidence"] == round(found.confidence, 4)


def test_an_infinite_loss_is_written_as_null_and_read_as_nan(tmp_path: Path) -> None:
    val = np.append(np.full(11, 0.5), math.inf)
    write_record(tmp_path / "diagnosis.json", diagnose(history(train=val, val=val)))
    fields = json.loads((tmp_path / "diagnosis.json").read_text())
    assert None in [c["value"] for c in fields["findings"][0]["conditions"]]
    back = read_record(tmp_path / "diagnosis.json", Diagnosis, way_out=WAY_OUT)
    assert any(math.isnan(c.value) for c in back.findings[0].conditions)


def test_a_record_of_another_form_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "diagnosis.json").write_text('{"version": 1, "verdict": "healthy"}')
    with pytest.raises(DataError, match=WAY_OUT):
        read_record(tmp_path / "diagnosis.json", Diagnosis, way_out=WAY_OUT)
