from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sklearn.metrics import log_loss

import small_mnist
from pipeline.data.prepare import (
    build_prepared,
    pixel_statistics,
    prepare_dataset,
    prior_entropy,
    split_validation,
    take,
)
from pipeline.data.store import content_sha256, load_card, load_prepared, load_split, write_prepared
from pipeline.errors import DataError
from pipeline.records import DataCard, ImageSet
from sealed_records import fields_of, write_fields

DIGITS = tuple("0123456789")


def make_images(
    num: int = 40, *, num_classes: int = 4, channels: int = 1, seed: int = 0
) -> ImageSet:
    generator = np.random.default_rng(seed)
    return ImageSet(
        images=generator.integers(0, 256, (num, channels, 5, 6), dtype=np.uint8),
        labels=np.arange(num, dtype=np.int64) % num_classes,
    )


def prepare(
    directory: Path, *, validation_size: int = 8, train: ImageSet | None = None
) -> DataCard:
    return prepare_dataset(
        train or make_images(),
        make_images(12, seed=1),
        name="tiny",
        class_names=("a", "b", "c", "d"),
        validation_size=validation_size,
        split_seed=3,
        directory=directory,
    )


def test_statistics_agree_with_floating_point_over_the_pixels() -> None:
    images = make_images(50, channels=3).images
    mean, std = pixel_statistics(images)
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, scaled.std(axis=(0, 2, 3)), rtol=1e-12)


def test_entropy_of_the_prior_in_closed_form_and_by_a_second_library() -> None:
    assert prior_entropy(np.array([5, 5, 5, 5])) == pytest.approx(math.log(4))
    assert prior_entropy(np.array([9, 0])) == 0.0
    counts = np.array([5, 2, 13])
    labels = np.repeat(np.arange(3), counts)
    guess = np.tile(counts / counts.sum(), (len(labels), 1))
    assert prior_entropy(counts) == pytest.approx(log_loss(labels, guess))


def test_statistics_come_from_the_training_part_alone() -> None:
    black = ImageSet(
        images=np.zeros((40, 1, 4, 4), np.uint8), labels=np.arange(40, dtype=np.int64) % 2
    )
    white = ImageSet(
        images=np.full((10, 1, 4, 4), 255, np.uint8), labels=np.arange(10, dtype=np.int64) % 2
    )
    prepared = build_prepared(
        black, white, white, name="x", class_names=("a", "b"), split_seed=0, baselines={}
    )
    assert prepared.card.mean == (0.0,) and prepared.card.std == (0.0,)


def test_the_validation_part_is_exact_stratified_and_disjoint() -> None:
    images = small_mnist.load_images("train")
    train, val = split_validation(images, size=300, seed=0)
    assert (len(train), len(val)) == (1700, 300)
    shares = np.bincount(val.labels) / 300 - np.bincount(images.labels) / 2000
    assert abs(shares).max() < 1 / 300
    rows = {image.tobytes() for image in train.images}
    assert rows.isdisjoint(image.tobytes() for image in val.images)


@pytest.mark.parametrize("size", [-5, 0, 40, 41, 10**9])
def test_an_impossible_validation_size_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"data.validation_size={size}.*allowed are 1 … 39"):
        prepare(tmp_path / "tiny", validation_size=size)
    assert list(tmp_path.iterdir()) == []


def test_the_official_test_set_is_stored_untouched(tmp_path: Path) -> None:
    prepare(tmp_path / "tiny")
    test, official = load_split(tmp_path / "tiny", "test"), make_images(12, seed=1)
    assert np.array_equal(test.images, official.images) and np.array_equal(
        test.labels, official.labels
    )


def test_what_was_written_is_what_is_loaded(tmp_path: Path) -> None:
    written = small_mnist.load_prepared(num_train=200)
    write_prepared(written, tmp_path / "mnist")
    loaded = load_prepared(tmp_path / "mnist")
    assert loaded.card == written.card == load_card(tmp_path / "mnist")
    assert loaded.card.class_counts["train"] == tuple(np.bincount(written.train.labels))
    for split in ("train", "val", "test"):
        assert np.array_equal(getattr(loaded, split).images, getattr(written, split).images)
        assert np.array_equal(getattr(loaded, split).labels, getattr(written, split).labels)


