"""The one list of known data sets: their files, checksums, web addresses and class names.

A file is pinned by the SHA-256 of its *uncompressed* content wherever the true bytes could be
hashed. For the others (KMNIST, the images of QMNIST) the only published sum is torchvision's MD5
of the ``.gz`` archive. Such a file is accepted only as that archive, which is the weaker check.
``SHA256SUMS`` beside the files then records the SHA-256 of the accepted content.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError


@dataclass(frozen=True)
class RawFile:
    """One IDX file. Exactly one of ``sha256`` (content) and ``gz_md5`` (archive) is set.

    shape: of the array, from its IDX header.  itemsize: bytes per number.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str | None = None
    gz_md5: str | None = None
    itemsize: int = 1

    @property
    def size(self) -> int:
        """Bytes of the uncompressed file, header included."""
        return 4 + 4 * len(self.shape) + math.prod(self.shape) * self.itemsize


@dataclass(frozen=True)
class Dataset:
    """A known data set. ``web``: addresses that hold the four files as ``<file name>.gz``.

    folders: places where an operating system's package installs them.
    """

    name: str
    class_names: Sequence[str]
    train_images: RawFile
    train_labels: RawFile
    test_images: RawFile
    test_labels: RawFile
    web: Sequence[str]
    folders: Sequence[str] = ()

    @property
    def files(self) -> tuple[RawFile, RawFile, RawFile, RawFile]:
        """All four files, in a fixed order."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)


def find_dataset(name: str) -> Dataset:
    """Look up a data set by name.

    Raises:
        ConfigError: unknown; the message lists the known names and suggests the nearest.
    """
    if name in DATASETS:
        return DATASETS[name]
    nearest = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f" Did you mean data={nearest[0]}?" if nearest else ""
    raise ConfigError(
        f"The data set {name!r} is unknown.{hint} Known are {', '.join(DATASETS)}; "
        "your own images are read with data=image_folder."
    )


_DIGITS = tuple("0123456789")

_MNIST = Dataset(
    name="mnist",
    class_names=_DIGITS,
    train_images=RawFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    train_labels=RawFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    test_images=RawFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    test_labels=RawFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    web=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
)

_FASHION_MNIST = Dataset(
    name="fashion_mnist",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    train_images=RawFile(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        sha256="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    train_labels=RawFile(
        "train-labels-idx1-ubyte",
        (60_000,),
        sha256="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    test_images=RawFile(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        sha256="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    test_labels=RawFile(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        sha256="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    web=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    folders=("/usr/share/datasets/fashion-mnist",),  # Debian and Ubuntu: dataset-fashion-mnist
)

_KMNIST = Dataset(
    name="kmnist",
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    train_images=RawFile(
        "train-images-idx3-ubyte", (60_000, 28, 28), gz_md5="bdb82020997e1d708af4cf47b453dcf7"
    ),
    train_labels=RawFile(
        "train-labels-idx1-ubyte", (60_000,), gz_md5="e144d726b3acfaa3e44228e80efcd344"
    ),
    test_images=RawFile(
        "t10k-images-idx3-ubyte", (10_000, 28, 28), gz_md5="5c965bf0a639b31b8f53240b1b52f4d7"
    ),
    test_labels=RawFile(
        "t10k-labels-idx1-ubyte", (10_000,), gz_md5="7320c461ea6c1c855c0b718fb2a4b134"
    ),
    web=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
)

_QMNIST = Dataset(
    name="qmnist",  # the test part is all 60,000 images; the first 10,000 are MNIST's
    class_names=_DIGITS,
    train_images=RawFile(
        "qmnist-train-images-idx3-ubyte",
        (60_000, 28, 28),
        gz_md5="ed72d4157d28c017586c42bc6afe6370",
    ),
    train_labels=RawFile(
        "qmnist-train-labels-idx2-int",
        (60_000, 8),
        sha256="bb1b6e1ec7b04fd5696f1ed50b5f58f8ef195118edd5c93c81783df9740b8ac5",
        itemsize=4,
    ),
    test_images=RawFile(
        "qmnist-test-images-idx3-ubyte", (60_000, 28, 28), gz_md5="1394631089c404de565df7b7aeaf9412"
    ),
    test_labels=RawFile(
        "qmnist-test-labels-idx2-int",
        (60_000, 8),
        sha256="92d0ccb8c25f9c6534270fb4be7e1d24a1c6d315edfc8a638bfbd31c70f362dd",
        itemsize=4,
    ),
    web=("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
)

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset for dataset in (_MNIST, _FASHION_MNIST, _KMNIST, _QMNIST)
}
