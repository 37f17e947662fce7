"""Homes: of this user, of one who is unknown, and none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from pipeline.home import expanded, use_temporary_if_missing


def test_the_home_of_an_unknown_user_stays_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    found = [str(expanded(path)) for path in ("~/a", "~nobody-here/a", "a/~", "/b")]
    assert found == ["/somewhere/a", "~nobody-here/a", "a/~", "/b"]


def test_a_home_that_is_known_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    use_temporary_if_missing()
    assert os.environ["HOME"] == "/somewhere"


def test_without_a_home_libraries_find_the_temporary_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "")  # so that the end of the test puts it back
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4242)  # a user without an entry
    with pytest.raises(RuntimeError):
        Path.home()
    use_temporary_if_missing()
    assert Path.home() == Path(tempfile.gettempdir())