def test_the_same_input_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name in ("first", "second"):
        prepare(tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["card.json", "test.safetensors", "train.safetensors", "val.safetensors"]
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    other = split_validation(make_images(), size=8, seed=4)[1]
    assert content_sha256(other) != load_card(tmp_path / "first").sha256["val"]


def test_the_hash_sees_pixels_labels_order_and_shape() -> None:
    images = make_images(6)
    wide = ImageSet(images=images.images.reshape(6, 1, 6, 5), labels=images.labels)
    other_labels = ImageSet(images=images.images, labels=images.labels[::-1].copy())
    other_pixels = ImageSet(images=images.images ^ np.uint8(1), labels=images.labels)
    variants = [images, wide, other_labels, other_pixels, take(images, np.arange(6)[::-1])]
    assert len({content_sha256(variant) for variant in variants}) == len(variants)
    by_hand = hashlib.sha256(
        b"(6, 1, 5, 6)" + images.labels.astype("<i8").tobytes() + images.images.tobytes()
    )
    assert content_sha256(images) == by_hand.hexdigest()


def test_a_failed_second_run_leaves_the_first_result(tmp_path: Path) -> None:
    card = prepare(tmp_path / "tiny")
    with pytest.raises(DataError, match="labels 0 … 9"):
        prepare(tmp_path / "tiny", train=make_images(num_classes=10))
    assert load_prepared(tmp_path / "tiny").card == card
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_second_result_replaces_the_first_whole(tmp_path: Path) -> None:
    prepare(tmp_path / "tiny")
    (tmp_path / "tiny" / "stale").touch()
    prepare(tmp_path / "tiny", validation_size=4)
    assert len(load_split(tmp_path / "tiny", "val")) == 4
    assert not (tmp_path / "tiny" / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_place_that_cannot_be_written_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        prepare(tmp_path / "file" / "tiny")


@pytest.mark.parametrize(
    "name", ["card.json", "train.safetensors", "val.safetensors", "test.safetensors"]
)
def test_a_missing_file_names_the_command(name: str, tmp_path: Path) -> None:
    prepare(tmp_path / "tiny")
    (tmp_path / "tiny" / name).unlink()
    with pytest.raises(DataError, match=rf"{name}.*pipeline preprocess data=image_folder"):
        load_prepared(tmp_path / "tiny")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip_last_pixel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _other_shape(path: Path) -> None:
    save_file({"images": np.zeros((3, 1, 2, 2), np.uint8), "labels": np.zeros(3, np.int64)}, path)


def _other_dtype(path: Path) -> None:
    save_file(
        {"images": np.zeros((12, 1, 5, 6), np.float32), "labels": np.zeros(12, np.int64)}, path
    )


def _no_labels(path: Path) -> None:
    save_file({"images": np.zeros((12, 1, 5, 6), np.uint8)}, path)


@pytest.mark.parametrize(
    "damage", [_truncate, _flip_last_pixel, _other_shape, _other_dtype, _no_labels]
)
def test_a_damaged_split_is_refused(damage: object, tmp_path: Path) -> None:
    prepare(tmp_path / "tiny")
    assert callable(damage)
    damage(tmp_path / "tiny" / "test.safetensors")
    with pytest.raises(DataError, match=r"test\.safetensors.*preprocess data=image_folder"):
        load_prepared(tmp_path / "tiny")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"image_shape": 3}', "null", "\x00"], ids=repr)
def test_a_damaged_card_is_refused(text: str, tmp_path: Path) -> None:
    prepare(tmp_path / "tiny")
    (tmp_path / "tiny" / "card.json").write_text(text)
    with pytest.raises(DataError, match=r"not a valid DataCard.*preprocess data=image_folder"):
        load_card(tmp_path / "tiny")


@pytest.mark.parametrize("field", ["class_counts", "sha256"])
def test_a_card_that_lacks_a_split_is_refused(field: str, tmp_path: Path) -> None:
    prepare(tmp_path / "tiny")
    path = tmp_path / "tiny" / "card.json"
    fields = fields_of(path)
    del fields[field]["val"]
    write_fields(path, fields)
    with pytest.raises(DataError, match=f"{field} must have the splits train, val, test"):
        load_card(tmp_path / "tiny")


def test_the_card_is_plain_json_in_a_fixed_order(tmp_path: Path) -> None:
    card = prepare(tmp_path / "tiny")
    by_hand = json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False) + "\n"
    digest = hashlib.sha256(by_hand.encode()).hexdigest()
    with_hash = by_hand.removesuffix("\n}\n") + f',\n  "file_sha256": "{digest}"\n}}\n'
    assert (tmp_path / "tiny" / "card.json").read_text() == with_hash


def test_a_card_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path / "tiny")
    path = tmp_path / "tiny" / "card.json"
    write_fields(path, {**fields_of(path), "extra": 1})
    with pytest.raises(DataError, match="extra"):
        load_card(tmp_path / "tiny")


def test_images_of_different_shapes_are_refused() -> None:
    train, other = make_images(), make_images(12, channels=3)
    with pytest.raises(DataError, match=r"test part.*must agree"):
        build_prepared(
            train, train, other, name="x", class_names=DIGITS, split_seed=0, baselines={}
        )
