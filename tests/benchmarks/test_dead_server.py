"""How benchmarks/dead_server.py compares turns beside a broken server with those around them."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from dead_server import log_ratios


@pytest.mark.parametrize("slower", [1.0, 1.1])
def test_a_training_that_slows_down_by_itself_is_not_slower_beside_a_broken_server(
    slower: float,
) -> None:
    """Each turn takes 5 % longer than the one before it; every second one is ``slower`` too."""
    seconds = [0.1 * 1.05**turn * (slower if turn % 2 else 1.0) for turn in range(9)]
    assert [math.exp(each) for each in log_ratios(seconds)] == pytest.approx([slower] * 4)
