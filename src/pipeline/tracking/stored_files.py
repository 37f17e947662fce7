"""The files of runs and of logged models in a store behind MLflow's client.

Files of a store in a project lie in the project, also after it was moved. A server is asked
afterwards which files it has.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.tracking import moved


class StoredFiles:
    """Copies files into a store.

    client: MLflow's.  uri: of the store.  root: of the project.  database: of a store that lies in
    the project; None for any other. Every method raises what MLflow raises, see `store_errors`.
    """

    def __init__(self, client: Any, uri: str, *, root: Path, database: Path | None) -> None:
        self._client = client
        self._uri = uri
        self._root = root
        self._database = database

    def upload(self, run_id: str, files: Path, folder: str | None) -> None:
        """Copy all files below ``files`` into a run's artifacts."""
        if self._database is None:
            self._client.log_artifacts(run_id, str(files), artifact_path=folder)
            return
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        location = self._client.get_run(run_id).info.artifact_uri
        place = moved.brought_here(location, self._root)
        if place != location:
            moved.rename(self._database, location, place)
        get_artifact_repository(place).log_artifacts(str(files), artifact_path=folder)

    def missing(self, run_id: str, files: Path, folder: str | None) -> str | None:
        """Return the first file below ``files`` that a server does not list, or None."""
        return self._missing_in(lambda p: self._client.list_artifacts(run_id, p), files, folder)

    def upload_model(self, model: Any, files: Path) -> str | None:
        """Copy the files of a logged model; return the first that a server does not list, or None.

        model: MLflow's.
        """
        if self._database is None:
            self._client.log_model_artifacts(model.model_id, str(files))
            listed = self._client.list_logged_model_artifacts
            return self._missing_in(lambda p: listed(model.model_id, p), files, None)
        folder = moved.folder_here(model.artifact_location, self._root, self._database)
        assert folder is not None  # the files of a store in a project lie in the project
        shutil.copytree(files, folder, dirs_exist_ok=True)
        return None

    def _missing_in(
        self, listed: Callable[[str | None], Any], files: Path, folder: str | None
    ) -> str | None:
        """listed: a folder of the store → MLflow's list of what is in it."""
        if not self._uri.startswith("http"):
            return None
        for inner in (files, *(p for p in sorted(files.rglob("*")) if p.is_dir())):
            relative = inner.relative_to(files).as_posix()
            path = "/".join(part for part in (folder, relative) if part and part != ".")
            sizes = {f.path: f.file_size for f in listed(path or None)}
            for file in sorted(p for p in inner.iterdir() if p.is_file()):
                name = f"{path}/{file.name}" if path else file.name
                if name not in sizes or sizes[name] not in (None, file.stat().st_size):
                    return name
        return None
