"""``generalization.csv``: the rows come back as they were, and other files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.evaluation.generalization import (
    GeneralizationRow,
    read_generalization_csv,
    write_generalization_csv,
)
from pipeline.records import Estimate

ROWS = [
    GeneralizationRow("test set", 0, Estimate(0.1 + 0.2, 1 / 3, 2 / 3, 500)),
    GeneralizationRow("noise", 5, Estimate(0.0, 0.0, 1.0, 1)),
    GeneralizationRow('of "others", mine', None, Estimate(1.0, 0.5, 1.0, 7)),
]


def test_rows_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "generalization.csv"
    write_generalization_csv(path, ROWS)
    assert read_generalization_csv(path) == ROWS


def test_another_data_set_has_no_severity_and_the_clean_test_set_has_0(tmp_path: Path) -> None:
    path = tmp_path / "generalization.csv"
    write_generalization_csv(path, [ROWS[0], ROWS[2]])
    assert path.read_text().splitlines() == [
        "name,severity,accuracy,low,high,n",
        "test set,0,0.30000000000000004,0.3333333333333333,0.6666666666666666,500",
        '"of ""others"", mine",,1.0,0.5,1.0,7',
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("name,severity\na,1\n", id="columns_missing"),
        pytest.param("name,severity,accuracy,low,high,n\na,1,high,0,1,5\n", id="not_a_number"),
        pytest.param("name,severity,accuracy,low,high,n\na,1,0.5\n", id="line_cut"),
    ],
)
def test_a_damaged_table_is_refused_with_the_way_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results" / "cnn" / "generalization.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(DataError, match="pipeline evaluate name=cnn"):
        read_generalization_csv(path)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        read_generalization_csv(tmp_path / "generalization.csv")
