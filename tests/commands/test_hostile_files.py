"""Files and words of somebody who means harm, one a line: no payload runs, and one message each.

Hostile files of ``conf/`` are listed in tests/config/test_hostile.py.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import re
import signal
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from pipeline import cli
from pipeline.config import compose
from pipeline.data.store import load_card
from pipeline.evaluation.model_description import DESCRIPTION, read_description
from pipeline.files import sealed, write_record
from pipeline.models.saved import WEIGHTS
from pipeline.runs.provenance import resume_key
from pipeline.tracking import open_tracker
from pipeline.training.checkpoints import LAST, MARK
from sealed_records import fields_of, write_fields
from trained_models import TINY

MOST_S = 300
CANARY = "canary"  # the payload makes this file
Plant = Callable[[Path], None]


class Payload:
    """An object whose unpickling makes the canary."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {Path(CANARY).absolute()}",)


def pickled() -> bytes:
    return pickle.dumps({"weights": Payload()})


def zipped() -> bytes:
    """The same as ``torch.save`` writes it: a pickle inside a zip archive."""
    with zipfile.ZipFile("evil.zip", "w") as archive:
        archive.writestr("archive/data.pkl", pickled())
        archive.writestr("archive/version", "3\n")
    return Path("evil.zip").read_bytes()


def put(place: str, content: Callable[[], bytes]) -> Plant:
    def plant(root: Path) -> None:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(content())

    return plant


# --- a model whose hashes the enemy has made anew: only the content can show it ---


def weights(change: Callable[[bytes], bytes]) -> Plant:
    def plant(root: Path) -> None:
        folder = root / "models" / "mlp"
        content = change((folder / WEIGHTS).read_bytes())
        (folder / WEIGHTS).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        described = replace(read_description(folder), weights_sha256=digest)
        write_record(folder / DESCRIPTION, described)

    return plant


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Plant:
    def changed(content: bytes) -> bytes:
        held = load(content)
        change(held)
        return save(held)

    return weights(changed)


def first(held: dict[str, torch.Tensor]) -> str:
    return sorted(held)[0]


def settings_of_model(section: str, **values: Any) -> Plant:
    def plant(root: Path) -> None:
        path = root / "models" / "mlp" / DESCRIPTION
        fields = fields_of(path)
        if section:
            fields["settings"][section] |= values
        else:
            fields["settings"] |= values
        write_fields(path, fields)

    return plant


def os_allowed(root: Path) -> None:
    settings_of_model("", allow_targets=["os"])(root)
    target("os.system")(root)


def target(path: str, **values: Any) -> Plant:
    return settings_of_model("activation", _target_=path, **values)


# --- pictures ---


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checked)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00\x00,"


SVG = b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch canary) (w) file\n"


def pipe(root: Path) -> None:
    os.mkfifo(root / "x.png")


def device(root: Path) -> None:
    (root / "x.png").symlink_to("/dev/zero")


def deep_text(kind: bytes) -> bytes:
    """A sound small PNG with a compressed text or colour profile that unpacks to 300 MB."""
    body = b"k\0\0" + zlib.compress(bytes(300_000_000), 1)
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    whole = io.BytesIO()
    Image.new("L", (28, 28)).save(whole, "PNG")
    head, rest = whole.getvalue()[:33], whole.getvalue()[33:]
    return head + chunk + rest


def webp(width: int, height: int) -> bytes:
    """The header of an extended WebP: the size is one less than it promises, in 24 bits."""
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sizes
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\xff\xd9"


# --- zip bombs: one member of 1 GB of zeros in 4 MB ---


def zip_bomb(member: str) -> Callable[[], bytes]:
    @cache
    def bomb() -> bytes:
        whole = io.BytesIO()
        with (
            zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open(member, "w", force_zip64=True) as file,
        ):
            for _ in range(10):
                file.write(ZEROS)
        return whole.getvalue()

    return bomb


ZEROS = bytes(100_000_000)


def gzip_bomb() -> bytes:
    return gzip.compress(ZEROS * 3, 1)


# --- what never ends, or leads in a circle ---


def pipe_at(place: str) -> Plant:
    def plant(root: Path) -> None:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).unlink(missing_ok=True)
        os.mkfifo(root / place)

    return plant


def endless(place: str) -> Plant:
    def plant(root: Path) -> None:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).unlink(missing_ok=True)
        (root / place).symlink_to("/dev/zero")

    return plant


def circle(place: str) -> Plant:
    def plant(root: Path) -> None:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(path.name)

    return plant


