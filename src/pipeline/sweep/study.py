"""A study in its storage: opened safely by many at once, with samplers and pruners by name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock, Timeout

from pipeline.errors import SpaceError, SweepError
from pipeline.sweep.tickets import Tickets

DEFAULT_STORAGE = "sqlite:///optuna.db"
SPACE, FOLDER = "pipeline:space", "pipeline:folder"
ADVISORY_LOCK = 0x70697065  # "pipe": the same for everybody who uses this package

_SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "cmaes": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
}
_PRUNERS = {
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "threshold": "ThresholdPruner",
    "wilcoxon": "WilcoxonPruner",
}
MULTI_OBJECTIVE_SAMPLERS = ("tpe", "random", "nsgaii", "nsgaiii", "gp", "qmc", "grid")


def build_sampler(options: Mapping[str, Any], *, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler for one trial.

    A fixed seed replays the same points after a resume; so each trial's seed comes from the given
    one and the trial's number, and is the same whichever process runs it.
    """
    name, rest = _named(options, {**_SAMPLERS, "grid": "RandomSampler"}, "hydra/sweeper/sampler")
    seed = rest.pop("seed", None)
    if name in ("gp", "cmaes", "qmc"):
        rest.setdefault("warn_independent_sampling", False)
    made = getattr(optuna.samplers, {**_SAMPLERS, "grid": "RandomSampler"}[name])
    derived = (
        None if seed is None else int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4])
    )
    # QMC's points are one sequence: its seed scrambles the whole of it and must stay the same.
    return _built(made, {**rest, "seed": seed if name == "qmc" else derived}, f"hydra/sweeper/sampler={name}")


def build_pruner(options: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    """Return the pruner; with ``patience`` it waits until a trial has not improved for that many reports."""
    name, rest = _named(options, {**_PRUNERS, "none": ""}, "hydra/sweeper/pruner")
    patience = rest.pop("patience", None)
    if name == "none":
        return optuna.pruners.NopPruner()
    num_startup = rest.pop("n_startup_trials", 0) if name == "successive_halving" else 0
    pruner = _built(getattr(optuna.pruners, _PRUNERS[name]), rest, f"hydra/sweeper/pruner={name}")
    pruner = AfterStartup(pruner, num_trials=num_startup) if num_startup else pruner
    return optuna.pruners.PatientPruner(pruner, patience=patience) if patience else pruner


class AfterStartup(optuna.pruners.BasePruner):
    """Lets the first trials of a study run to their end, whatever the pruner says; it hears of them all the same."""

    def __init__(self, pruner: optuna.pruners.BasePruner, *, num_trials: int) -> None:
        self.pruner = pruner
        self.num_trials = num_trials

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether to stop this trial."""
        decided = self.pruner.prune(study, trial)
        return decided and trial.number >= self.num_trials


def _named(options: Mapping[str, Any], known: Mapping[str, str], group: str) -> tuple[str, dict[str, Any]]:
    rest = dict(options)
    name = rest.pop("name", None)
    if name not in known:
        raise SpaceError(f"{group}={name}: unknown. Known are {', '.join(sorted(known))}.")
    return name, rest


def _built(kind: Any, options: Mapping[str, Any], key: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**options)
    except (TypeError, ValueError) as error:
        raise SpaceError(f"{key}: {' '.join(str(error).split())}. Change that option.") from error


@dataclass(frozen=True)
class Database:
    """A study's database: Optuna's view of it, and the connection itself for the tickets."""

    storage: optuna.storages.BaseStorage
    engine: sqlalchemy.Engine


def open_storage(url: str) -> Database:
    """Connect to a study's database, making its schema once, however many processes begin together.

    Raises `SweepError` where it cannot be reached or is of a kind that loses trials.
    """
    if "://" not in url:
        raise SpaceError(f"storage={url}: must be a database URL, for example {DEFAULT_STORAGE}")
    if url in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        raise SpaceError(
            f"storage={url}: is kept in memory, which workers cannot share. Use {DEFAULT_STORAGE}"
        )
    quiet()
    url = with_driver(url)
    with _told(url), exclusive(url):
        storage = optuna.storages.RDBStorage(url, engine_kwargs=_engine_options(url))
        Tickets(storage.engine, "", lease=1.0).make_table()
        return Database(optuna.storages.get_storage(storage), storage.engine)


def with_driver(url: str) -> str:
    """``postgresql://`` means psycopg2, as the extra ``postgres`` installs it; SQLAlchemy 2.1 means psycopg 3."""
    name, _, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if name in ("postgres", "postgresql") else url


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what a database or its driver raises into a message for a person."""
    try:
        yield
    except sqlalchemy.exc.OperationalError as error:
        told = str(error.orig or error).strip().splitlines()[0]
        raise SweepError(
            f"storage={_safe(url)}: cannot be reached: {told}. Start its server, or correct the URL."
        ) from error
    except RuntimeError as error:  # Optuna's, for a table `alembic_version` that it does not know
        raise SweepError(
            f"storage={_safe(url)}: is the database of another program, such as MLflow, or of another version "
            "of Optuna. Give studies a database of their own."
        ) from error
    except (ImportError, sqlalchemy.exc.ArgumentError) as error:
        way_out = 'pip install "psycopg2-binary>=2.9"' if "postgres" in url else f"use {DEFAULT_STORAGE}"
        raise SweepError(
            f"storage={_safe(url)}: {str(error).splitlines()[0]}. Its driver is missing: {way_out}"
        ) from error


def quiet() -> None:
    """Optuna's own line for every trial is replaced by ours."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", message=".*is already reported.*")  # an epoch after a resume


def _engine_options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 120}}
    return {"pool_pre_ping": True, "pool_size": 2}


