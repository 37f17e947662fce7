"""A headless Chromium, driven over its own debugging pipe: no driver, no further package."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 120.0  # for an answer: a machine that trains beside may be slow

Scheme = Literal["light", "dark"]


def program() -> str | None:
    """Where Chromium is; None where it is not installed."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Tab:
    """One page, with its requests, console messages and exceptions since it was opened."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self.browser, self.session = browser, session
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol."""
        return self.browser.call(method, session=self.session, **params)

    def look(self, *, width: int, height: int = 900, scheme: Scheme = "light") -> None:
        """Set the size of the screen and the person's colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def open(self, url: str) -> None:
        """Load a page and wait until all of it is there."""
        self.requests, self.complaints = [], []
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'", url)

    def script(self, expression: str) -> Any:
        """The value of a JavaScript expression, or what its promise gives."""
        told = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in told:
            raise AssertionError(f"{expression}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def wait(self, expression: str, what: str, *, patience_s: float = PATIENCE_S) -> Any:
        """Wait until an expression is true; return its value."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            found = self.script(expression)
            if found:
                return found
            time.sleep(0.2)
        text = self.script("document.body ? document.body.innerText.slice(0, 2000) : ''")
        raise AssertionError(f"{what}: not there after {patience_s:.0f} s: {expression}\n{text}")

    def picture(self, *, clip: dict[str, float] | None = None) -> bytes:
        """A PNG of the whole page, or of a part of it."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        area = clip or {"x": 0, "y": 0, "width": size["width"], "height": size["height"]}
        told = self.call(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=True,
            clip={**area, "scale": 1},
        )
        return base64.b64decode(told["data"])

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """Take note of an event."""
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(params["args"])[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])


class Chromium:
    """The process: commands on descriptor 3, answers on 4, a zero byte ends each."""

    def __init__(self, path: str, profile: str) -> None:
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in (commands, answers)]

        def connect() -> None:
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        options = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"]
        options += [f"--user-data-dir={profile}", "--no-first-run", "--hide-scrollbars"]
        options += [
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
        ]
        self.process = subprocess.Popen(
            [path, *options, "about:blank"],
            preexec_fn=connect,
            close_fds=False,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (commands, answers, *high):
            os.close(fd)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._number = 0
        self._tabs: dict[str, Tab] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        waiting = b""
        while block := os.read(self._from, 1 << 16):
            *whole, waiting = (waiting + block).split(b"\0")
            for text in whole:
                told = json.loads(text)
                if "id" in told:
                    self._answers.put(told)
                elif tab := self._tabs.get(told.get("sessionId", "")):
                    tab.hear(told["method"], told["params"])

    def call(self, method: str, *, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params}
        if session:
            command["sessionId"] = session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while True:
            told = self._answers.get(timeout=PATIENCE_S)
            if told["id"] == self._number:
                break
        if "error" in told:
            raise AssertionError(f"{method}: {told['error']['message']}")
        return dict(told["result"])

    def tab(self) -> Tab:
        """A new page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        self._tabs[session] = tab
        return tab


@contextmanager
def started(path: str) -> Iterator[Chromium]:
    """A Chromium with a profile of its own, ended afterwards whatever happens."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Chromium(path, profile)
        try:
            yield browser
        finally:
            browser.process.terminate()
            try:
                browser.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                browser.process.kill()
                browser.process.wait()
            os.close(browser._to)
