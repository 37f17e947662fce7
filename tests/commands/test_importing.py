"""Imports are spared from the search for garbage; all that a command makes later is not."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.importing import lasting_imports

LIBRARY = """
class Ring:
    def __init__(self):
        self.ring = self
rings = [Ring() for _ in range(5_000)]
"""
COMMAND = """
import gc, os
from pipeline.commands.importing import lasting_imports
class Ring:
    def __init__(self, name):
        self.ring, self.name = self, name
    def __del__(self, write=os.write):
        write(1, self.name)
with lasting_imports("library"):
    import library
print(len(gc.get_objects()), gc.get_freeze_count() > 5_000, gc.isenabled(), flush=True)
Ring(b"dropped ")
(lambda: Ring(b"local "))()
"""


def test_a_library_is_never_searched_and_what_comes_after_it_is(tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text(LIBRARY)
    line = [sys.executable, "-c", COMMAND]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
    searched, spared, enabled, *ended = done.stdout.split()
    assert int(searched) < 1_000
    assert (spared, enabled) == ("True", "True")
    # Both refer to themselves, so only a search for garbage ends them.
    assert ended == ["dropped", "local"]


def test_where_the_library_is_there_already_nothing_is_spared() -> None:
    before = gc.get_freeze_count()
    with lasting_imports("pipeline"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_after_an_error_the_search_goes_on_and_nothing_is_spared() -> None:
    before = gc.get_freeze_count()
    with pytest.raises(ImportError), lasting_imports("no_such_library"):
        import no_such_library  # noqa: F401
    assert gc.isenabled()
    assert gc.get_freeze_count() == before


def test_a_person_who_has_ended_the_search_keeps_it_so() -> None:
    gc.disable()
    try:
        with lasting_imports("no_such_library"):
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