@contextlib.contextmanager
def exclusive(url: str) -> Iterator[None]:
    """One process at a time, on one machine or many: while a schema is made or a record is opened.

    SQLite: a lock on a file beside the database.  PostgreSQL: an advisory lock, which the server
    frees when its holder commits, fails or is killed; a lock of a transaction, so that it also holds
    behind a pool of connections.  Not to be entered twice by one process.
    """
    if url.startswith("postgres"):
        engine = sqlalchemy.create_engine(with_driver(url), poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            yield
        return
    if not url.startswith("sqlite:///"):
        yield
        return
    path = Path(url.removeprefix("sqlite:///"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=300)
        lock.acquire()
    except (OSError, Timeout) as error:
        raise SweepError(f"storage={url}: {error}. Name a folder that can be written.") from error
    try:
        yield
    finally:
        lock.release()


def _safe(url: str) -> str:
    """The URL without its password."""
    return str(sqlalchemy.engine.make_url(url))


def study_name_for(signature: Mapping[str, Any], directions: list[str], prefix: str) -> str:
    """Return a name that the same command gives again: the preset and a hash of the search."""
    digest = hashlib.sha256(json.dumps([signature, directions], sort_keys=True).encode()).hexdigest()
    return f"{prefix}-{digest[:8]}"


def open_study(
    database: Database,
    name: str,
    *,
    directions: list[str],
    signature: Mapping[str, Any],
    folder: str,
) -> optuna.Study:
    """Create a study, or go on with it. Raises `SweepError` where it has another search space or direction."""
    study = optuna.create_study(
        storage=database.storage,
        study_name=name,
        directions=[optuna.study.StudyDirection[d.upper()] for d in directions],
        load_if_exists=True,
    )
    had = [d.name.lower() for d in study.directions]
    if had != directions:
        raise SweepError(
            f"study_name={name}: this study has direction={had}, not {directions}. Name another study."
        )
    known = study.user_attrs
    if SPACE not in known and study.get_trials(deepcopy=False):
        raise SpaceError(f"study_name={name}: was made by another program. Name another study.")
    if SPACE in known and known[SPACE] != json.loads(json.dumps(signature)):
        raise SpaceError(f"study_name={name}: {_difference(known[SPACE], signature)}. Name another study.")
    if SPACE not in known:
        study.set_user_attr(FOLDER, folder)
        study.set_user_attr(SPACE, dict(signature))
    return study


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    had, has = old["parameters"], new["parameters"]
    for key in sorted({*had, *has}):
        if key not in has:
            return f"this study sweeps {key} too"
        if key not in had:
            return f"this study does not sweep {key}"
        if had[key] != json.loads(json.dumps(has[key])):
            return f"this study has another search space for {key}"
    gone = sorted(set(old["fixed"]) ^ set(new["fixed"]))
    return f"this study was made with other overrides ({', '.join(gone)})"


def load_study(database: Database, name: str, **parts: Any) -> optuna.Study:
    """Return an existing study. Raises `SweepError` with the names that exist where there is none."""
    try:
        return optuna.load_study(study_name=name, storage=database.storage, **parts)
    except KeyError as error:
        names = ", ".join(optuna.get_all_study_names(database.storage)) or "none"
        raise SpaceError(f"study={name}: there is no such study. Known are: {names}.") from error
