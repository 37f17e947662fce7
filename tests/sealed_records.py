"""Files of records as dictionaries: read without their hash, written with the right one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.files import sealed, unsealed


def fields_of(path: Path) -> dict[str, Any]:
    """The fields of a record's file."""
    return dict(json.loads(unsealed(path.read_bytes(), path, way_out="")))


def write_fields(path: Path, fields: dict[str, Any]) -> None:
    """Write a record's file that holds these fields, as if they had been measured so."""
    path.write_bytes(sealed(json.dumps(fields, indent=2) + "\n"))
