"""The network of a run as a logged model: an entry of MLflow's Models tab.

It is made as MLflow's own `log_model` makes it, in steps that may be repeated: the entry is found
again by its run and the hash of its weights, and it is ready once its files are there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipeline.tracking.model_files import DESCRIPTION
from pipeline.tracking.run import MODEL_TAG

READY = "READY"
MAX_PARAM_LENGTH = 5000  # MLflow's limit for a logged model
_NO_LETTERS = str.maketrans(dict.fromkeys("/:.%\"'", "-"))


def begun(client: Any, run: Any, *, name: str, weights_sha256: str) -> Any:
    """Return the logged model of a run, made where there is none of these weights yet."""
    from mlflow.entities import LoggedModelOutput

    run_id = run.info.run_id
    known = (m for m in of_run(client, run) if m.tags.get(MODEL_TAG) == weights_sha256)
    model = next(known, None) or client.create_logged_model(
        run.info.experiment_id,
        name=allowed_name(name),
        source_run_id=run_id,
        tags={MODEL_TAG: weights_sha256},
        params={key: value[:MAX_PARAM_LENGTH] for key, value in run.data.params.items()},
    )
    linked = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in [output.model_id for output in linked]:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def newest(client: Any, run_id: str) -> str | None:
    """Return the id of the newest logged model of a run, or None."""
    run = client.get_run(run_id)
    return next((str(model.model_id) for model in of_run(client, run)), None)


def of_run(client: Any, run: Any) -> list[Any]:
    """Return the logged models of a run, the newest first."""
    query = f"source_run_id = '{run.info.run_id}'"
    found: list[Any] = client.search_logged_models([run.info.experiment_id], filter_string=query)
    return found


def allowed_name(name: str) -> str:
    """Return a name without the letters that MLflow refuses in the name of a logged model."""
    return name.translate(_NO_LETTERS)


def name_itself(files: Path, model_id: str, run_id: str, *, place: str) -> None:
    """Let the description of a model say which logged model it is, as MLflow's own does.

    place: the address of the model's files in the store.
    """
    description = files / DESCRIPTION
    content = yaml.safe_load(description.read_text(encoding="utf-8"))
    own = {"model_id": model_id, "model_uuid": model_id, "run_id": run_id}
    description.write_text(
        yaml.safe_dump({**content, **own, "artifact_path": place}), encoding="utf-8"
    )
