"""Files of ``conf/`` from somebody who means harm: each is refused, and none of them runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import disk_cache
from pipeline.config import compose
from pipeline.config.compose_cache import write_cache
from pipeline.config.limits import MAX_FILE_BYTES
from pipeline.errors import ConfigError

SOURCE = Path(__file__).parents[2] / "src"
GLOBAL = "# @package _global_\n"


def doubling(line: str, *, levels: int, last: str) -> str:
    """Lines that each name the next one, which ``line`` holds as {next}; the last is plain."""
    lines = [line.format(this=f"x{i}", next=f"x{i + 1}") for i in range(levels)]
    return "\n".join([*lines, f"x{levels}: {last}"])


def aliases(first: str, line: str) -> str:
    """Lines that each name the line before by an alias, ten times."""
    lines = [line.format(this=f"b{i + 1}", before=f"b{i}") for i in range(9)]
    return "\n".join([f"b0: &b0 {first}", *lines])


TEN = ", ".join(["*{before}"] * 10)
CALLBACK = "hydra:\n  callbacks:\n    mine:\n      _target_: {}\n"
LOGGING = "hydra:\n  job_logging:\n    handlers:\n      file:\n        {}\n"

# id: (text of conf/experiment/evil.yaml, words of the refusal)
FILES: dict[str, tuple[str | bytes, str]] = {
    # sizes
    "alias_bomb": (aliases("[x, x]", "{this}: &{this} [" + TEN + "]"), "grows beyond"),
    "alias_bomb_of_texts": (aliases("y" * 9000, "{this}: &{this} [" + TEN + "]"), "grows beyond"),
    "alias_bomb_of_mappings": (
        aliases("{k: v}", "{this}: &{this} {{a: *{before}, b: *{before}, c: *{before}}}"),
        "grows beyond",
    ),
    "merge_bomb": (
        aliases("{k: [1, 2]}", "{this}: &{this} {{<<: [" + TEN + "]}}"),
        "grows beyond",
    ),
    "alias_of_itself": ("a: &a [*a]", "stands for itself"),
    "alias_of_itself_deeper": ("a: &a {b: {c: *a}}", "stands for itself"),
    "deep_lists": ("a: " + "[" * 5000, "nested more than"),
    "deep_mappings": ("a: " + "{b: " * 5000, "nested more than"),
    "deep_blocks": ("\n".join(" " * i + f"k{i}:" for i in range(200)), "nested more than"),
    "large_file": ("a: " + "x" * MAX_FILE_BYTES, "larger than 64 KiB"),
    "many_items": ("a: [" + "1," * 6000 + "]", "grows beyond"),
    "long_number": ("seed: " + "9" * 5000, "not valid YAML"),
    "list_of_defaults_that_doubles": (
        "defaults: [{/b0@p: c0}, {/b0@q: c0}]",
        "more than 500 files",
    ),
    # form
    "key_twice": ("seed: 1\nseed: 2", "has the key seed twice"),
    "key_twice_inside": ("model: {width: 3, width: 4}", "has the key width twice"),
    "key_twice_quoted": ("seed: 1\n'seed': 2", "has the key seed twice"),
    "second_document": ("seed: 1\n---\nseed: 2", "second document"),
    "list_at_the_top": ("- seed", "holds a list"),
    "text_at_the_top": ("seed", "holds the text"),
    "zero_byte": ("seed: 1\x00", "not valid YAML"),
    "not_utf8": (b"# @package _global_\nseed: \xff\xfe", "not UTF-8"),
    "utf16": ("seed: 1".encode("utf-16"), "not UTF-8"),
    # tags
    "python_apply": ("a: !!python/object/apply:os.system ['touch payload']", "has the tag"),
    "python_new": ("a: !!python/object/new:os.system ['touch payload']", "has the tag"),
    "python_object": ("a: !!python/object:os.PathLike {}", "has the tag"),
    "python_name": ("a: !!python/name:os.system", "has the tag"),
    "python_module": ("a: !!python/module:antigravity", "has the tag"),
    "long_tag": (
        "a: !<tag:yaml.org,2002:python/object/apply:os.system> ['touch payload']",
        "has the tag",
    ),
    "binary": ("a: !!binary aGVsbG8=", "has the tag"),
    "tag_of_nobody": ("a: !include /etc/passwd", "has the tag"),
    # references
    "reference_bomb": (doubling("{this}: ${{{next}}}${{{next}}}", levels=40, last="y"), "grow"),
    "reference_bomb_of_lists": (
        doubling("{this}: ['${{{next}}}', '${{{next}}}']", levels=40, last="[y]"),
        "grow",
    ),
    "reference_bomb_under_numbers": (
        doubling("{this}: {{1: '${{{next}}}', 2: '${{{next}}}'}}", levels=40, last="y"),
        "grow",
    ),
    "reference_bomb_in_hydra": (
        "hydra:\n  job:\n    name: ${x0}\n"
        + doubling("{this}: ${{{next}}}${{{next}}}", levels=40, last="y"),
        "grow",
    ),
    "reference_bomb_by_select": (
        doubling(
            "{this}: ${{oc.select:{next}}}${{oc.select:{next}}}${{oc.select:{next}}}",
            levels=40,
            last="y",
        ),
        "grow",
    ),
    "reference_to_itself": ("name: ${name}", "refers to itself"),
    "circle_of_references": ("a: ${b}\nb: ${c}\nc: ${a}", "refers to itself"),
    "reference_to_its_parent": ("a: {b: '${a}'}", "refers to itself"),
    "nested_references": ("a: " + "${" * 9 + "b" + "}" * 9, "nests references"),
    "very_many_references": ("a: " + "${seed}" * 50, "50 references"),
    "chain_of_references": (
        doubling("{this}: ${{{next}}}", levels=900, last="y"),
        "over more than",
    ),
    # what is recorded
    "environment": ("name: ${oc.env:HOME}", "reads an environment variable"),
    "environment_with_default": ("a: ${oc.env:SECRET,none}", "reads an environment variable"),
    "environment_in_a_list": ("a: [{b: 'x${oc.env:SECRET}'}]", "reads an environment variable"),
    "environment_inside_a_reference": ("a: ${x.${oc.env:SECRET}}", "reads an environment variable"),
    "environment_copied": ("hydra:\n  job:\n    env_copy: [SECRET]", "would copy environment"),
    "decoded": ("a: \"${oc.decode:'${oc.env:SECRET}'}\"", "environment variable"),
    "decoded_text": ("a: ${oc.decode:'1'}", "may not be used"),
    "created": ("a: ${oc.create:x}", "may not be used"),
    "hydras_own_values": ("a: ${hydra:runtime.cwd}", "may not be used"),
    # what Hydra would build or import
    "callback": (CALLBACK.format("os.system\n      command: touch payload"), "outside the allowed"),
    "callback_through_hydra": (
        CALLBACK.format("hydra.utils.instantiate"),
        "outside the allowed",
    ),
    "callback_by_reference": ("x: os.system\n" + CALLBACK.format("${x}"), "outside the allowed"),
    "launcher": ("hydra:\n  launcher:\n    _target_: subprocess.Popen", "outside the allowed"),
    "sweeper": ("hydra:\n  sweeper:\n    _target_: subprocess.Popen", "outside the allowed"),
    "listener": ("hydra:\n  sweeper:\n    listener: antigravity.fly", "outside the allowed"),
    "search_space": (
        "hydra:\n  sweeper:\n    custom_search_space: [antigravity.fly]",
        "outside the allowed",
    ),
    "handler_made_by_a_call": (LOGGING.format("(): os.system"), "may be built"),
    "handler_of_anybody": (LOGGING.format("class: subprocess.Popen"), "must be a class of logging"),
    "import_by_logging": (LOGGING.format("stream: ext://antigravity.fly"), "may be named here"),
    "library_before_all_others": (
        "hydra:\n  job:\n    env_set:\n      LD_PRELOAD: /tmp/evil.so",
        "decides which code is loaded",
    ),
    "python_path": (
        "hydra:\n  job:\n    env_set:\n      PYTHONPATH: /tmp/evil",
        "decides which code is loaded",
    ),
    # what a target may be
    "python_itself_allowed": ("allow_targets: [os]", "can run any command"),
    "builtins_allowed": ("allow_targets: [builtins]", "can run any command"),
    "hydra_allowed": ("allow_targets: [hydra]", "can run any command"),
    "target_outside": ("model: {_target_: os.system}", "outside the allowed"),
    "name_out_of_its_folder": ("name: ../../payload", "must be letters"),
    "data_out_of_its_folder": ("data: {name: ../../payload}", "must be letters"),
}


@pytest.fixture
def evil(project: Path) -> Path:
    """The place of ``experiment=evil`` in a project."""
    return project / "conf" / "experiment" / "evil.yaml"


@pytest.mark.parametrize(
    ("content", "words"), [pytest.param(*case, id=name) for name, case in FILES.items()]
)
def test_a_hostile_file_is_refused_and_runs_nothing(
    content: str | bytes, words: str, evil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "the-secret")
    text = content if isinstance(content, bytes) else (GLOBAL + content).encode()
    evil.write_bytes(text)
    if "b0@p" in str(content):
        write_doubling_defaults(evil.parents[1])
    with pytest.raises(ConfigError) as refused:
        compose(["experiment=evil"], root=evil.parents[2])
    assert words in str(refused.value)
    assert "the-secret" not in str(refused.value)
    assert not (evil.parents[2] / "payload").exists()
    assert "antigravity" not in sys.modules


def write_doubling_defaults(conf: Path) -> None:
    """Groups b0 … b19, whose option includes the next group's twice, under two names."""
    for level in range(20):
        (conf / f"b{level}").mkdir()
        onward = [{f"/b{level + 1}@{name}": "c0"} for name in "pq"] if level < 19 else []
        (conf / f"b{level}" / "c0.yaml").write_text(f"defaults: {onward}\nx: 1\n".replace("'", ""))


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_a_file_that_is_no_file_is_refused(kind: str, evil: Path) -> None:
    if kind == "pipe":
        os.mkfifo(evil)
    else:
        evil.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"unknown option|no regular file"):
        compose(["experiment=evil"], root=evil.parents[2])


