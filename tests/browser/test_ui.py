"""``pipeline ui`` in a real browser: the runs by verdict, a run, its report and its plots."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import mlflow
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


# The titles of the sections of charts, which have the number of their charts behind them.
SECTIONS = r"""
[...document.body.innerText.matchAll(/\n([\w\/ ]+)\n\(\d+\)\n/g)].map(found => found[1])
"""


@pytest.fixture(scope="module")
def runs(project: Path) -> dict[str, tuple[str, str]]:
    """Name → id and verdict, of the store's runs."""
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    found = client.search_runs([experiment.experiment_id])
    return {r.info.run_name: (r.info.run_id, r.data.tags[VERDICT]) for r in found}


@pytest.fixture(scope="module")
def printed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that the command prints."""
    port = free_port()
    command = [sys.executable, "-m", "pipeline", "ui", f"port={port}"]
    log = tmp_path_factory.mktemp("ui") / "log"
    with serving(command, url=f"http://127.0.0.1:{port}/health", folder=project, log=log):
        (line,) = [line for line in log.read_text().splitlines() if "(Ctrl-C ends it)" in line]
        yield line.split()[0]


@pytest.fixture(scope="module")
def ui(printed: str) -> str:
    """The address of the server."""
    return printed.partition("/#")[0]


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


def test_the_printed_address_opens_the_runs_in_the_view_for_trainings(
    printed: str, ui: str, runs: dict[str, tuple[str, str]], tab: Tab
) -> None:
    tab.open(printed)
    tab.wait(f"{NAMES}.length === {len(runs)}", "the table of runs")
    assert "Model registry" in tab.script("document.body.innerText")
    client = mlflow.MlflowClient(f"{ui}")
    assert client.get_experiment("1").tags["mlflow.experimentKind"] == "custom_model_development"


def test_the_page_of_a_run_begins_with_accuracy_and_verdict_and_few_metrics(
    ui: str, runs: dict[str, tuple[str, str]], tab: Tab
) -> None:
    run_id, verdict = runs["wide"]
    tab.open(f"{ui}/#/experiments/1/runs/{run_id}")
    tab.wait("document.body.innerText.includes('Test accuracy')", "the description")
    text = tab.script("document.body.innerText")
    assert re.search(rf"Test accuracy \d+\.\d+ % \[.*\]\. Verdict: {verdict}", text)
    listed = re.search(r"Metrics \((\d+)\)", text)
    assert listed and int(listed[1]) <= 20
    order = [text.index(f"\n{name}\n") for name in ("val/accuracy", "val/loss", "train/loss")]
    assert order == sorted(order)
    tab.open("about:blank#")
    tab.open(f"{ui}/#/experiments/1/runs/{run_id}/model-metrics")
    tab.wait(f"{SECTIONS}.includes('val')", "the charts")
    assert len(tab.script(SECTIONS)) <= 5


def test_the_models_tab_shows_each_network_with_its_numbers(
    ui: str, runs: dict[str, tuple[str, str]], project: Path, tab: Tab
) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    models = {m.name: m for m in client.search_logged_models([experiment.experiment_id])}
    assert models.keys() == runs.keys()
    tab.open(f"{ui}/#/experiments/1/models")
    for name in models:
        tab.wait(f"document.body.innerText.includes({name!r})", f"the model {name}")
    wide = models["wide"]
    accuracy = {m.key: m.value for m in wide.metrics}["test/accuracy"]
    tab.open("about:blank#")
    tab.open(f"{ui}/#/experiments/1/models/{wide.model_id}")
    tab.wait("document.body.innerText.includes('test/accuracy')", "the model's numbers")
    tab.wait(f"document.body.innerText.includes({accuracy:g}.toString())", "the accuracy itself")
    tab.wait(f"!!document.querySelector('a[href*=\"{runs['wide'][0]}\"]')", "the link to its run")


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
