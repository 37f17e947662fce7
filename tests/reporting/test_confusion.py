"""The confusion matrix: every count that is not zero."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.reporting import confusion


@pytest.mark.parametrize("classes", [2, 10, 26])
def test_every_count_is_written(classes: int) -> None:
    matrix = np.arange(1, classes * classes + 1).reshape(classes, classes)
    figure = confusion.plot(matrix, class_names=[f"c{i}" for i in range(classes)])
    written = sorted(text.get_text() for text in figure.axes[0].texts)
    assert written == sorted(map(str, matrix.ravel().tolist()))


def test_zero_stays_blank() -> None:
    figure = confusion.plot(np.array([[3, 0], [0, 0]]), class_names=["a", "b"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["3"]
