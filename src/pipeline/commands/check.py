"""The command ``check``: every file from the raw data to the report, and the first broken link."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pydantic import Field

from pipeline.commands import trained
from pipeline.commands.command import Call, Command, ModelName, Options
from pipeline.errors import DataError, PipelineError

Link = tuple[str, Callable[[], str]]


class CheckOptions(Options):
    """Options of ``pipeline check``."""

    name: ModelName | None = Field(
        None, description="trained model; without it all models and all data"
    )


def run(call: Call[CheckOptions]) -> None:
    """Check link after link. Raises `DataError` that names the first one that is broken."""
    num_links = 0
    for place, check in _links(call.options.name, call.root):
        try:
            found = check()
        except PipelineError as error:
            raise DataError(f"the link {place} is broken: {error}") from error
        print(f"{place:<9} {found}", flush=True)
        num_links += 1
    if not num_links:
        raise DataError(
            "There is nothing to check yet. Fetch data first: "
            "pipeline download; pipeline preprocess"
        )
    print(f"all {num_links} links hold")


def _links(name: str | None, root: Path) -> Iterator[Link]:
    """Yield the checks in the order in which the files were made."""
    from pipeline.data.manifest import DATASETS
    from pipeline.runs import chain

    names = [trained.the_one(name, trained.models(root))] if name else trained.models(root)
    data = _data_of(names[0], root) if name else None
    places: list[tuple[str, list[str], Callable[..., str]]] = [
        # A person's own images may lie there too, and have no official checksums.
        ("raw", [d for d in _folders(root / "data" / "raw", data) if d in DATASETS], chain.raw),
        ("prepared", _folders(root / "data" / "processed", data), chain.prepared),
        ("model", names, chain.model),
        ("results", names, chain.results),
        ("MLflow", names, chain.mlflow),
    ]
    for place, found, check in places:
        for each in found:
            yield place, partial(check, each, root=root)
    for path in sorted((root / "results").glob("*/seeds.json")) if not name else []:
        yield "seeds", partial(chain.seeds, path.parent.name, root=root)
    for path in sorted((root / "results").glob("report*.html")):
        yield "report", partial(_report, path, root)


def _data_of(name: str, root: Path) -> str:
    from pipeline.evaluation.model_description import read_description

    try:
        return str(read_description(root / "models" / name).settings["data"]["name"])
    except PipelineError:
        return ""  # the link of the model says it


def _folders(folder: Path, only: str | None) -> list[str]:
    found = sorted(p.name for p in folder.glob("*") if p.is_dir() and not p.name.startswith("."))
    return found if only is None else [name for name in found if name == only]


def _report(path: Path, root: Path) -> str:
    from pipeline.reporting.page_origin import check_page

    return f"{path.relative_to(root)}: shows {', '.join(check_page(path, root=root))} as they are"


COMMAND = Command(
    options=CheckOptions,
    run=run,
    examples=("pipeline check", "pipeline check name=mlp"),
)
