"""TensorBoard's event files → columns, read without TensorBoard.

An event file is a sequence of records: length (8 bytes), its checksum (4), an ``Event`` message of
protocol buffers, its checksum (4). The fields that are read here: Event.step = 2, Event.summary =
5; Summary.value = 1; Value.tag = 1, .simple_value = 2, .tensor = 8; TensorProto.dtype = 1,
.tensor_content = 4, .float_val = 5, .double_val = 6.
Formats: tensorflow/core/util/event.proto, tensorflow/core/framework/{summary,tensor}.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.diagnosis.readers.columns import Column, Table, merged

NAME_PART = "tfevents"
_FLOAT, _DOUBLE = 1, 2  # DataType of TensorFlow


def is_event_file(content: bytes) -> bool:
    """Whether bytes begin as an event file does: its first record names the version."""
    return content[24:].startswith(b"brain.Event:") or b"brain.Event:" in content[:64]


def read_events(contents: Sequence[bytes]) -> Table:
    """Read the scalars of one run's event files, in the order in which they were written.

    Where the steps of a tag go back, the later session has taken over: its values count.
    A last record that is not whole, as a killed run leaves it, is left out.
    """
    points: dict[str, list[tuple[int, float]]] = {}
    for content in contents:
        for tag, step, value in _scalars(content):
            points.setdefault(tag, []).append((step, value))
    if not points:
        return Table({}, 0, "events")
    return merged((("", _tag_table(tag, listed)) for tag, listed in points.items()), "step")


def _tag_table(tag: str, points: Sequence[tuple[int, float]]) -> Table:
    steps = np.array([step for step, _ in points], dtype=np.float64)
    values = np.array([value for _, value in points])
    later = np.append(np.minimum.accumulate(steps[::-1])[::-1][1:], np.inf)
    kept = steps < later
    steps, values = steps[kept], values[kept]
    rows = np.arange(len(steps))
    return Table({"step": Column(rows, steps), tag: Column(rows, values)}, len(steps), "events")


def _scalars(content: bytes) -> Iterator[tuple[str, int, float]]:
    """Every (tag, step, value) of a file."""
    for event in _records(content):
        step, summary = 0, b""
        for field, value in _fields(event):
            if field == 2 and isinstance(value, int):
                step = value - (value >> 63 << 64)  # int64 in two's complement
            elif field == 5 and isinstance(value, bytes):
                summary = value
        for field, value in _fields(summary):
            if field == 1 and isinstance(value, bytes):
                tag, scalar = _value(value)
                if scalar is not None:
                    yield tag, step, scalar


def _records(content: bytes) -> Iterator[bytes]:
    place = 0
    while place + 16 <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        if length > len(content) - place - 16:
            return
        yield content[place + 12 : place + 12 + length]
        place += 16 + length


def _value(message: bytes) -> tuple[str, float | None]:
    tag, scalar = "", None
    for field, value in _fields(message):
        if field == 1 and isinstance(value, bytes):
            tag = value.decode("utf-8", "replace")
        elif field == 2 and isinstance(value, bytes) and len(value) == 4:
            scalar = struct.unpack("<f", value)[0]
        elif field == 8 and isinstance(value, bytes):
            scalar = _tensor(value)
    return tag, scalar


def _tensor(message: bytes) -> float | None:
    """The number of a tensor of one; None for a picture, a text or a histogram."""
    kind, packed = _FLOAT, b""
    for field, value in _fields(message):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field in (4, 5, 6) and isinstance(value, bytes):
            packed = value
    form = {_FLOAT: "<f", _DOUBLE: "<d"}.get(kind)
    if form is None or len(packed) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, packed)[0])


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message of protocol buffers; a damaged rest is left out."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == 2:
            length, place = _varint(message, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            return
        if place + length > end:
            return
        yield key >> 3, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(place, min(place + 10, len(message))):
        byte = message[index]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, index + 1
        shift += 7
    return value, len(message)
