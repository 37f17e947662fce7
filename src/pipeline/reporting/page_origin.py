"""What a report was made from: a hash of each model's files on the page, and one of the page."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import DataError
from pipeline.evaluation.metrics_files import DETAILS_FILE, METRICS_FILE
from pipeline.evaluation.over_seeds import SEEDS_FILE
from pipeline.evaluation.results import EVALUATED_ON
from pipeline.files import read_bytes

WAY_OUT = "Make it again: pipeline report"
_RESULTS = (
    "history.csv",
    METRICS_FILE,
    DETAILS_FILE,
    EVALUATED_ON,
    "confusion.csv",
    "generalization.csv",
    "diagnosis.json",
    "verification.json",
    "healing.json",
    SEEDS_FILE,
)
_SIGNATURE = re.compile(r"<!-- page ([0-9a-f]{64}) -->\n\Z")


def sources_of(names: Sequence[str], *, root: Path) -> dict[str, str]:
    """Return name → folders and hash of the files that the page shows; no file is named twice."""
    return {name: f"results/{name}/, models/{name}/ ({_sha256(name, root)[:12]})" for name in names}


def signed(page: str) -> str:
    """Return the page with its own hash behind it, as a comment."""
    return f"{page}<!-- page {hashlib.sha256(page.encode()).hexdigest()} -->\n"


def check_page(path: Path, *, root: Path) -> list[str]:
    """Return the models of a report that shows the present files.

    Raises `DataError` for a page that was changed, and for one that shows earlier files.
    """
    try:
        text = read_bytes(path, way_out=WAY_OUT).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no text ({error}). {WAY_OUT}") from error
    page = _SIGNATURE.sub("", text)
    if signed(page) != text:
        raise DataError(f"{path}: is not as it was written. {WAY_OUT}")
    names = re.findall(r"<dt>([\w.-]+)</dt><dd>results/\1/, models/\1/ \(", page)
    for name, source in sources_of(names, root=root).items():
        if html.escape(source) not in page:
            raise DataError(f"{path}: shows an earlier state of results/{name}/. {WAY_OUT}")
    return names


def _sha256(name: str, root: Path) -> str:
    digest = hashlib.sha256()
    files = [
        root / "models" / name / "model.json",
        *(root / "results" / name / f for f in _RESULTS),
    ]
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path.name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()
