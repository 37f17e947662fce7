"""What a configuration may name as a ``_target_``, and what it may not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.config.guard import build, locate
from pipeline.errors import ConfigError

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, *, input_shape, num_classes, width):
        super().__init__()
        self.layer = nn.Linear(width, num_classes)

class Brighten:
    def __call__(self, images, generator):
        return images

def make():
    return Net(input_shape=None, num_classes=2, width=2)
"""


@pytest.fixture
def mynet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A person's own package on the path; its name."""
    package = tmp_path / "mynet"
    package.mkdir()
    (package / "__init__.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mynet", raising=False)
    return "mynet"


# (target, its arguments, the kind that the section wants, words of the refusal)
REFUSED = [
    pytest.param(
        "os.system", {"command": "touch it"}, nn.Module, "outside the allowed", id="os_system"
    ),
    pytest.param("builtins.eval", {"source": "1"}, None, "outside the allowed", id="eval"),
    pytest.param(
        "logging.FileHandler", {"filename": "it"}, None, "outside the allowed", id="file_handler"
    ),
    pytest.param(
        "urllib.request.urlretrieve",
        {"url": "file:///etc/hostname", "filename": "it"},
        None,
        "outside the allowed",
        id="urlretrieve",
    ),
    pytest.param(
        "torch.hub.load", {"repo_or_dir": "."}, nn.Module, "outside the allowed", id="torch_hub"
    ),
    pytest.param(
        "torch.save", {"obj": 1, "f": "it"}, nn.Module, "outside the allowed", id="torch_save"
    ),
    pytest.param(
        "torch.nnx.Linear", {}, nn.Module, "outside the allowed", id="only_the_beginning_alike"
    ),
    pytest.param(
        "pipeline.config.guard.importlib.import_module",
        {"name": "antigravity"},
        None,
        "no module 'pipeline.config.guard.importlib'",
        id="through_our_own_import",
    ),
    pytest.param(
        "torch.nn.modules.module.warnings.warn",
        {"message": "x"},
        nn.Module,
        "no module 'torch.nn.modules.module.warnings'",
        id="through_an_import_of_torch",
    ),
    pytest.param(
        "pipeline.models.saved.Path",
        {},
        None,
        "must be a class whose objects can be called",
        id="stranger",
    ),
    pytest.param(
        "pipeline.models.build.partial", {}, None, "comes from functools", id="callable_stranger"
    ),
    pytest.param(
        "pipeline.cli.main", {}, nn.Module, "must be a subclass of Module", id="our_function"
    ),
    pytest.param(
        "torch.nn.init.zeros_", {}, nn.Module, "must be a subclass of Module", id="function"
    ),
    pytest.param(
        "torch.optim.SGD", {}, nn.Module, "must be a subclass of Module", id="another_kind"
    ),
    pytest.param(
        "torchvision.datasets.MNIST",
        {"root": "it", "download": True},
        nn.Module,
        "must be a subclass of Module",
        id="data_set_as_model",
    ),
    pytest.param(
        "torchvision.datasets.MNIST",
        {"root": "it", "download": True},
        None,
        "must be a class whose objects can be called",
        id="data_set_as_augmentation",
    ),
    *(
        pytest.param(target, {"command": "touch it"}, nn.Module, words, id=target)
        for target, words in {
            "torch.nn.modules.module.os.system": "no module 'torch.nn.modules.module.os'",
            "torch.nn.functional.warnings.warn": "no module 'torch.nn.functional.warnings'",
            "torch.optim.optimizer.torch.hub.load": "no module 'torch.optim.optimizer.torch",
            "torchvision.datasets.utils.download_url": "must be a subclass of Module",
            "pipeline.files.os.remove": "no module 'pipeline.files.os'",
            "pipeline.runs.provenance.subprocess.run": "no module 'pipeline.runs.provenance.sub",
            "pipeline.files.write_atomically": "must be a subclass of Module",
            "torch.nn.modules.module.OrderedDict": "must be a subclass of Module",
            "subprocess.Popen": "outside the allowed",
            "builtins.exec": "outside the allowed",
            "pickle.loads": "outside the allowed",
            "ctypes.CDLL": "outside the allowed",
            "shutil.rmtree": "outside the allowed",
            "torch.load": "outside the allowed",
            "importlib.import_module": "outside the allowed",
        }.items()
    ),
    pytest.param(
        "torch.nn.ReLU", {}, torch.optim.Optimizer, "must be a subclass of Opt", id="not_optimizer"
    ),
    pytest.param(
        "pipeline.sweep.worker.Worker",
        {},
        None,
        "must be a class whose objects can be called",
        id="our_class_that_is_no_augmentation",
    ),
    pytest.param(
        "torchvision.models.resnet18",
        {"weights": "IMAGENET1K_V1"},
        nn.Module,
        "would download weights",
        id="weights_from_afar",
    ),
    pytest.param("torch.nn.Lineer", {}, nn.Module, "Did you mean Linear?", id="mistyped"),
    pytest.param("nothing", {}, nn.Module, "outside the allowed", id="no_dot"),
    pytest.param("", {}, nn.Module, "outside the allowed", id="empty"),
]


