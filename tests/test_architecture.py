"""The imports between rooms point in one direction, and light commands stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

# The picture of docs/architecture.md: a room imports itself and rooms of the rows below its own.
ROWS: list[set[str]] = [
    {"__main__"},
    {"cli", "hydra_plugins"},
    {"commands", "api"},
    {"verification"},
    {"launch"},
    {"reporting"},
    {"runs"},
    {"sweep", "tracking", "training"},
    {"data", "models", "losses", "penalties", "optim", "evaluation", "diagnosis"},
    {"config"},
    {"disk_cache"},
    {"records", "files", "disk"},
    {"errors"},
    {"passwords", "interruption", "terminal", "ending", "home"},
]
# Within this row rooms may know each other, as long as there is no circle.
PLAIN = ROWS[8]
# Which rooms know a tool; nobody else imports it.
TOOLS: dict[str, set[str]] = {
    "mlflow": {"tracking"},
    "optuna": {"sweep", "hydra_plugins"},
    "hydra": {"launch", "config", "sweep", "hydra_plugins"},
    "omegaconf": {"launch", "config", "sweep", "hydra_plugins"},
    "pytorch_lightning": {"training"},
    "lightning": {"training"},
}
ROW_OF = {room: index for index, row in enumerate(ROWS) for room in row}


def room_of(module: str) -> str:
    """``pipeline.data.idx`` → data; ``hydra_plugins.x`` → hydra_plugins; the package → ''."""
    top, _, rest = module.partition(".")
    return top if top == "hydra_plugins" else rest.partition(".")[0]


def imported(source: str, *, known: frozenset[str] | set[str]) -> Iterator[str]:
    """Every module that a text imports, at any depth, also b of ``from a import b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in known else base


def complaints(
    module: str, source: str, *, known: frozenset[str] | set[str] = frozenset()
) -> list[str]:
    """What a module imports against the picture, one sentence each."""
    room, told = room_of(module), []
    for name in imported(source, known=known):
        if name.startswith("."):
            told.append(f"{module}: relative import {name}")
            continue
        top, other = name.partition(".")[0], room_of(name)
        if top in TOOLS and room not in TOOLS[top]:
            told.append(f"{module}: {top} belongs to {sorted(TOOLS[top])}")
        if top not in ("pipeline", "hydra_plugins") or other in ("", room):
            continue
        if other not in ROW_OF:
            told.append(f"{module}: {name} is in no row of the picture")
        elif not _may(room, other):
            told.append(f"{module}: {room} must not import {other}")
    return told


def _may(room: str, other: str) -> bool:
    return ROW_OF[room] < ROW_OF[other] or {room, other} <= PLAIN


def circle(edges: dict[str, set[str]]) -> list[str]:
    """A path that comes back to its beginning, or nothing."""

    def walk(path: list[str]) -> list[str]:
        for after in sorted(edges.get(path[-1], set())):
            if after in path:
                return [*path[path.index(after) :], after]
            if found := walk([*path, after]):
                return found
        return []

    return next((found for room in sorted(edges) if (found := walk([room]))), [])


