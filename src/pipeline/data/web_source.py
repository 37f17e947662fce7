"""A web folder of IDX files: downloads that resume, with limits on time and size."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pipeline.data.manifest import RawFile
from pipeline.data.raw import unpack
from pipeline.errors import SourceDown, SourceError

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes received so far, and the bytes in all (or None)."""

_CONNECT_TIMEOUT_S = 5.0
_CHUNK_BYTES = 1 << 16
_MAX_ATTEMPTS = 20
_MAX_FRUITLESS = 3
_PAUSE_S = 0.2


class _Broken(Exception):
    """The connection ended before the file did."""


class WebSource:
    """Files under one http(s) address, each as ``<name>.gz`` or ``<name>``.

    Received bytes lie in ``directory`` as a hidden ``.part`` file, one for each address. A later
    run continues from there.
    """

    def __init__(
        self, address: str, *, directory: Path, timeout_s: float, progress: Progress | None
    ) -> None:
        """``timeout_s``: how long to wait for a silent connection."""
        self.label = address
        self._base = address.rstrip("/") + "/"
        self._directory = directory
        self._timeout_s = timeout_s
        self._progress = progress or (lambda name, done, total: None)
        self._opener = _make_opener()

    def deliver(self, file: RawFile) -> bytes:
        """Return the official content of ``file``.

        Raises:
            SourceDown: the host cannot be reached or has stopped answering.
            SourceError: the file is not there, or not the official one.
        """
        archive = self._fetch(file, file.name + ".gz")
        payload = archive if archive is not None else self._fetch(file, file.name)
        if payload is None:
            raise SourceError("not found (HTTP 404)")
        return payload

    def _fetch(self, file: RawFile, name: str) -> bytes | None:
        """Download and check one name; None where the server has no such file."""
        url = self._base + name
        mark = hashlib.sha256(url.encode()).hexdigest()[:8]
        part = self._directory / f".{file.name}.{mark}.part"
        resumed = part.exists()
        if not self._download(
            url, part, name=name, max_bytes=file.size + file.size // 100 + 65_536
        ):
            return None
        try:
            content = unpack(file, part.read_bytes())
        except SourceError:
            part.unlink()
            if resumed:  # the old part may be of another file: start again
                return self._fetch(file, name)
            raise
        part.unlink()
        return content

    def _download(self, url: str, part: Path, *, name: str, max_bytes: int) -> bool:
        """Fill ``part`` over several connections if needed; False where there is no such file."""
        fruitless, reason = 0, ""
        for _ in range(_MAX_ATTEMPTS):
            before = _size(part)
            try:
                return self._receive(url, part, name=name, max_bytes=max_bytes)
            except _Broken as error:
                reason = str(error)
                fruitless = 0 if _size(part) > before else fruitless + 1
            finally:
                if _size(part) == 0:
                    part.unlink(missing_ok=True)
            if fruitless == _MAX_FRUITLESS:
                break
            time.sleep(_PAUSE_S * fruitless)
        raise SourceDown(
            f"the connection broke several times ({reason}), at {_size(part)} bytes of {name}"
        )

    def _receive(self, url: str, part: Path, *, name: str, max_bytes: int) -> bool:
        """Receive over one connection; raises _Broken when it ends too early."""
        offset = _size(part)
        headers = {"User-Agent": "pipeline", **({"Range": f"bytes={offset}-"} if offset else {})}
        try:
            response = self._opener.open(
                urllib.request.Request(url, headers=headers), timeout=self._timeout_s
            )
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and offset:
                if error.headers.get("Content-Range") == f"bytes */{offset}":
                    return True  # the part was complete already
                part.unlink()
                raise _Broken("the server refused to resume") from error
            if error.code in (404, 410):
                return False
            raise SourceError(f"HTTP {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceDown(
                f"cannot be reached ({getattr(error, 'reason', error) or error})"
            ) from error
        with response:
            resumes = response.status == 206 and _range_start(response) == offset
            done = offset if resumes else 0
            length = response.headers.get("Content-Length", "")
            total = done + int(length) if length.isdecimal() else None
            with part.open("ab" if resumes else "wb") as stream:
                done = self._copy(
                    response, stream, name=name, done=done, total=total, max_bytes=max_bytes
                )
        if total is not None and done < total:
            raise _Broken("it ended early")
        return True

    def _copy(
        self,
        response: http.client.HTTPResponse,
        stream: BinaryIO,
        *,
        name: str,
        done: int,
        total: int | None,
        max_bytes: int,
    ) -> int:
        """Append the received bytes to ``stream``; return the size of the file so far."""
        while True:
            if max(done, total or 0) > max_bytes:
                stream.truncate(0)
                raise SourceError(
                    f"it sends {max(done, total or 0)} bytes, allowed are {max_bytes}"
                )
            try:
                chunk = response.read1(_CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(str(error) or type(error).__name__) from error
            if not chunk:
                return done
            stream.write(chunk)
            done += len(chunk)
            self._progress(name, done, total)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _range_start(response: http.client.HTTPResponse) -> int | None:
    """Return the first byte of a ``Content-Range: bytes 10-99/100``; None where malformed."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    start = rest.partition("-")[0]
    return int(start) if unit == "bytes" and start.isdecimal() else None


def _make_opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https only, so that a redirect cannot lead to a file or ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        _HTTPHandler(),
        _HTTPSHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _Impatient(http.client.HTTPConnection):
    """A connection with a short time-out while connecting, and the given one afterwards."""

    def connect(self) -> None:
        patience = self.timeout
        self.timeout = min(patience or _CONNECT_TIMEOUT_S, _CONNECT_TIMEOUT_S)
        super().connect()
        self.sock.settimeout(patience)


class _ImpatientTLS(_Impatient, http.client.HTTPSConnection):
    """The same over TLS."""


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Impatient, req)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_ImpatientTLS, req)
