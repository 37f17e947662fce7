"""A number of a table that the network's own numbers cannot hold."""

from __future__ import annotations

import pytest

from pipeline.data.table import encoded
from pipeline.errors import DataError
from pipeline.records import Column


def test_a_number_beyond_float32_is_refused_with_its_row() -> None:
    column = Column(name="price", kind="number", mean=0.0, std=1.0)
    assert encoded({"price": ["1", "1e38"]}, [column]).max() == pytest.approx(1e38)
    with pytest.raises(DataError, match=r"column price has 1e300 in row 2, too large"):
        encoded({"price": ["1", "1e300"]}, [column])
