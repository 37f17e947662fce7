"""A real MLflow server as a process, and a proxy before it that answers as broken servers do."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SERVE = """
import os, sys, threading, time
from werkzeug.serving import run_simple
from mlflow.server import app

def end_with_parent(parent):  # a test that is killed leaves no server behind
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)

threading.Thread(target=end_with_parent, args=[os.getppid()], daemon=True).start()
run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
"""


class Server:
    """MLflow's server over a SQLite file in a folder; it keeps its port across restarts.

    It is the application that ``mlflow server`` runs, in one process, which starts sooner.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", SERVE, str(self.port)]
        quiet = {
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{self.folder / 'server.db'}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": (self.folder / "artifacts").as_uri(),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **quiet},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 900  # the machine may be busy
        while not self._healthy():
            assert self.process.poll() is None and time.monotonic() < until, "no server"
            time.sleep(0.1)

    def signal(self, number: int) -> None:
        """Send a signal to the server and its workers."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class Proxy:
    """Passes requests on to a server, as the next word of ``plan`` says.

    ok: passes it on.  500, html, json, 400: answers so itself, and the server hears nothing.
    slow: passes it on after ``delay_s`` seconds.  refuse: hangs up at once.
    drop: the server acts, but its answer gets lost.  stall: as drop, and the server hears of it
    only when `release` is called.
    An empty plan means ``ok``.  lose_first: the first answer to each request gets lost, so
    every write acts before it is sent again. Requests that differ only in a time are the same.
    """

    def __init__(self, port: int) -> None:
        self.plan: list[str] = []
        self.delay_s = 5.0
        self.lose_first = False
        self.lost: set[tuple[str, str, bytes]] = set()
        self.seen: Counter[str] = Counter()
        self.stalled: list[tuple[str, str, dict[str, str], bytes]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = (self.command, self.path, dict(self.headers), body)
                way = proxy.plan.pop(0) if proxy.plan else "ok"
                same = (
                    self.command,
                    self.path,
                    re.sub(rb'"(timestamp|end_time)": *"?\d+', b"", body),
                )
                if proxy.lose_first and same not in proxy.lost:
                    proxy.lost.add(same)
                    way = "drop"
                proxy.seen[way] += 1
                if way in _ANSWERS:
                    self.say(*_ANSWERS[way])
                elif way == "stall":
                    proxy.stalled.append(request)
                elif way != "refuse":
                    if way == "slow":
                        time.sleep(proxy.delay_s)
                    status, kind, text = forward(port, *request)
                    if way in ("ok", "slow"):
                        self.say(status, kind, text)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def say(self, status: int, kind: str, text: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.port = port
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def release(self) -> None:
        """Let the server act on the requests that were held up."""
        while self.stalled:
            forward(self.port, *self.stalled.pop(0))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


_ANSWERS = {
    "500": (500, "application/json", b'{"error_code": "INTERNAL_ERROR", "message": "broken"}'),
    "html": (200, "text/html", b"<html>please log in</html>"),
    "json": (200, "application/json", b'["strange"]'),
    "400": (400, "text/html", b"<html>bad request</html>"),
}


def forward(
    port: int, method: str, path: str, headers: dict[str, str], body: bytes
) -> tuple[int, str, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        kept = {k: v for k, v in headers.items() if k.lower() not in ("host", "accept-encoding")}
        connection.request(method, path, body, {**kept, "Host": f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        kind = answer.getheader("Content-Type") or "text/plain"
        return answer.status, kind, answer.read()
    finally:
        connection.close()


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
        return connection.execute(query).fetchall()