def circle_of_photos(root: Path) -> None:
    for name in ("a", "b"):
        put(f"photos/{name}/1.png", lambda: png(4, 4))(root)
    circle("photos/a/2.png")(root)


def circle_of_folders(root: Path) -> None:
    for name in ("a", "b"):
        put(f"photos/{name}/1.png", lambda: png(4, 4))(root)
    (root / "photos" / "a" / "again").symlink_to("../..")


# --- names that a terminal obeys ---


def file_named(name: str, content: Callable[[], bytes]) -> Plant:
    return put(name, content)


ESCAPES = "\x1b[2J\x1b]0;owned\x07.png"
BACKWARDS = "\u202egnp.exe.png"


def link_out_of_the_photos(root: Path) -> None:
    (root / "secret").mkdir()
    (root / "secret" / "1.png").write_bytes(png(4, 4))
    for name in ("a", "b"):
        put(f"photos/{name}/1.png", lambda: png(4, 4))(root)
    (root / "photos" / "a" / "2.png").symlink_to(root / "secret" / "1.png")


# --- checkpoints ---


def checkpoint(content: Callable[[], bytes], *, with_hash: bool) -> Plant:
    """A checkpoint at the place where this training looks for its own."""

    def plant(root: Path) -> None:
        values = compose([*TINY, "tracking=none", "name=other"], root=root).values
        card = load_card(root / "data" / "processed" / "mnist")
        body = content()
        end = MARK + hashlib.sha256(body).hexdigest().encode() if with_hash else b""
        put(f"checkpoints/{resume_key(values, card, root=root)}/{LAST}", lambda: body + end)(root)

    return plant


PREDICT = ["predict", "x.png", "name=mlp"]
EVALUATE = ["evaluate", "name=mlp"]
DIAGNOSE = ["diagnose", "name=mlp"]
TRAIN = ["train", *TINY, "tracking=none", "name=other"]
IMAGES = ["preprocess", "data=image_folder", "data.path=photos"]
PREPARED = "data/processed/mnist/"


def nothing(root: Path) -> None:
    """The words themselves are hostile."""


def store(root: Path) -> None:
    """A store of MLflow with one run."""
    tracker = open_tracker(compose(TINY, root=root).settings.tracking, root=root)
    assert tracker is not None
    tracker.start("mlp", tags={}).finish()