@pytest.mark.parametrize(("target", "arguments", "kind", "words"), REFUSED)
def test_a_target_is_refused_without_side_effect(
    target: str,
    arguments: dict[str, Any],
    kind: type | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        build(target, arguments, kind=kind, key="model")
    assert words in str(refused.value)
    assert str(refused.value).startswith("model.")
    assert list(tmp_path.iterdir()) == []
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("value", [{"_target_": "os.system", "command": "touch it"}])
def test_a_target_inside_an_argument_is_refused_too(
    value: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"model\.modules\.0\._target_=os\.system: outside"):
        build("torch.nn.ModuleList", {"modules": [value]}, kind=nn.Module, key="model")
    assert list(tmp_path.iterdir()) == []


def test_a_module_inside_an_argument_is_built_first() -> None:
    inner = {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2}
    made = build("torch.nn.ModuleList", {"modules": [inner]}, kind=nn.Module, key="model")
    assert made[0].weight.shape == (2, 3)


def test_a_persons_own_class_needs_to_be_allowed(mynet: str) -> None:
    with pytest.raises(ConfigError, match=r"allow_targets=\[mynet\]"):
        locate(f"{mynet}.Net", kind=nn.Module)
    assert mynet not in sys.modules, "refused before it is imported"
    offered = {"input_shape": (1, 4, 4), "num_classes": 7, "activation": nn.ReLU}
    net = build(
        f"{mynet}.Net", {"width": 5}, kind=nn.Module, allow=[mynet], offered=offered, key="model"
    )
    assert net.layer.weight.shape == (7, 5)


def test_of_a_persons_own_package_only_the_right_kind_is_allowed(mynet: str) -> None:
    assert locate(f"{mynet}.Brighten", kind=None, allow=[mynet]).__name__ == "Brighten"
    with pytest.raises(
        ConfigError, match="must be a subclass of Module, and is the class Brighten"
    ):
        locate(f"{mynet}.Brighten", kind=nn.Module, allow=[mynet])
    with pytest.raises(ConfigError, match="must be a subclass of Module, and is a function"):
        locate(f"{mynet}.make", kind=nn.Module, allow=[mynet])


def test_a_package_that_is_not_there_says_how_to_put_it_there() -> None:
    with pytest.raises(ConfigError, match=r"no module 'mynet_of_nobody'.*PYTHONPATH"):
        locate("mynet_of_nobody.Net", kind=nn.Module, allow=["mynet_of_nobody"])


def test_a_factory_of_torchvision_makes_a_model() -> None:
    net = build(
        "torchvision.models.squeezenet1_1",
        {},
        kind=nn.Module,
        offered={"num_classes": 7, "input_shape": (3, 64, 64)},
        key="model",
    )
    assert net.classifier[1].out_channels == 7
    assert locate("torchvision.models.resnet18", kind=nn.Module).__name__ == "resnet18"


@pytest.mark.parametrize("target", ["pipeline.data.augment.Shift", "torch.nn.ReLU"])
def test_classes_whose_objects_can_be_called_are_found(target: str) -> None:
    assert locate(target, kind=None).__name__ == target.rpartition(".")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(
            {"widht": 3}, ["model.widht: unknown to", "Did you mean model.width?"], id="unknown"
        ),
        pytest.param(
            {"width": 3},
            ["cannot be built: missing a required argument", "Its signature: (*, input_shape"],
            id="missing",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_told(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        build("pipeline.models.MLP", arguments, kind=nn.Module, key="model")
    assert [word for word in words if word not in str(refused.value)] == []


@pytest.mark.parametrize("value", [pytest.param(-1, id="value"), pytest.param("a", id="type")])
def test_what_the_class_itself_refuses_is_told(value: object) -> None:
    with pytest.raises(ConfigError, match=r"model: torch\.nn\.Linear cannot be built: .*signature"):
        build(
            "torch.nn.Linear",
            {"in_features": value, "out_features": 1},
            kind=nn.Module,
            key="model",
        )


def test_many_names_are_not_listed_in_full() -> None:
    with pytest.raises(ConfigError) as refused:
        locate("torch.nn.Lineer", kind=nn.Module)
    assert len(str(refused.value)) < 400
