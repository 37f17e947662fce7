from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from pipeline.data.manifest import DATASETS, Dataset, RawFile, find_dataset
from pipeline.errors import ConfigError


@pytest.fixture(scope="module")
def torchvision_source() -> ast.Module:
    """torchvision's own list, read as text: importing it takes seconds."""
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None and spec.origin is not None
    return ast.parse(
        (Path(spec.origin).parent / "datasets" / "mnist.py").read_text(encoding="utf-8")
    )


def class_constants(source: ast.Module, name: str) -> dict[str, object]:
    (result,) = (
        node for node in source.body if isinstance(node, ast.ClassDef) and node.name == name
    )
    constants = {}
    for node in result.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if (
            isinstance(target, ast.Name)
            and isinstance(node, ast.Assign | ast.AnnAssign)
            and node.value
        ):
            constants[target.id] = ast.literal_eval(node.value)
    return constants


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")],
)
def test_files_and_addresses_are_those_of_torchvision(
    name: str, theirs: str, torchvision_source: ast.Module
) -> None:
    constants = class_constants(torchvision_source, theirs)
    resources = constants["resources"]
    assert isinstance(resources, list)
    ours = DATASETS[name]
    assert [f"{file.name}.gz" for file in ours.files] == [file for file, _ in resources]
    assert list(ours.web) == constants["mirrors"]
    sums = dict(resources)
    assert all(file.gz_md5 in (None, sums[f"{file.name}.gz"]) for file in ours.files)


def test_qmnist_is_that_of_torchvision(torchvision_source: ast.Module) -> None:
    resources = class_constants(torchvision_source, "QMNIST")["resources"]
    assert isinstance(resources, dict)
    ours = DATASETS["qmnist"]
    sums = dict([*resources["train"], *resources["test"]])
    assert [f"{ours.web[0]}{file.name}.gz" for file in ours.files] == list(sums)
    assert all(file.gz_md5 in (None, sums[f"{ours.web[0]}{file.name}.gz"]) for file in ours.files)


def test_class_names_of_torchvision(torchvision_source: ast.Module) -> None:
    for name, theirs in (("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")):
        assert (
            list(DATASETS[name].class_names)
            == class_constants(torchvision_source, theirs)["classes"]
        )


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
def test_every_file_is_pinned_by_exactly_one_sum(dataset: Dataset) -> None:
    for file in dataset.files:
        lengths = [len(digest) for digest in (file.sha256, file.gz_md5) if digest]
        assert lengths in ([64], [32])
        assert int(file.sha256 or file.gz_md5 or "", 16)
    assert len(dataset.class_names) == 10
    assert dataset.train_images.shape[0] == dataset.train_labels.shape[0]
    assert dataset.test_images.shape[0] == dataset.test_labels.shape[0]


@pytest.mark.parametrize(
    ("file", "size"),
    [
        (DATASETS["mnist"].train_images, 47_040_016),
        (DATASETS["mnist"].train_labels, 60_008),
        (DATASETS["mnist"].test_images, 7_840_016),
        (DATASETS["mnist"].test_labels, 10_008),
        (DATASETS["qmnist"].train_labels, 1_920_012),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_sizes_are_the_published_ones(file: RawFile, size: int) -> None:
    assert file.size == size


def test_an_unknown_name_lists_the_known_and_suggests_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"mean data=fashion_mnist\?.*mnist, fashion_mnist, kmnist, qmnist"
    ):
        find_dataset("fashon_mnist")
    with pytest.raises(ConfigError, match="image_folder") as caught:
        find_dataset("zzz")
    assert "mean" not in str(caught.value)