# id: (what lies there, the command that meets it, words of the message)
CASES: dict[str, tuple[Plant, list[str], str]] = {
    # pickles
    "pickle_as_weights": (put(f"models/mlp/{WEIGHTS}", pickled), EVALUATE, "SHA-256"),
    "pickle_as_weights_with_hash": (weights(lambda _: pickled()), EVALUATE, "do not fit"),
    "torch_archive_as_weights": (weights(lambda _: zipped()), EVALUATE, "do not fit"),
    "pickle_as_description": (put(f"models/mlp/{DESCRIPTION}", pickled), EVALUATE, "not a valid"),
    "pickle_as_prepared_data": (put(f"{PREPARED}train.safetensors", pickled), TRAIN, "train"),
    "archive_as_prepared_data": (put(f"{PREPARED}val.safetensors", zipped), TRAIN, "val"),
    "pickle_as_card": (put(f"{PREPARED}card.json", pickled), TRAIN, "card.json"),
    "pickle_as_history": (put("results/mlp/history.csv", pickled), DIAGNOSE, "SHA-256 differs"),
    "pickle_as_signals": (put("results/mlp/signals.safetensors", pickled), DIAGNOSE, "SHA-256"),
    "pickle_as_configuration": (put("results/mlp/config.json", pickled), DIAGNOSE, "config.json"),
    "pickle_as_log": (put("log.pkl", pickled), ["diagnose", "history=log.pkl"], "never opened"),
    "pickle_named_json": (put("log.json", pickled), ["diagnose", "history=log.json"], "never"),
    "pickle_as_foreign_signals": (
        put("s.safetensors", pickled),
        ["diagnose", "signals=s.safetensors"],
        "s.safetensors",
    ),
    "pickle_as_checkpoint_with_hash": (checkpoint(pickled, with_hash=True), TRAIN, "checkpoints"),
    "archive_as_checkpoint_with_hash": (checkpoint(zipped, with_hash=True), TRAIN, "checkpoints"),
    "pickle_as_picture": (put("x.png", pickled), PREDICT, "not a sound"),
    # weights of another form, under hashes that fit
    "wrong_shape": (tensors(lambda t: t.update({first(t): torch.zeros(3)})), EVALUATE, "gives"),
    "nan": (tensors(lambda t: t[first(t)].view(-1)[0].fill_(torch.nan)), EVALUATE, "not finite"),
    "infinity": (tensors(lambda t: t[first(t)].fill_(torch.inf)), EVALUATE, "not finite"),
    "wrong_type": (tensors(lambda t: t.update({first(t): t[first(t)].half()})), EVALUATE, "gives"),
    "missing_tensor": (tensors(lambda t: t.pop(first(t))), EVALUATE, "is nothing"),
    "further_tensor": (tensors(lambda t: t.update(x=torch.zeros(1))), EVALUATE, "gives nothing"),
    "endless_header": (
        weights(lambda _: struct.pack("<Q", 2**62) + b"{}"),
        EVALUATE,
        "do not fit",
    ),
    "empty_weights": (weights(lambda _: b""), EVALUATE, "do not fit"),
    # targets in the description of a model
    "os_system": (target("os.system"), EVALUATE, "outside the allowed"),
    "eval": (target("builtins.eval"), EVALUATE, "outside the allowed"),
    "exec": (target("exec"), EVALUATE, "outside the allowed"),
    "popen": (target("subprocess.Popen"), EVALUATE, "outside the allowed"),
    "os_by_torch": (target("torch.nn.modules.module.os.system"), EVALUATE, "no module"),
    "import_by_torch": (target("torch.nn.modules.module.itertools.chain"), EVALUATE, "no module"),
    "pickle_by_torch": (target("torch.serialization.pickle.loads"), EVALUATE, "outside the"),
    "hub_by_torch": (target("torch.hub.load"), EVALUATE, "outside the allowed"),
    "function_of_ours": (target("pipeline.files.write_atomically"), EVALUATE, "must be a subclass"),
    "os_by_ours": (target("pipeline.files.os.system"), EVALUATE, "no module"),
    "class_of_ours": (target("pipeline.files.Path"), EVALUATE, "must be a subclass"),
    "download_by_torchvision": (
        target("torchvision.datasets.utils.download_url", url="file:///etc/passwd"),
        EVALUATE,
        "is a function",
    ),
    "allowed_by_itself": (os_allowed, EVALUATE, "must be a subclass"),
    "deep_json": (
        put(f"models/mlp/{DESCRIPTION}", lambda: sealed('{\n  "a": ' + "[" * 9**5 + "\n}\n")),
        EVALUATE,
        "not a valid",
    ),
    # pictures
    "png_bomb": (put("x.png", lambda: png(60_000, 60_000)), PREDICT, "too large"),
    "gif_bomb": (
        put("x.gif", lambda: gif(65_535, 65_535)),
        [*PREDICT[:1], "x.gif", "name=mlp"],
        "",
    ),
    "xml_entities": (put("x.png", lambda: SVG), PREDICT, "not a sound"),
    "postscript": (put("x.png", lambda: EPS), PREDICT, "not a sound"),
    "zip_as_picture": (put("x.png", zipped), PREDICT, "not a sound"),
    "text_bomb": (put("x.png", lambda: deep_text(b"zTXt")), PREDICT, "not a sound"),
    "webp_bomb": (put("x.webp", lambda: webp(16_000, 16_000)), ["predict", "x.webp"], "x.webp"),
    "jpeg_bomb": (put("x.jpg", lambda: jpeg(65_000, 65_000)), ["predict", "x.jpg"], "too large"),
    # archives
    "npz_bomb_as_log": (
        put("log.npz", zip_bomb("loss.npy")),
        ["diagnose", "history=log.npz"],
        "never opened",
    ),
    "zip_bomb_as_log": (
        put("log.csv", zip_bomb("log.csv")),
        ["diagnose", "history=log.csv"],
        "never opened",
    ),
    "zip_bomb_as_picture": (put("x.png", zip_bomb("x.png")), PREDICT, "not a sound"),
    "zip_bomb_as_checkpoint": (
        checkpoint(zip_bomb("archive/data.pkl"), with_hash=True),
        TRAIN,
        "checkpoints",
    ),
    "zip_bomb_as_weights": (weights(lambda _: zip_bomb("archive/data.pkl")()), EVALUATE, "not fit"),
    "gzip_bomb_as_log": (put("l.csv", gzip_bomb), ["diagnose", "history=l.csv"], "compressed"),
    # pipes, devices and circles
    **{
        # A link in a circle leads to no history, so there is no run.
        f"{kind}_as_{Path(place).name}": (
            plant(place),
            words,
            "is trained"
            if (kind, words) == ("circle", DIAGNOSE) and "csv" in place
            else Path(place).stem,
        )
        for kind, plant in (("pipe", pipe_at), ("device", endless), ("circle", circle))
        for place, words in (
            (f"models/mlp/{DESCRIPTION}", EVALUATE),
            (f"models/mlp/{WEIGHTS}", EVALUATE),
            ("results/mlp/history.csv", DIAGNOSE),
            ("results/mlp/signals.safetensors", DIAGNOSE),
            (f"{PREPARED}card.json", TRAIN),
            (f"{PREPARED}train.safetensors", TRAIN),
            ("conf/experiment/x.yaml", [*TRAIN, "experiment=x"]),
            ("conf/config.yaml", TRAIN),
            ("start.safetensors", [*TRAIN, "initial_weights=start.safetensors"]),
        )
    },
    "device_as_log": (endless("log.csv"), ["diagnose", "history=log.csv"], "is no file"),
    "circle_as_log": (circle("log.csv"), ["diagnose", "history=log.csv"], "log.csv"),
    "pipe_as_signals": (pipe_at("s"), ["diagnose", "signals=s"], "s"),
    "pipe_as_folder": (pipe_at("photos"), IMAGES, "photos"),
    "circle_of_photos": (circle_of_photos, IMAGES, "leads nowhere"),
    "circle_of_folders": (circle_of_folders, IMAGES, "outside of"),
    # weights to start from
    "pickle_as_initial_weights": (
        put("w.safetensors", pickled),
        [*TRAIN, "initial_weights=w.safetensors"],
        "cannot be read as safetensors",
    ),
    "bomb_as_initial_weights": (
        put("w.safetensors", zip_bomb("archive/data.pkl")),
        [*TRAIN, "initial_weights=w.safetensors"],
        "and this network needs",
    ),
    # names
    "escapes_in_a_name": (file_named(ESCAPES, pickled), ["predict", ESCAPES], "\\x1b[2J"),
    "direction_in_a_name": (file_named(BACKWARDS, pickled), ["predict", BACKWARDS], "\\u202e"),
    "escapes_in_a_log": (
        file_named("a\x1b[2Jb.csv", pickled),
        ["diagnose", "history=a\x1b[2Jb.csv"],
        "\\x1b[2J",
    ),
    "study_with_html": (
        nothing,
        ["sweep-report", "study=<script>alert(1)</script>"],
        "no such file",
    ),
    "pipe": (pipe, PREDICT, "no such file"),
    "device": (device, PREDICT, "no such file"),
    "link_out_of_a_folder": (link_out_of_the_photos, IMAGES, "outside of"),
    # words
    "name_out_of_its_folder": (nothing, ["evaluate", "name=../../etc"], "name=../../etc"),
    "name_with_html": (nothing, [*TRAIN[:-1], "name='<script>'"], "must be letters"),
    "query_as_run": (store, ["reproduce", "run=x' OR tags.a = 'b"], "run="),
    "path_as_run": (store, ["reproduce", "run=../../etc"], "run="),
}


