"""The journal on the disk: appended, read again, shared, cut off and damaged."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking.journal import (
    Head,
    Journal,
    State,
    all_journals,
    folders_of,
    head_of,
    hold,
    new_key,
    open_journal,
    read_head,
    read_lines,
    read_state,
    write_state,
)


def head(key: str = "a" * 32, **values: Any) -> Head:
    return Head(key, "sqlite:///mlflow.db", "mnist", "mlp", **values)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return open_journal(tmp_path, head())[0]


def ops(folder: Path) -> list[str]:
    return [line["op"] for line in read_lines(folder)[0]]


def test_lines_are_read_as_they_were_written_from_any_confirmed_place(journal: Journal) -> None:
    values = {"loss": 0.1 + 0.2, "inf": float("inf"), "ü": 5e-324}
    journal.write("metrics", t=1, step=2, values=values)
    _, after_first = read_lines(journal.folder)
    journal.write("tags", values={"a": "1\n2"})
    lines, _ = read_lines(journal.folder)
    assert [line["op"] for line in lines] == ["head", "metrics", "tags"]
    assert lines[1] == {"op": "metrics", "t": 1, "step": 2, "values": values}
    rest, end = read_lines(journal.folder, after_first)
    assert rest == [{"op": "tags", "values": {"a": "1\n2"}}]
    assert end == journal.path.stat().st_size


def test_the_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = head(target="model", create=False, tags={"model.sha256": "abc"}, began_ms=5)
    journal, _ = open_journal(tmp_path, written)
    assert read_head(journal.folder) == written


def test_a_head_without_its_store_is_no_head() -> None:
    line = {"op": "head", "key": "a", "experiment": "mnist", "name": "mlp"}
    assert head_of(line) is None
    assert head_of({**line, "uri": "sqlite:///mlflow.db"}) is not None


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_last_line_that_a_kill_has_cut_off_is_left_out_and_written_over(
    cut: int, journal: Journal, tmp_path: Path
) -> None:
    journal.write("tags", values={"a": "1"})
    journal.write("tags", values={"b": "2"})
    journal.close()
    text = journal.path.read_bytes()
    journal.path.write_bytes(text[:-cut])
    assert ops(journal.folder) == ["head", "tags"]
    again, known = open_journal(tmp_path, head())
    assert [line["op"] for line in known] == ["head", "tags"]
    again.write("tags", values={"c": "3"})
    assert ops(journal.folder) == ["head", "tags", "begin", "tags"]


@pytest.mark.parametrize(
    ("whole", "damage"), [(b'{"a"', b'{"a\x00'), (b'"op":"tags"', b'"0p":"tags"')]
)
def test_a_damaged_line_takes_no_other_along(whole: bytes, damage: bytes, journal: Journal) -> None:
    journal.write("tags", values={"a": "1"})
    journal.write("tags", values={"b": "2"})
    text = journal.path.read_bytes()
    journal.path.write_bytes(text.replace(whole, damage, 1))
    assert ops(journal.folder) == ["head", "damaged", "tags"]


def test_a_second_process_gets_a_journal_of_its_own_and_knows_the_first(
    journal: Journal, tmp_path: Path
) -> None:
    journal.write("tags", values={"a": "1"})
    second, known = open_journal(tmp_path, head())
    assert second.folder != journal.folder
    assert [line["op"] for line in known] == ["head", "tags"]
    assert folders_of(tmp_path, "a" * 32) == [journal.folder, second.folder]
    assert hold(journal.folder) is None
    journal.close()
    assert hold(journal.folder) is not None


def test_a_deleted_journal_is_gone_and_can_begin_anew(journal: Journal, tmp_path: Path) -> None:
    journal.delete()
    assert all_journals(tmp_path) == []
    again, known = open_journal(tmp_path, head())
    assert (again.folder, known) == (journal.folder, [])


def test_a_full_disk_leaves_no_half_line(journal: Journal) -> None:
    """A file that takes only half of what it is given."""
    whole = journal._file

    class Full:
        def write(self, text: bytes) -> int:
            return int(whole.write(text[: len(text) // 2]))

        def __getattr__(self, name: str) -> Any:
            return getattr(whole, name)

    journal._file = Full()
    with pytest.raises(OSError) as raised:
        journal.write("tags", values={"a": "1"})
    assert raised.value.errno == errno.ENOSPC
    journal._file = whole
    journal.write("tags", values={"b": "2"})
    assert ops(journal.folder) == ["head", "tags"]


def test_journals_are_listed_in_the_order_of_their_beginning(tmp_path: Path) -> None:
    for key, began in (("b" * 32, 2), ("c" * 32, 1), ("a" * 32, 3)):
        open_journal(tmp_path, head(key, began_ms=began))
    assert [h.key[0] for _, h in all_journals(tmp_path)] == ["c", "b", "a"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"offset": 1, "unknown": 2}'])
def test_a_state_that_is_missing_or_damaged_confirms_nothing(text: str, journal: Journal) -> None:
    assert read_state(journal.folder) == State()
    (journal.folder / "state.json").write_text(text)
    assert read_state(journal.folder) == State()
    write_state(journal.folder, State("id", True, 7, 1, "why"))
    assert read_state(journal.folder) == State("id", True, 7, 1, "why")


def test_the_key_of_an_identity_is_always_the_same() -> None:
    assert new_key("study", "a") == new_key("study", "a")
    assert len({new_key("ab", "c"), new_key("a", "bc"), new_key("abc"), new_key(), new_key()}) == 5
