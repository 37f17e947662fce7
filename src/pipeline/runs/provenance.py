"""Where a run comes from: code, data, configuration, environment, as tags."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.home import expanded
from pipeline.records import DataCard

# Values that change what is shown or recorded, not what is trained.
WITHOUT_EFFECT_ON_WEIGHTS = ("name", "tracking", "evaluation", "objective", "logger")


def config_sha256(values: Mapping[str, Any]) -> str:
    """Return the hash of a resolved configuration: canonical JSON, keys sorted."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def data_sha256(card: DataCard) -> str:
    """Return one hash of all splits' contents."""
    return hashlib.sha256(json.dumps(dict(card.sha256), sort_keys=True).encode()).hexdigest()


def resume_key(values: Mapping[str, Any], card: DataCard, *, root: Path) -> str:
    """Return a hash of everything that decides the weights: the same key, the same training."""
    deciding = {k: v for k, v in values.items() if k not in WITHOUT_EFFECT_ON_WEIGHTS}
    start = _initial_sha256(values, root) or ""
    content = config_sha256(deciding) + data_sha256(card) + start
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _initial_sha256(values: Mapping[str, Any], root: Path) -> str | None:
    """Return the hash of the file that a training starts from, or None without one."""
    shown = values.get("initial_weights")
    return _digest(root / expanded(shown), "sha256") if shown else None


def tags(values: Mapping[str, Any], card: DataCard, *, root: Path) -> dict[str, str]:
    """Return the tags of a run; what is not there (no git, no lock file) is left out."""
    found = {
        "mlflow.source.git.commit": _git(root, "rev-parse", "HEAD"),
        "git.dirty": _dirty(root),
        "mlflow.source.name": "pipeline train",
        "mlflow.source.type": "LOCAL",
        "data.sha256": data_sha256(card),
        "config.sha256": config_sha256(values),
        "initial_weights.sha256": _initial_sha256(values, root),
        "dvc.lock.md5": _digest(root / "dvc.lock", "md5"),
        "dvc.stage": os.environ.get("DVC_STAGE"),
        "environment.lock.sha256": _digest(root / "requirements.lock", "sha256"),
    }
    return {key: value for key, value in found.items() if value}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _dirty(root: Path) -> str | None:
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return None if changed is None else str(bool(changed)).lower()


def _digest(path: Path, algorithm: str) -> str | None:
    return hashlib.new(algorithm, path.read_bytes()).hexdigest() if path.is_file() else None