def _never_ends(number: int, frame: FrameType | None) -> None:
    raise AssertionError("the command does not end")


@pytest.fixture
def time_limit() -> Iterator[None]:
    """Fail a command that waits for ever; the machine may be busy."""
    before = signal.signal(signal.SIGALRM, _never_ends)
    signal.alarm(MOST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("time_limit")
@pytest.mark.parametrize(("plant", "words", "said"), CASES.values(), ids=CASES)
def test_no_payload_runs_and_one_message_says_why(
    plant: Plant,
    words: list[str],
    said: str,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plant(tiny_model)
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["pipeline", *words])
    code = cli.main()
    told = capsys.readouterr().err
    assert not (tiny_model / CANARY).exists()
    assert code in (1, 2) and told.startswith("error: ") and told.count("error: ") == 1
    assert said in told and len(told) < 2000
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", told)


def test_the_payload_would_make_the_canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickled())
    assert (tmp_path / CANARY).exists()


def test_a_damaged_checkpoint_with_a_pickle_begins_the_run_anew(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(pickled, with_hash=False)(tiny_model)
    monkeypatch.setattr(sys, "argv", ["pipeline", *TRAIN])
    assert cli.main() == 0
    assert "The run begins anew." in capsys.readouterr().err
    assert not (tiny_model / CANARY).exists()
