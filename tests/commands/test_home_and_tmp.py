"""Another user whose home or temporary folder is missing, read-only or full: every command works.

Nothing of ours needs a home. Libraries do: matplotlib keeps a list of fonts there.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import make_project
from trained_models import TINY

SOURCE = Path(__file__).parents[2] / "src"
NOBODY = 4242  # a user without an entry in /etc/passwd
# Another user, who may write nothing of this one, but may read: Python may be installed in the home
# of this user, which nobody else can enter.
READS = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *READS]
SMALL = [*TINY, "trainer.max_epochs=2"]
COMMANDS = [
    ["preprocess", "data=image_folder", "data.path=photos", "data.image_size=8"],
    ["train", *SMALL, "name=a"],
    ["train", *SMALL, "name=b", "seed=1", "tracking.tensorboard=true"],
    ["evaluate", "name=a", "evaluation.num_resamples=100", "evaluation.corruptions=[noise]"],
    ["diagnose", "name=a"],
    ["diagnose", "name=a", "probe=true", "probe_epochs=1"],
    ["predict", "photos/0", "name=a"],
    ["report"],
    ["compare", "names=[a,b]"],
    ["reproduce", "name=b"],
    ["train", "-m", *SMALL, "seed=0,1", "study_name=s", "n_jobs=2"],
    ["sweep-report", "study=s"],
    ["train", *SMALL, "name=g", "seeds=2", "evaluation.num_resamples=100"],
    ["verify", "cmd={python} loss.py --l2 {l2} --seed {seed}", "metric=loss",
     "remedies={l2:[0,1]}", "seeds=3", "stop=fixed"],
    ["sync"],
    ["check"],
]  # fmt: skip
# One process for all but the last two, which look at what ended processes have left: what they
# import takes longer than what they do here.
PROGRAM = """
import contextlib, io, json, sys
from pipeline import cli
ends = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["pipeline", *words]
    print("---", words[0], file=sys.stderr, flush=True)
    try:
        code = cli.main()
    except SystemExit as error:
        code = error.code
    ends.append((words[0], code))
print("ENDS", json.dumps(ends), flush=True)
"""
LOSS = "import sys, zlib; print('loss', 1 + zlib.crc32(' '.join(sys.argv).encode()) / 2**32)\n"


def may_become_nobody() -> bool:
    """Whether a child may run as another user, and may then start Python itself."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    starts = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import torch'], check=True)"
    )
    command = [*AS_NOBODY, sys.executable, "-c", starts]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def mount() -> Iterator[Callable[[Path, str], None]]:
    """Mount small file systems; they are gone after the tests."""
    places: list[Path] = []

    def mounted(place: Path, size: str) -> None:
        place.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", str(place)],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip("this process may not mount a file system")
        places.append(place)

    yield mounted
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user can reach; those of pytest belong to this user alone."""
    folder = Path(tempfile.mkdtemp(prefix="nobody-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project_of_nobody(place: Path) -> Path:
    root = place / "project"
    root.mkdir()
    make_project(root)
    (root / "loss.py").write_text(LOSS)
    dice = np.random.default_rng(0)
    for name in "012":
        (root / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = dice.integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "photos" / name / f"{number}.png")
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    return root


def without_home(place: Path) -> dict[str, str | None]:
    return {"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None}


def missing_home_and_tmp(place: Path) -> dict[str, str | None]:
    return {"HOME": str(place / "nowhere"), "TMPDIR": str(place / "nowhere")}


def read_only_home_and_tmp(place: Path) -> dict[str, str | None]:
    for name in ("home", "tmp"):
        (place / name).mkdir(mode=0o555)
    return {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp")}


ODD = [without_home, missing_home_and_tmp, read_only_home_and_tmp]


def ends_of(root: Path, changed: dict[str, str | None]) -> tuple[dict[str, int], str]:
    """Run all commands as nobody; return command → exit code, and the error stream."""
    codes, told = _ends(root, changed, COMMANDS[:-2])
    last, more = _ends(root, changed, COMMANDS[-2:])
    return codes | last, told + more


def _ends(
    root: Path, changed: dict[str, str | None], commands: list[list[str]]
) -> tuple[dict[str, int], str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    environment |= {key: value for key, value in changed.items() if value is not None}
    for key in [key for key, value in changed.items() if value is None]:
        environment.pop(key, None)
    lines = [[word.replace("{python}", sys.executable) for word in line] for line in commands]
    done = subprocess.run(
        [*AS_NOBODY, sys.executable, "-c", PROGRAM, json.dumps(lines)],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("ENDS ")]
    assert told, done.stdout[-3000:] + done.stderr[-3000:]
    return dict(json.loads(told[0].removeprefix("ENDS "))), done.stderr


needs_nobody = pytest.mark.skipif(
    not may_become_nobody(), reason="only root can become another user"
)


@needs_nobody
@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD, ids=[odd.__name__ for odd in ODD])
def test_every_command_works_without_a_home_and_a_temporary_folder(
    odd: Callable[[Path], dict[str, str | None]], place: Path, project_of_nobody: Path
) -> None:
    codes, told = ends_of(project_of_nobody, odd(place))
    # The small data of the tests has no raw files, which `check` says in one message.
    failed = {name: code for name, code in codes.items() if code}
    assert failed.items() <= {"check": 1, "verify": 4}.items(), f"{failed}\n{told}"
    assert "Traceback" not in told
    assert (project_of_nobody / "models" / "a" / "model.json").stat().st_uid == NOBODY


@needs_nobody
@pytest.mark.slow
def test_a_full_temporary_folder_is_passed_over(
    place: Path, project_of_nobody: Path, mount: Callable[[Path, str], None]
) -> None:
    full = place / "full"
    mount(full, "16k")
    (full / "rest").write_bytes(bytes(os.statvfs(full).f_bavail * os.statvfs(full).f_frsize))
    assert os.statvfs(full).f_bavail == 0
    codes, told = ends_of(project_of_nobody, {"TMPDIR": str(full), "HOME": str(full)})
    failed = {name: code for name, code in codes.items() if code}
    assert failed.items() <= {"check": 1, "verify": 4}.items(), f"{failed}\n{told}"
    assert "Traceback" not in told
    assert stat.S_ISREG((full / "rest").stat().st_mode)
