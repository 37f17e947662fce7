from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.data.idx import format_idx, parse_idx, parse_images, parse_labels
from pipeline.errors import DataError

DTYPES = [np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
        )
    )
)
def test_an_array_survives_the_round_trip_bit_for_bit(array: np.ndarray) -> None:
    again = parse_idx(format_idx(array), name="x")
    assert again.dtype == array.dtype and again.shape == array.shape
    assert again.tobytes() == array.tobytes()


def test_bytes_written_by_hand_are_read_as_the_format_says() -> None:
    # type 0x0c = big-endian int32, two dimensions 1 x 3
    content = struct.pack(">BBBBII3i", 0, 0, 0x0C, 2, 1, 3, 1, -2, 70_000)
    assert parse_idx(content, name="x").tolist() == [[1, -2, 70_000]]
    assert format_idx(np.array([[1, -2, 70_000]], dtype=np.int32)) == content


IMAGES = format_idx(np.zeros((2, 3, 3), dtype=np.uint8))
MALFORMED = {
    "empty": (b"", "begins with nothing"),
    "html": (b"<!DOCTYPE html><html>", "not an IDX file"),
    "little_endian_magic": (b"\x03\x08\x00\x00" + IMAGES[4:], "not an IDX file"),
    "gzip": (b"\x1f\x8b\x08\x00", "gzip"),
    "short_magic": (b"\x00\x00\x08", "not an IDX file"),
    "unknown_type": (b"\x00\x00\x0a\x01" + bytes(4), "0x0a"),
    "no_dimensions": (b"\x00\x00\x08\x00", "0 dimensions"),
    "many_dimensions": (b"\x00\x00\x08\xff" + bytes(4 * 255), "255 dimensions"),
    "header_cut": (IMAGES[:10], "header"),
    "data_cut": (IMAGES[:-1], "truncated"),
    "trailing": (IMAGES + b"x", "trailing"),
    "absurd_dimensions": (
        struct.pack(">BBBBIII", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1),
        "truncated",
    ),
}


@pytest.mark.parametrize(("content", "said"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_named_with_what_was_found(content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte") as caught:
        parse_images(content, name="train-images-idx3-ubyte")
    assert said in str(caught.value)
    assert any(way in str(caught.value) for way in ("pipeline download", "gunzip"))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_array_or_a_data_error(noise: bytes) -> None:
    try:
        array = parse_idx(noise, name="x")
    except DataError:
        return
    assert len(format_idx(array)) == len(noise)


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 9), np.uint8), np.zeros((2, 3, 3), np.int16), np.zeros((0, 3, 3), np.uint8)],
    ids=["two_dimensions", "int16", "no_images"],
)
def test_images_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError, match="images are uint8"):
        parse_images(format_idx(array), name="x")


def test_labels_are_read_from_a_list_and_from_the_first_column_of_qmnist() -> None:
    table = format_idx(np.arange(16, dtype=np.int32).reshape(2, 8))
    assert parse_labels(format_idx(np.array([3, 1], np.uint8)), name="list").tolist() == [3, 1]
    assert parse_labels(table, name="table").tolist() == [0, 8]
    assert parse_labels(table, name="table").dtype == np.int64
    with pytest.raises(DataError, match="labels are"):
        parse_labels(IMAGES, name="images")


@pytest.mark.parametrize(
    "array", [np.zeros(2, np.int64), np.zeros((), np.uint8), np.zeros((1,) * 5, np.uint8)], ids=str
)
def test_what_idx_cannot_hold_is_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError, match="does not fit"):
        format_idx(array)
