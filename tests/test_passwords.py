"""No password of a store's address reaches a file, a message or a record."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from pipeline.config import compose
from pipeline.errors import TrackingError
from pipeline.passwords import hide, masked, reveal

SECRET = "s3cr/t@x"

ADDRESSES = [
    ("postgresql://me:s3cret@host/db", "postgresql://me:***@host/db"),
    ("postgresql+psycopg2://me:a/b@c@host:5432/db", "postgresql+psycopg2://me:***@host:5432/db"),
    ("http://:s3cret@host:5000", "http://:***@host:5000"),
    ("https://host/db?user=me&password=s3cret&x=1", "https://host/db?user=me&password=***&x=1"),
    ("http://host:5000/a@b", "http://host:5000/a@b"),
    ("sqlite:////a:b@c/optuna.db", "sqlite:////a:b@c/optuna.db"),
    ("postgresql://me@host/db", "postgresql://me@host/db"),
    ("file:///a:b@c", "file:///a:b@c"),
    ("storage='mysql://me:s3cret@host/db'", "storage='mysql://me:***@host/db'"),
]


@pytest.mark.parametrize(("address", "shown"), ADDRESSES)
def test_only_the_password_is_masked(address: str, shown: str) -> None:
    assert masked(address) == shown
    assert masked(f"cannot reach {address}: refused") == f"cannot reach {shown}: refused"


@pytest.mark.parametrize(("address", "shown"), ADDRESSES[:4])
def test_a_hidden_password_is_known_where_a_connection_opens(address: str, shown: str) -> None:
    assert hide(address) == shown
    assert reveal(shown) == address


def test_an_address_that_was_never_hidden_stays_as_it_is() -> None:
    assert reveal("http://a:***@nowhere") == "http://a:***@nowhere"


def test_an_error_shows_no_password() -> None:
    assert str(TrackingError("http://me:s3cret@host: refused")) == "http://me:***@host: refused"
    again = pickle.loads(pickle.dumps(TrackingError("x")))  # as it comes from a worker
    assert str(again) == "x"


@pytest.mark.parametrize("place", ["command line", "file"])
def test_the_record_of_a_run_has_no_password(place: str, project: Path) -> None:
    address = f"postgresql://me:{SECRET}@host/db"
    overrides = [f"tracking.uri='{address}'"]
    if place == "file":
        path = project / "conf" / "experiment" / "mine.yaml"
        path.write_text(f"# @package _global_\ntracking:\n  uri: {address}\n")
        overrides = ["experiment=mine"]
    settings, values = compose(overrides, root=project)
    assert values["tracking"]["uri"] == "postgresql://me:***@host/db"
    assert settings.tracking.uri == address
    assert SECRET not in repr(settings)


def test_the_plan_of_a_sweep_has_no_password(project: Path) -> None:
    from pipeline.config import sweep_options

    os.environ["THE_STORE"] = f"postgresql://me:{SECRET}@host/db"
    for given in (f"'postgresql://me:{SECRET}@host/db'", "'${oc.env:THE_STORE}'"):
        options = sweep_options([f"hydra.sweeper.storage={given}"], root=project)
        assert hide(options["storage"]) == "postgresql://me:***@host/db"
        assert reveal("postgresql://me:***@host/db") == os.environ["THE_STORE"]
    del os.environ["THE_STORE"]


def test_no_file_of_a_run_has_a_password(project: Path) -> None:
    from pipeline import cli
    from trained_models import TINY

    place = project / "conf" / "experiment" / "mine.yaml"
    place.write_text(
        "# @package _global_\n"
        f"tracking:\n  enabled: false\n  uri: postgresql://me:{SECRET}@host/db\n"
    )
    study = f"hydra.sweeper.storage=postgresql://me:{SECRET}@host/studies"
    cli.call("train", [*TINY, "trainer.max_epochs=1", "experiment=mine", study])
    written = [path for path in project.rglob("*") if path.is_file() and path != place]
    assert any(path.name == "hydra.yaml" for path in written)
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []
    recorded = (project / "results" / "mlp" / "config.json").read_text()
    assert "postgresql://me:***@host/db" in recorded
