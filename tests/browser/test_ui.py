"""``pipeline ui`` in a real browser: the runs by verdict, a run, its report and its plots."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from chromium import Chromium, Tab
from servers import free_port, serving

VERDICT = "diagnosis.verdict"
# AG Grid moves rows by style: their order on the screen is in the attribute, not in the document.
NAMES = """
[...document.querySelectorAll('.ag-row')]
  .map(row => [Number(row.getAttribute('row-index')), row.querySelector('a[href*="/runs/"]')])
  .filter(([_, link]) => link).sort((a, b) => a[0] - b[0])
  .map(([_, link]) => link.textContent.trim())
"""


@pytest.fixture(scope="module")
def runs(project: Path) -> dict[str, tuple[str, str]]:
    """Name → id and verdict, of the store's runs."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    found = client.search_runs([experiment.experiment_id])
    return {r.info.run_name: (r.info.run_id, r.data.tags[VERDICT]) for r in found}


@pytest.fixture(scope="module")
def ui(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "pipeline", "ui", f"port={port}"]
    address = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("ui") / "log"
    with serving(command, url=f"{address}/health", folder=project, log=log):
        yield address


@pytest.fixture
def tab(browser: Chromium) -> Tab:
    found = browser.tab()
    found.look(width=1600, height=1000)
    return found


@pytest.mark.parametrize("ascending", [True, False], ids=["ascending", "descending"])
def test_runs_are_sorted_by_their_verdict(
    ascending: bool, ui: str, runs: dict[str, tuple[str, str]], tab: Tab
) -> None:
    assert len({verdict for _, verdict in runs.values()}) == len(runs) == 2, (
        "the test needs two verdicts"
    )
    query = f"orderByKey={quote(f'tags.`{VERDICT}`')}&orderByAsc={str(ascending).lower()}"
    tab.open(f"{ui}/#/experiments/1/runs?{query}&startTime=ALL&lifecycleFilter=Active")
    tab.wait(f"{NAMES}.length === {len(runs)}", "the table of runs")
    wanted = sorted(runs, key=lambda name: runs[name][1], reverse=not ascending)
    tab.wait(
        f"JSON.stringify({NAMES}) === JSON.stringify({wanted})",
        f"the order {wanted}",
        patience_s=20,
    )
    assert VERDICT in tab.script("document.body.innerText")
    assert [r for r in tab.requests if not r.startswith((ui, "data:", "blob:"))] == []


def test_a_run_opens_and_shows_its_report_and_plots(
    ui: str, runs: dict[str, tuple[str, str]], tab: Tab
) -> None:
    run_id, verdict = runs["wide"]
    tab.open(f"{ui}/#/experiments/1/runs/{run_id}")
    tab.wait("document.body.innerText.includes('wide')", "the run's page")
    tab.wait(f"document.body.innerText.includes({verdict!r})", "its verdict among the tags")
    tab.open("about:blank#")
    tab.open(f"{ui}/#/experiments/1/runs/{run_id}/artifacts/report.html")
    tab.wait("document.body.innerText.includes('confusion.png')", "the list of artifacts")
    tab.wait("!!document.querySelector('iframe')", "the report's frame")
    shown = tab.wait(
        "(() => { const f = document.querySelector('iframe'); return f.srcdoc || "
        "(f.src && fetch(f.src).then(answer => answer.text())) })()",
        "the report in its frame",
    )
    assert "Calibration of wide" in shown and "lowers test loss by 30 %" in shown
    tab.open("about:blank#")
    tab.open(f"{ui}/#/experiments/1/runs/{run_id}/artifacts/diagnosis.png")
    tab.wait(
        "[...document.images].some(i => i.naturalWidth > 1000 && i.naturalHeight > 500)",
        "the diagnosis as a picture",
    )
