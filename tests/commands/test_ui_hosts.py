"""``pipeline ui`` and other sites: it listens on the loopback only, and asks for its own name.

A page of another site can let its own name lead to 127.0.0.1 (DNS rebinding), and a page may send
requests to a server on this machine. Both arrive with a foreign ``Host`` or ``Origin``.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from servers import free_port, serving

from pipeline.tracking import Tracker

SEARCH = "/api/2.0/mlflow/runs/search"
DELETE = "/api/2.0/mlflow/runs/delete"
LOOPBACK = "0100007F"  # 127.0.0.1 as /proc/net/tcp writes it
LISTENS = "0A"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one run, whose name is markup."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "conf").mkdir()
    (folder / "mlruns").mkdir()
    tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=folder)
    run = tracker.start("<img src=x onerror=alert(1)>", tags={})
    run.log_text("<script>alert(1)</script>", "page.html")
    run.finish()
    return folder


@pytest.fixture(scope="module")
def port(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    found = free_port()
    (root / "conf" / "config.yaml").touch()
    command = [sys.executable, "-m", "pipeline", "ui", f"port={found}"]
    log = tmp_path_factory.mktemp("ui") / "log"
    with serving(command, url=f"http://127.0.0.1:{found}/health", folder=root, log=log):
        yield found


def asked(port: int, path: str, body: dict[str, object], **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        connection.putrequest("POST", path, skip_host=True)
        content = json.dumps(body).encode()
        sent = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", **headers}
        for key, value in {**sent, "Content-Length": str(len(content))}.items():
            connection.putheader(key, value)
        connection.endheaders(content)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_it_listens_on_the_loopback_only(port: int) -> None:
    files = [file for file in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")) if file.exists()]
    lines = [line.split() for file in files for line in file.read_text().splitlines()]
    local = {words[1] for words in lines if len(words) > 3 and words[3] == LISTENS}
    ours = {place.partition(":")[0] for place in local if place.endswith(f":{port:04X}")}
    assert ours == {LOOPBACK}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:{port}",
        "localhost.evil.example:{port}",
        "127.0.0.1:1",
        "0.0.0.0:{port}",
        "192.168.0.1:{port}",
        "127.0.0.1:{port}@evil.example",
        "[::1].evil.example",
        "",
    ],
)
def test_a_foreign_host_is_refused(host: str, port: int) -> None:
    status, answer = asked(port, SEARCH, {"experiment_ids": ["1"]}, Host=host.format(port=port))
    assert status in (400, 403)
    assert b"onerror" not in answer


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}"])
def test_its_own_names_get_an_answer(host: str, port: int) -> None:
    status, answer = asked(port, SEARCH, {"experiment_ids": ["1"]}, Host=host.format(port=port))
    assert status == 200
    assert json.loads(answer)["runs"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost.evil.example"])
def test_a_page_of_another_site_changes_nothing(origin: str, port: int, root: Path) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as store:
        ((run_id,),) = store.execute("select run_uuid from runs").fetchall()
    status, _ = asked(port, DELETE, {"run_id": run_id}, Origin=origin)
    assert status == 403
    with closing(sqlite3.connect(root / "mlflow.db")) as store:
        assert store.execute("select lifecycle_stage from runs").fetchall() == [("active",)]


def test_another_machine_cannot_connect(port: int) -> None:
    """The address of this machine in its network, where it has one, has no listener."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; asks which address would be used
        except OSError:
            pytest.skip("this machine has no network")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no network")
    with pytest.raises(OSError), socket.create_connection((address, port), timeout=5):
        pass
