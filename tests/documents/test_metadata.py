"""The files that describe the package agree with it."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from document import ROOT


@pytest.fixture(scope="module")
def package() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_is_of_this_version_and_licence(
    package: dict[str, Any], citation: dict[str, Any]
) -> None:
    assert citation["version"] == package["version"]
    assert citation["license"] == package["license"]
    assert citation["abstract"] == package["description"]


def test_the_changelog_has_this_version_with_the_date_of_the_citation(
    package: dict[str, Any], citation: dict[str, Any]
) -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(.+?)\](?: - (.+))?$", text, flags=re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert (package["version"], str(citation["date-released"])) in versions


def test_the_named_licence_file_is_there(package: dict[str, Any]) -> None:
    (name,) = package["license-files"]
    assert (ROOT / name).read_text().startswith(f"{package['license']} License")
