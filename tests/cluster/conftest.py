"""The real PostgreSQL and SLURM that `cluster.sh start` started; without them these tests skip."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

FOLDER = Path(
    os.environ.get("PIPELINE_CLUSTER") or Path(tempfile.gettempdir()) / "pipeline-cluster"
)


@pytest.fixture(scope="session")
def cluster() -> dict[str, str]:
    """The environment variables with which a process reaches the cluster."""
    file, why = FOLDER / "env", FOLDER / "why"
    if not file.is_file():
        reason = (
            why.read_text().strip()
            if why.is_file()
            else "run tests/cluster/cluster.sh start as root first"
        )
        pytest.skip(f"no cluster: {reason}")
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


@pytest.fixture
def database(cluster: dict[str, str]) -> Iterator[str]:
    """A fresh, empty database for studies; gone after the test."""
    yield from _fresh(cluster)


@pytest.fixture
def record_database(cluster: dict[str, str]) -> Iterator[str]:
    """Another for MLflow: Optuna and MLflow both note their schema in a table `alembic_version`."""
    yield from _fresh(cluster)


def _fresh(cluster: dict[str, str]) -> Iterator[str]:
    name = f"t{uuid.uuid4().hex[:10]}"
    engine = sqlalchemy.create_engine(
        f"{cluster['PIPELINE_POSTGRES']}/postgres",
        isolation_level="AUTOCOMMIT",
        poolclass=sqlalchemy.NullPool,
    )
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    yield f"{cluster['PIPELINE_POSTGRES']}/{name}"
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
