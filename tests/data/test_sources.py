"""Downloads against a real server on the loopback interface that misbehaves on purpose."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.idx import format_idx
from pipeline.data.manifest import Dataset, RawFile
from pipeline.data.official import SUMS_NAME, is_official
from pipeline.data.raw import accept, unpack
from pipeline.data.sources import FolderSource, Source, fetch_dataset, fetch_files
from pipeline.data.web_source import WebSource
from pipeline.errors import ConfigError, DataError, SourceDown, SourceError
from pipeline.files import write_atomically

GENERATOR = np.random.default_rng(0)
CONTENTS = {
    "train-images-idx3-ubyte": format_idx(
        GENERATOR.integers(0, 256, (400, 28, 28), dtype=np.uint8)
    ),
    "train-labels-idx1-ubyte": format_idx(GENERATOR.integers(0, 10, 400, dtype=np.uint8)),
    "t10k-images-idx3-ubyte": format_idx(GENERATOR.integers(0, 256, (20, 28, 28), dtype=np.uint8)),
    "t10k-labels-idx1-ubyte": format_idx(GENERATOR.integers(0, 10, 20, dtype=np.uint8)),
}
ARCHIVES = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}
IMAGES = "train-images-idx3-ubyte"
HIDDEN_ALLOWED = ".part"


def make_file(name: str) -> RawFile:
    dims = CONTENTS[name][3]
    shape = tuple(int(length) for length in np.frombuffer(CONTENTS[name][4 : 4 + 4 * dims], ">u4"))
    return RawFile(name, shape, sha256=hashlib.sha256(CONTENTS[name]).hexdigest())


def make_dataset(*web: str, name: str = "tiny") -> Dataset:
    files = [make_file(file) for file in CONTENTS]
    return Dataset(name, tuple("0123456789"), files[0], files[1], files[2], files[3], web=web)


def by_archive(file: RawFile) -> RawFile:
    """The same file, pinned only by the MD5 of its archive."""
    md5 = hashlib.md5(ARCHIVES[f"{file.name}.gz"], usedforsecurity=False).hexdigest()
    return dataclasses.replace(file, sha256=None, gz_md5=md5)


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how the server behaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, behaviour, name = self.path.split("/", 2)
        requests = self.server.requests  # type: ignore[attr-defined]
        requests.append((behaviour, name, self.headers.get("Range")))
        getattr(self, f"do_{behaviour}")(
            name, sum(request[:2] == (behaviour, name) for request in requests)
        )
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def reply(
        self, body: bytes, *, status: int = 200, length: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def reply_range(self, body: bytes, *, cut: int | None = None) -> None:
        """Answer a Range as servers do; ``cut``: break the connection after so many bytes."""
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        rest = body[start:]
        if asked and not rest:
            self.reply(b"", status=416, Content_Range=f"bytes */{len(body)}")
            return
        headers = {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if asked else {}
        self.reply(rest[:cut], status=206 if asked else 200, length=len(rest), **headers)

    def do_good(self, name: str, count: int) -> None:
        body = ARCHIVES.get(name)
        self.reply_range(body) if body else self.reply(b"", status=404)

    def do_plain(self, name: str, count: int) -> None:
        body = CONTENTS.get(name)
        self.reply_range(body) if body else self.reply(b"", status=404)

    def do_missing(self, name: str, count: int) -> None:
        self.reply(b"no", status=404)

    def do_failing(self, name: str, count: int) -> None:
        self.reply(b"no", status=503)

    def do_wrong(self, name: str, count: int) -> None:
        content = CONTENTS[name.removesuffix(".gz")]
        self.reply(gzip.compress(content[:-1] + bytes([content[-1] ^ 1])))

    def do_portal(self, name: str, count: int) -> None:
        self.reply(b"<html>Please log in</html>")

    def do_bomb(self, name: str, count: int) -> None:
        self.reply(gzip.compress(CONTENTS[name.removesuffix(".gz")] + bytes(50_000_000)))

    def do_flood(self, name: str, count: int) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(bytes(1 << 16))

    def do_truncating(self, name: str, count: int) -> None:
        """Always the same half, and a server that ignores Range."""
        body = ARCHIVES[name]
        self.reply(body[: len(body) // 2], length=len(body))

    def do_stalling(self, name: str, count: int) -> None:
        time.sleep(3)

    def do_breaking(self, name: str, count: int) -> None:
        """Breaks after 100 kB each time, and resumes."""
        self.reply_range(ARCHIVES[name], cut=100_000)

    def do_restarting(self, name: str, count: int) -> None:
        """Breaks once, then ignores Range and sends everything."""
        body = ARCHIVES[name]
        self.reply(body[:1000] if count == 1 else body, length=len(body))

    def do_redirecting(self, name: str, count: int) -> None:
        self.reply(b"", status=302, Location=f"/good/{name}")

    def do_to_file(self, name: str, count: int) -> None:
        self.reply(b"", status=302, Location="file:///etc/hostname")

    def do_slow(self, name: str, count: int) -> None:
        body = ARCHIVES[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:200_000])
        time.sleep(20)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, str | None]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that hang up are what these tests are about

    def address(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def fetch(
    dataset: Dataset, directory: Path, *, mirror: str | None = None, timeout_s: float = 1
) -> list[str]:
    """Fetch and return what the log said."""
    said: list[str] = []
    fetch_files(dataset, mirror=mirror, directory=directory, timeout_s=timeout_s, log=said.append)
    return said


def assert_complete(directory: Path) -> None:
    for name, content in CONTENTS.items():
        assert (directory / name).read_bytes() == content
    assert sorted(path.name for path in directory.iterdir()) == sorted([*CONTENTS, SUMS_NAME])
    check = subprocess.run(
        ["sha256sum", "-c", SUMS_NAME], cwd=directory, capture_output=True, check=False
    )
    assert check.returncode == 0


def assert_nothing_taken(directory: Path) -> None:
    """Only hidden, resumable parts may be there, none of them empty."""
    for path in directory.iterdir():
        assert (
            path.name.startswith(".") and path.suffix == HIDDEN_ALLOWED and path.stat().st_size > 0
        )


@pytest.mark.parametrize("behaviour", ["good", "plain", "breaking", "restarting", "redirecting"])
def test_a_server_that_has_the_files_delivers_them(
    behaviour: str, server: Server, tmp_path: Path
) -> None:
    fetch(make_dataset(server.address(behaviour)), tmp_path)
    assert_complete(tmp_path)


def test_a_broken_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    fetch(make_dataset(server.address("breaking")), tmp_path)
    ranges = [asked for _, name, asked in server.requests if name == f"{IMAGES}.gz"]
    later = range(100_000, len(ARCHIVES[f"{IMAGES}.gz"]), 100_000)
    assert len(later) > 1 and ranges == [None, *(f"bytes={start}-" for start in later)]


BAD = {
    "missing": "404",
    "failing": "503",
    "wrong": "SHA-256",
    "portal": "26 bytes",
    "bomb": "unpacks to more",
    "flood": "allowed are",
    "truncating": "the connection broke several times",
    "stalling": "cannot be reached",
    "to_file": "cannot be reached|unknown url|not allowed|302",
}


@pytest.mark.parametrize(("behaviour", "said"), BAD.items(), ids=BAD)
def test_a_bad_server_leaves_nothing_and_its_answer_is_told(
    behaviour: str, said: str, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        fetch(
            make_dataset(server.address(behaviour)),
            tmp_path,
            timeout_s=0.3 if behaviour == "stalling" else 10,
        )
    assert server.address(behaviour) in str(caught.value)
    assert "data.mirror=" in str(caught.value)
    assert_nothing_taken(tmp_path)


@pytest.mark.parametrize("behaviour", BAD)
def test_after_a_bad_mirror_the_other_sources_follow_with_a_warning(
    behaviour: str, server: Server, tmp_path: Path
) -> None:
    mirror = server.address(behaviour)
    said = fetch(
        make_dataset(server.address("good")),
        tmp_path,
        mirror=mirror,
        timeout_s=0.3 if behaviour == "stalling" else 10,
    )
    assert_complete(tmp_path)
    assert any(line.startswith("Warning") and mirror in line for line in said)


def test_a_stalled_host_is_asked_once_and_not_once_for_each_file(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(SourceError):
        fetch(make_dataset(server.address("stalling")), tmp_path, timeout_s=0.3)
    assert len(server.requests) == 1


def test_a_host_that_does_not_exist_fails_fast_and_is_told_once(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(SourceError) as caught:
        fetch(make_dataset("http://127.0.0.1:9/", "http://nowhere.invalid/"), tmp_path)
    assert time.monotonic() - begin < 8
    assert str(caught.value).count("cannot be reached") == 2


def test_the_two_time_outs_are_apart(tmp_path: Path) -> None:
    """A patient read does not make connecting patient."""
    with socket.socket() as deaf, contextlib.ExitStack() as waiting:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):  # fill the queue: from now on connecting hangs
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(deaf.getsockname())
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        begin = time.monotonic()
        with pytest.raises(SourceDown, match="timed out"):
            WebSource(address, directory=tmp_path, timeout_s=60, progress=None).deliver(
                make_file(IMAGES)
            )
        assert 4 < time.monotonic() - begin < 8


def test_progress_tells_bytes_up_to_the_total(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    fetch_files(
        make_dataset(server.address("breaking")),
        mirror=None,
        directory=tmp_path,
        timeout_s=1,
        log=lambda line: None,
        progress=lambda name, done, total: seen.append((name, done, total)),
    )
    images = [(done, total) for name, done, total in seen if name == f"{IMAGES}.gz"]
    size = len(ARCHIVES[f"{IMAGES}.gz"])
    assert [done for done, _ in images] == sorted({done for done, _ in images})
    assert images[-1] == (size, size) and {total for _, total in images} == {size}


def part_of(address: str, name: str, directory: Path) -> Path:
    mark = hashlib.sha256(f"{address}{name}.gz".encode()).hexdigest()[:8]
    return directory / f".{name}.{mark}.part"


@pytest.mark.parametrize(
    ("left", "ranges"),
    [
        (ARCHIVES[f"{IMAGES}.gz"][:5000], ["bytes=5000-"]),
        (ARCHIVES[f"{IMAGES}.gz"], [f"bytes={len(ARCHIVES[IMAGES + '.gz'])}-"]),
        (b"x" * 5000, ["bytes=5000-", None]),  # rubbish is noticed and fetched anew
        (b"x" * 5_000_000, ["bytes=5000000-", None]),  # longer than the file
    ],
    ids=["half", "whole", "rubbish", "too_long"],
)
def test_what_an_earlier_run_left_is_used_or_thrown_away(
    left: bytes, ranges: list[str | None], server: Server, tmp_path: Path
) -> None:
    address = server.address("good")
    part_of(address, IMAGES, tmp_path).write_bytes(left)
    fetch(make_dataset(address), tmp_path)
    assert [asked for _, name, asked in server.requests if name == f"{IMAGES}.gz"] == ranges
    assert_complete(tmp_path)


def test_right_files_are_kept_and_wrong_ones_are_replaced(server: Server, tmp_path: Path) -> None:
    dataset = make_dataset(server.address("good"))
    fetch(dataset, tmp_path)
    before = (tmp_path / IMAGES).stat().st_mtime_ns
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    content = labels.read_bytes()
    labels.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    server.requests.clear()
    said = fetch(dataset, tmp_path)
    assert [name for _, name, _ in server.requests] == ["t10k-labels-idx1-ubyte.gz"]
    assert (tmp_path / IMAGES).stat().st_mtime_ns == before
    assert any("present and correct" in line for line in said)
    assert any("not the official file" in line and labels.name in line for line in said)
    assert_complete(tmp_path)


def test_a_wrong_file_is_gone_even_when_no_source_answers(tmp_path: Path) -> None:
    (tmp_path / IMAGES).write_bytes(b"wrong")
    with pytest.raises(SourceError):
        fetch(make_dataset(), tmp_path)
    assert_nothing_taken(tmp_path)


@pytest.mark.parametrize("kind", ["gz", "plain", "dotted", "address"])
def test_a_folder_is_a_mirror(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "my files"
    folder.mkdir()
    for name, content in CONTENTS.items():
        if kind == "plain":
            (folder / name).write_bytes(content)
        else:
            dotted = name.replace("-idx", ".idx") if kind == "dotted" else name
            (folder / f"{dotted}.gz").write_bytes(ARCHIVES[f"{name}.gz"])
    mirror = folder.as_uri() if kind == "address" else str(folder)
    fetch(make_dataset(), tmp_path / "raw", mirror=mirror)
    assert_complete(tmp_path / "raw")


def test_a_damaged_archive_does_not_hide_the_right_file_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
        (folder / f"{name}.gz").write_bytes(ARCHIVES[f"{name}.gz"][:-9])
    fetch(make_dataset(), tmp_path / "raw", mirror=str(folder))
    assert_complete(tmp_path / "raw")


def test_files_may_come_from_several_sources(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / IMAGES).write_bytes(CONTENTS[IMAGES])
    fetch(make_dataset(server.address("good")), tmp_path / "raw", mirror=str(folder))
    assert_complete(tmp_path / "raw")
    assert f"{IMAGES}.gz" not in [name for _, name, _ in server.requests]


@pytest.mark.parametrize("mirror", ["s3://bucket/mnist", "ftp://host/x", "data:/x"])
def test_a_mirror_of_an_unknown_kind_is_a_config_error(mirror: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.mirror=.*allowed are"):
        fetch(make_dataset(), tmp_path, mirror=mirror)


def test_an_unknown_data_set_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown"):
        fetch_dataset("cifar", mirror=None, directory=tmp_path / "raw", timeout_s=1, log=print)
    assert not (tmp_path / "raw").exists()


def test_a_directory_that_cannot_be_made_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be used"):
        fetch(make_dataset(), tmp_path / "file" / "raw")


def test_a_file_known_by_its_archive_alone(server: Server, tmp_path: Path) -> None:
    """As KMNIST's: only the original archive is accepted, its content's hash is remembered."""
    file = by_archive(make_file(IMAGES))
    archive = ARCHIVES[f"{IMAGES}.gz"]
    recompressed = gzip.compress(CONTENTS[IMAGES], compresslevel=1, mtime=0)
    assert recompressed != archive
    for refused in (recompressed, CONTENTS[IMAGES]):
        with pytest.raises(SourceError, match="only the original archive"):
            unpack(file, refused)
    content = unpack(file, archive)
    (tmp_path / IMAGES).write_bytes(content)
    assert not is_official(file, directory=tmp_path)  # nobody has vouched for it
    accept(file, content, directory=tmp_path)
    assert is_official(file, directory=tmp_path)
    (tmp_path / IMAGES).write_bytes(
        content[:-1] + b"\x00" if content[-1] else content[:-1] + b"\x01"
    )
    assert not is_official(file, directory=tmp_path)


def run_download(address: str, directory: Path) -> subprocess.Popen[bytes]:
    # A test run that a shell started in the background ignores Ctrl-C, and so would what it starts.
    code = (
        "import signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[3])\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import test_sources as t\n"
        "t.fetch(t.make_dataset(sys.argv[1]), Path(sys.argv[2]), timeout_s=30)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, address, str(directory), str(Path(__file__).parent)],
        stderr=subprocess.DEVNULL,
    )


def wait_for(condition: Callable[[], bool], *, limit_s: float = 20) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT], ids=["kill_9", "ctrl_c"])
def test_a_killed_download_leaves_nothing_to_take_and_the_next_goes_on(
    kill: signal.Signals, server: Server, tmp_path: Path
) -> None:
    process = run_download(server.address("slow"), tmp_path)
    part = part_of(server.address("slow"), IMAGES, tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size >= 131_072)
    process.send_signal(kill)
    assert process.wait(20) != 0
    assert_nothing_taken(tmp_path)
    assert part.exists()
    fetch(make_dataset(server.address("good")), tmp_path)
    assert_complete(tmp_path)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"old")
    with pytest.raises(TypeError):
        write_atomically(tmp_path / "x", None)  # type: ignore[arg-type]
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


class TestContract:
    """What every source owes: the right bytes, or SourceError; never wrong bytes."""

    @pytest.fixture(params=["folder", "web"])
    def make(
        self, request: pytest.FixtureRequest, server: Server, tmp_path: Path
    ) -> Callable[[str], Source]:
        def folder(kind: str) -> Source:
            place = tmp_path / kind
            place.mkdir()
            if kind == "good":
                (place / f"{IMAGES}.gz").write_bytes(ARCHIVES[f"{IMAGES}.gz"])
            if kind == "wrong":
                (place / IMAGES).write_bytes(CONTENTS[IMAGES][:-1])
            return FolderSource(place)

        def web(kind: str) -> Source:
            return WebSource(server.address(kind), directory=tmp_path, timeout_s=1, progress=None)

        return folder if request.param == "folder" else web

    def test_it_delivers_the_content(self, make: Callable[[str], Source]) -> None:
        assert make("good").deliver(make_file(IMAGES)) == CONTENTS[IMAGES]

    @pytest.mark.parametrize("kind", ["wrong", "missing"])
    def test_it_refuses_with_a_reason(self, kind: str, make: Callable[[str], Source]) -> None:
        source = make(kind)
        assert source.label
        with pytest.raises(SourceError, match=r"\w+"):
            source.deliver(make_file(IMAGES))


def test_a_download_starts_light() -> None:
    code = (
        "import sys, pipeline.data.sources, pipeline.data.prepare, pipeline.data.image_folder\n"
        "heavy = {'torch', 'torchvision', 'mlflow', 'hydra', 'sklearn', 'scipy', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