def _modules() -> dict[str, str]:
    paths = [
        p for top in ("pipeline", "hydra_plugins") for p in sorted((SOURCE / top).rglob("*.py"))
    ]
    names = [
        ".".join(p.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for p in paths
    ]
    return {name: path.read_text() for name, path in zip(names, paths, strict=True)}


MODULES = _modules()


@pytest.mark.parametrize("module", [name for name in MODULES if name != "pipeline"])
def test_a_module_imports_only_what_stands_below_its_room(module: str) -> None:
    assert room_of(module) in ROW_OF, f"{module} is in no row of the picture"
    assert complaints(module, MODULES[module], known=set(MODULES)) == []


def test_the_plain_rooms_import_each_other_without_a_circle() -> None:
    edges: dict[str, set[str]] = {}
    for module, source in MODULES.items():
        others = {
            room_of(n) for n in imported(source, known=set(MODULES)) if n.startswith("pipeline.")
        }
        if room_of(module) in PLAIN:
            edges.setdefault(room_of(module), set()).update((others & PLAIN) - {room_of(module)})
    assert circle(edges) == []


@pytest.mark.parametrize(
    ("module", "source", "word"),
    [
        pytest.param(
            "pipeline.data.x", "import pipeline.commands.train", "commands", id="up_two_rows"
        ),
        pytest.param("pipeline.config.x", "from pipeline.data import idx", "data", id="up_one_row"),
        pytest.param(
            "pipeline.tracking", "from pipeline.training import fit", "training", id="beside"
        ),
        pytest.param(
            "pipeline.losses", "from pipeline import tracking", "tracking", id="from_the_package"
        ),
        pytest.param(
            "pipeline.errors", "def f():\n  import pipeline.cli", "cli", id="inside_a_function"
        ),
        pytest.param("pipeline.data.x", "from .idx import parse_images", "relative", id="relative"),
        pytest.param("pipeline.data.x", "import pipeline.toolbox", "no row", id="unknown_room"),
        pytest.param("pipeline.commands.x", "import mlflow.entities", "mlflow", id="mlflow"),
        pytest.param("pipeline.training.x", "from optuna import Trial", "optuna", id="optuna"),
        pytest.param("pipeline.models.x", "import hydra", "hydra", id="hydra"),
        pytest.param(
            "pipeline.commands.x", "from omegaconf import OmegaConf", "omegaconf", id="omegaconf"
        ),
        pytest.param(
            "pipeline.optim.x", "import pytorch_lightning as pl", "lightning", id="lightning"
        ),
    ],
)
def test_the_checker_sees_an_import_against_the_picture(
    module: str, source: str, word: str
) -> None:
    known = {"pipeline.tracking", "pipeline.data.idx"}
    told = complaints(module, source, known=known)
    assert len(told) == 1
    assert word in told[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        pytest.param("pipeline.commands.x", "from pipeline.training import fit", id="down"),
        pytest.param(
            "pipeline.models.x", "from pipeline.data.batches import epoch_seed", id="plain_beside"
        ),
        pytest.param(
            "pipeline.data.x", "from pipeline.data.idx import parse_images", id="own_room"
        ),
        pytest.param("pipeline.tracking", "import mlflow", id="tool_in_its_room"),
    ],
)
def test_the_checker_is_silent_on_an_import_that_the_picture_allows(
    module: str, source: str
) -> None:
    assert complaints(module, source) == []


def test_the_checker_of_circles_finds_one() -> None:
    assert circle({"data": {"models"}, "models": {"optim"}, "optim": {"data"}}) == [
        "data",
        "models",
        "optim",
        "data",
    ]
    assert circle({"data": set(), "models": {"data"}, "optim": {"data", "models"}}) == []


def _loaded(code: str) -> set[str]:
    """Top-level modules that a new process has after running the code."""
    tail = "\nprint('|'.join(sorted({m.partition('.')[0] for m in sys.modules})))"
    text = f"import sys\nsys.path.insert(0, {str(SOURCE)!r})\n{code}{tail}"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split("|"))


def test_the_data_commands_load_neither_torch_nor_lightning_nor_mlflow() -> None:
    loaded = _loaded(
        "import pipeline.commands.download, pipeline.commands.preprocess\n"
        "import pipeline.data.image_folder"
    )
    assert loaded & {"torch", "torchvision", "pytorch_lightning", "mlflow", "optuna"} == set()
    assert "numpy" in loaded


def test_help_loads_only_the_standard_library() -> None:
    loaded = _loaded("from pipeline.cli import main\nsys.argv = ['pipeline', '--help']\nmain()")
    bare = _loaded("pass")  # what this installation loads for any program
    assert loaded - bare <= set(sys.stdlib_module_names) | {"pipeline"}


def test_a_sweeper_and_its_workers_load_no_library_that_only_a_report_needs() -> None:
    loaded = _loaded("import pipeline.sweep.sweeper")
    assert loaded & {"torch", "sklearn", "scipy", "matplotlib", "pytorch_lightning"} == set()
    assert "optuna" in loaded
