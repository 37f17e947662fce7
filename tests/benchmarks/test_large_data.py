"""The benchmark of large data makes what it says, and sees the memory of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import large_data  # noqa: E402
from large_data import CASES, Watch, limited, moved  # noqa: E402

TAKES = "import numpy as np, time; a = np.ones(200_000_000, np.uint8); print(1); time.sleep(0.5)"


@pytest.mark.parametrize("name", CASES)
def test_images_have_the_form_of_their_case(name: str) -> None:
    case, generator = CASES[name], np.random.default_rng(0)
    digits = generator.integers(0, 256, (3, 1, 28, 28), dtype=np.uint8)
    images = moved(digits, case, generator)
    assert images.shape == (3, case.channels, case.side, case.side)
    assert images.dtype == np.uint8 and images.any()
    assert set(large_data.settings_of(case))


def test_the_memory_of_a_process_is_seen_and_can_be_limited() -> None:
    process = subprocess.Popen([sys.executable, "-c", TAKES], stdout=subprocess.PIPE)
    watch = Watch(process.pid)
    process.wait()
    assert 200e6 < watch.end()[1] < 300e6
    refused = subprocess.run(
        [sys.executable, "-c", TAKES], stderr=subprocess.PIPE, preexec_fn=limited(150_000_000)
    )
    assert b"MemoryError" in refused.stderr