@pytest.mark.parametrize("bomb", ["alias_bomb", "reference_bomb"])
def test_a_bomb_costs_neither_time_nor_memory(bomb: str, evil: Path) -> None:
    """Without the limits the process needs minutes and gigabytes: it is killed here."""
    evil.write_text(GLOBAL + str(FILES[bomb][0]))
    program = (
        "import resource as r; r.setrlimit(r.RLIMIT_CPU, (30, 30))\n"
        "r.setrlimit(r.RLIMIT_DATA, (500_000_000, 500_000_000))\n"
        "import sys; from pipeline.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "train", "--cfg", "job", "experiment=evil"],
        cwd=evil.parents[2],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and "grow" in done.stderr


OVERRIDES: dict[str, tuple[list[str], str]] = {
    "deep_list": (["model.width=" + "[" * 5000], "nested 5000 deep"),
    "deep_key": (["+a" + ".b" * 3000 + "=1"], "nested 3000 deep"),
    "long_value": (["name=" + "x" * 30_000], "has 30005 characters"),
    "environment": (["name=${oc.env:HOME}"], "reads an environment variable"),
    "callback": (["+hydra.callbacks.x._target_=os.system"], "outside the allowed"),
    "target_through_an_import": (
        ["model._target_=os.path.os.system", "allow_targets=[posixpath]"],
        "can run any command",
    ),
    "search_path_in_a_package": (["hydra.searchpath=[pkg://antigravity]"], "would run it"),
    "circle": (["name=${data.name}", "data.name=${name}"], "refers to itself"),
}


@pytest.mark.parametrize(
    ("overrides", "words"), [pytest.param(*case, id=name) for name, case in OVERRIDES.items()]
)
def test_a_hostile_override_is_refused(overrides: list[str], words: str, project: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        compose(overrides, root=project)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 1000
    assert "antigravity" not in sys.modules


HARMLESS = {
    "references": "name: ${model.name}_${seed}\n",
    "aliases": "model: {width: &w 3}\ndata: {batch_size: *w}\n",
    "beside": "model: {width: '${.depth}'}\n",
    "environment_of_hydra": "hydra:\n  job:\n    name: ${oc.env:HOME}\n",
}


@pytest.mark.parametrize("name", ["references", "beside", "environment_of_hydra", "aliases"])
def test_what_a_person_writes_still_composes(name: str, evil: Path) -> None:
    evil.write_text(GLOBAL + HARMLESS[name])
    values = compose(["experiment=evil"], root=evil.parents[2]).values
    expected = {"references": "mlp_0", "beside": 2, "aliases": 3, "environment_of_hydra": "mlp"}
    found = {
        "references": values["name"],
        "beside": values["model"]["width"],
        "aliases": values["data"]["batch_size"],
        "environment_of_hydra": values["name"],
    }
    assert found[name] == expected[name]


def test_a_remembered_composition_that_somebody_wrote_allows_no_code(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of a data set may come from elsewhere, and so may what lies in it."""
    overrides = ["model.width=33"]
    compose(overrides, root=project)
    write_cache(project)
    file = project / "data" / ".composed.json"
    known = disk_cache.read(file)
    (values,) = known.values()
    values |= {"allow_targets": ["os"], "model": {"name": "mine", "_target_": "os.system"}}
    file.unlink()
    disk_cache.keep(file, known, most=1)
    module = sys.modules["pipeline.config.compose"]  # a function of the package has its name
    monkeypatch.setattr(module, "_composed_job", None)  # it is not composed anew
    with pytest.raises(ConfigError, match="can run any command"):
        compose(overrides, root=project)
