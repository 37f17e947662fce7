"""Damaged and random files: a history or a `DataError`, and nothing else.

``READERS_FUZZ=10000`` spreads that many examples over the tests; without it they are a few hundred.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.diagnosis.readers import read_log
from pipeline.errors import DataError

FILES = Path(__file__).parents[2] / "fixtures" / "histories"
EXAMPLES = int(os.environ.get("READERS_FUZZ", "400"))
SHORT = 4_000  # signs of a valid log that are mutated: enough for every form

CONSOLE = (
    "Epoch 1/3\n 10/100 [==>......] - ETA: 1s - loss: 2.0\r100/100 [=====] - 1s - loss: 1.0 - "
    "accuracy: 0.5 - val_loss: 0.9\nEpoch 2/3\n100/100 [=====] - 1s - loss: 0.6 - val_loss: 0.8\n"
    "{'loss': 0.5, 'epoch': 0.5}\n[3]\ttrain-mlogloss:0.5\teval-mlogloss:0.7\n"
    "step 250: train loss 0.4, val loss 0.5\nTest set: Average loss: 0.06, Accuracy: 9/10 (90%)\n"
)
PHASES = "epoch,phase,loss,acc\n0,train,1.0,50%\n0,val,0.9,40%\n1,train,0.6,70\n1,val,0.8,60\n"
UNEVEN = '{"loss": [3, 2, 1, 0.5], "val_loss": [2, 1.5], "lr": 0.1, "x": [[1, 2], [3, 4]]}'
SEEDS = [
    *(path.read_bytes()[:SHORT] for path in sorted(FILES.iterdir())),
    *(text.encode() for text in (CONSOLE, PHASES, UNEVEN)),
    PHASES.encode("utf-16"),
]
# What the readers look for, at places where it does not belong.
PIECES = [
    *(b"", b"\n", b"\r", b"\0", b",", b";", b"\t", b"|", b'"', b"'", b"{", b"}", b"[", b"]", b":"),
    *(b"%", b"#", b"-", b"nan", b"inf", b"1e999", b"-1", b"9" * 400, b"1,234.5", b"0,5", b"1/12"),
    *(b"null", b"true", b"loss", b"val_loss", b"epoch", b"step", b"Epoch 1/2", b"[1/9]", b"\xff"),
    *(b"__MAX", b" - loss", b"(", b")", b"\x1b[1m", b"\xef\xbb\xbf", b"()" * 50, b"[[" * 3_000),
    *(b"train", b"val", b"\xe2\x80\xa8", b"Wall time,Step,Value\n", b"metric,value,step\n"),
]

FUZZ = settings(
    max_examples=max(EXAMPLES // 4, 1),
    deadline=None,
    derandomize=EXAMPLES <= 400,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def read(content: bytes, folder: Path, name: str = "log.txt") -> None:
    """Read bytes as a file. A history that comes out is whole."""
    path = folder / name
    path.write_bytes(content)
    try:
        reading = read_log(path)
    except DataError as error:
        assert len(str(error)) < 2_000
        return
    history = reading.history
    assert len(history.epochs) and np.all(np.diff(history.epochs) > 0)
    for values in (*history.curves.values(), *reading.others.values()):
        assert values.shape == history.epochs.shape
    for name, values in history.curves.items():
        if name.endswith("accuracy"):
            finite = values[np.isfinite(values)]
            assert np.all((finite >= 0) & (finite <= 1.01)), name
    assert "\n" not in reading.line


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid log, cut, doubled, mixed with another, or with pieces in wrong places."""
    content = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(content)))
        end = draw(st.integers(place, min(len(content), place + 60)))
        kind = draw(st.sampled_from(("insert", "delete", "double", "cut", "join")))
        if kind == "insert":
            content = content[:place] + draw(st.sampled_from(PIECES)) + content[place:]
        elif kind == "delete":
            content = content[:place] + content[end:]
        elif kind == "double":
            content = content[:end] + content[place:]
        elif kind == "cut":
            content = content[:place] if draw(st.booleans()) else content[place:]
        else:
            content = content[:place] + draw(st.sampled_from(SEEDS))
    return content


@st.composite
def lines_in_another_order(draw: st.DrawFn) -> bytes:
    """The lines of a valid log, shuffled, doubled and left out."""
    lines = draw(st.sampled_from(SEEDS)).split(b"\n")
    return b"\n".join(draw(st.lists(st.sampled_from(lines), max_size=40)))


words = st.sampled_from(PIECES) | st.sampled_from(
    [b"loss", b"val_loss", b"epoch", b"accuracy", b" "]
)
numbers = st.floats(width=32).map(lambda x: repr(x).encode()) | st.integers().map(
    lambda x: str(x).encode()
)


@FUZZ
@given(content=mutated())
def test_a_damaged_log_is_read_or_refused(content: bytes, tmp_path: Path) -> None:
    read(content, tmp_path)


@FUZZ
@given(content=lines_in_another_order())
def test_lines_in_any_order_are_read_or_refused(content: bytes, tmp_path: Path) -> None:
    read(content, tmp_path)


@FUZZ
@given(parts=st.lists(words | numbers, max_size=60))
def test_any_words_and_numbers_are_read_or_refused(parts: list[bytes], tmp_path: Path) -> None:
    read(b"".join(parts), tmp_path)


@FUZZ
@given(content=st.binary(max_size=400), as_events=st.booleans())
def test_any_bytes_are_read_or_refused(content: bytes, as_events: bool, tmp_path: Path) -> None:
    start = b"\x18" + bytes(23) + b"brain.Event:2" + bytes(4) if as_events else b""
    read(start + content, tmp_path)


@FUZZ
@given(
    content=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["loss", "val_loss", "data", "columns", "0", "x"]), inner
            )
        ),
        max_leaves=20,
    )
)
def test_any_mapping_is_read_or_refused(content: object) -> None:
    try:
        read_log({"history": content})
    except DataError as error:
        assert len(str(error)) < 2_000
