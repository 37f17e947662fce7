from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.augment import Affine
from pipeline.data.batches import (
    Batches,
    DeviceStore,
    EpochOrder,
    StreamStore,
    epoch_seed,
    fits,
    standardisation,
)
from pipeline.data.label_noise import shuffled_labels
from pipeline.data.store import load_split
from pipeline.records import ImageSet
from small_mnist import load_images, write_prepared

CPU = torch.device("cpu")
sizes = st.integers(1, 60)
batch_sizes = st.integers(1, 70)
worlds = st.integers(1, 4)


def order_of(
    count: int,
    batch_size: int = 8,
    *,
    shuffle: bool = True,
    seed: int = 0,
    epoch: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> EpochOrder:
    indices = torch.arange(100, 100 + count)  # not 0 … N: the order holds indices, not positions
    order = EpochOrder(
        indices, batch_size=batch_size, seed=seed, shuffle=shuffle, rank=rank, world_size=world_size
    )
    order.set_epoch(epoch)
    return order


def shown(order: EpochOrder) -> list[int]:
    return [int(i) for batch in order for i in batch]


@given(sizes, batch_sizes, st.booleans(), st.integers(0, 3))
def test_every_index_comes_once_an_epoch(
    count: int, batch_size: int, shuffle: bool, epoch: int
) -> None:
    order = order_of(count, batch_size, shuffle=shuffle, epoch=epoch)
    assert sorted(shown(order)) == list(range(100, 100 + count))


@given(sizes, batch_sizes, st.booleans(), worlds, st.data())
def test_the_length_agrees_with_the_iteration(
    count: int, batch_size: int, shuffle: bool, world_size: int, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(0, world_size - 1))
    order = order_of(count, batch_size, shuffle=shuffle, rank=rank, world_size=world_size)
    assert len(list(order)) == len(order)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert shown(order_of(50, seed=3, epoch=4)) == shown(order_of(50, seed=3, epoch=4))
    assert shown(order_of(50, seed=3, epoch=4)) != shown(order_of(50, seed=3, epoch=5))
    assert shown(order_of(50, seed=3, epoch=4)) != shown(order_of(50, seed=4, epoch=4))
    assert shown(order_of(50, shuffle=False, epoch=1)) == list(range(100, 150))


def test_the_order_does_not_depend_on_torchs_global_generator() -> None:
    torch.manual_seed(1)
    first = shown(order_of(50))
    torch.manual_seed(2)
    assert shown(order_of(50)) == first


@given(sizes, batch_sizes, worlds)
def test_shuffled_shards_are_equally_long_and_miss_nothing(
    count: int, batch_size: int, world_size: int
) -> None:
    shards = [order_of(count, batch_size, rank=r, world_size=world_size) for r in range(world_size)]
    seen = [shown(shard) for shard in shards]
    assert {len(s) for s in seen} == {-(-count // world_size)}
    assert len({len(shard) for shard in shards}) == 1, "gradients meet after every step"
    assert {i for s in seen for i in s} == set(range(100, 100 + count))


@given(sizes, batch_sizes, worlds)
def test_stored_order_is_partitioned_exactly(count: int, batch_size: int, world_size: int) -> None:
    seen: list[int] = []
    for rank in range(world_size):
        seen += shown(order_of(count, batch_size, shuffle=False, rank=rank, world_size=world_size))
    assert sorted(seen) == list(range(100, 100 + count))


@pytest.mark.parametrize(
    ("count", "batch_size", "lengths"),
    [
        pytest.param(9, 4, [4, 5], id="lone image joins the batch before"),
        pytest.param(10, 4, [4, 4, 2], id="two images are a batch"),
        pytest.param(8, 4, [4, 4], id="nothing left over"),
        pytest.param(1, 4, [1], id="one image in all has nowhere to go"),
        pytest.param(3, 1, [1, 1, 1], id="batches of one are wanted"),
    ],
)
def test_a_lone_last_image_is_merged(count: int, batch_size: int, lengths: list[int]) -> None:
    order = order_of(count, batch_size)
    assert [len(batch) for batch in order] == lengths
    assert len(order) == len(lengths)


def test_seeds_of_epochs_and_streams_do_not_meet() -> None:
    seeds = [epoch_seed(s, e, r) for s in range(20) for e in range(20) for r in range(5)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


# --- batches --------------------------------------------------------------------------------------


def coloured(count: int = 7) -> ImageSet:
    rng = np.random.default_rng(0)
    return ImageSet(
        images=rng.integers(0, 256, (count, 3, 9, 9), dtype=np.uint8),
        labels=rng.integers(0, 10, count),
    )


def batches_of(
    images: ImageSet, *, epoch: int = 0, store: str = "device", augmented: bool = False
) -> Batches:
    kind = DeviceStore if store == "device" else StreamStore
    order = EpochOrder(torch.arange(len(images)), batch_size=4, seed=0, shuffle=True)
    order.set_epoch(epoch)
    channels = images.images.shape[1]
    augmentation = (
        Affine(degrees=10.0, translate=0.1, scale=0.1, shear_degrees=5.0) if augmented else None
    )
    return Batches(
        kind(images, device=CPU),
        order=order,
        mean=[0.1, 0.5, 0.9][:channels],
        std=[0.2, 0.3, 0.4][:channels],
        device=CPU,
        augmentation=augmentation,
    )


@pytest.mark.parametrize("store", ["device", "stream"])
def test_batches_are_standardised_as_numpy_would(store: str) -> None:
    images = coloured()
    batches = batches_of(images, store=store)
    mean, std = (np.array(v).reshape(1, 3, 1, 1) for v in ([0.1, 0.5, 0.9], [0.2, 0.3, 0.4]))
    for index, (result, labels) in zip(batches.sampler, batches, strict=True):
        expected = (images.images[index.numpy()] / 255.0 - mean) / std
        assert result.dtype == torch.float32
        np.testing.assert_allclose(result.numpy(), expected, atol=2e-6)
        np.testing.assert_array_equal(labels.numpy(), images.labels[index.numpy()])


def test_an_identical_augmentation_changes_nothing_but_rounding() -> None:
    images = coloured()
    batches = batches_of(images)
    plain = [x for x, _ in batches]
    batches.augmentation = lambda x, generator: x
    for result, expected in zip((x for x, _ in batches), plain, strict=True):
        torch.testing.assert_close(result, expected, atol=2e-6, rtol=0)


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    shift, scale = standardisation([0.0], [0.0])
    assert torch.isfinite(shift).all() and torch.isfinite(scale).all()


@pytest.mark.parametrize("augmented", [False, True])
def test_streaming_from_a_mapped_file_gives_the_same_bits(tmp_path: Path, augmented: bool) -> None:
    write_prepared(tmp_path / "mnist", num_train=100)
    images = load_split(tmp_path / "mnist", "train")
    for epoch in range(2):
        resident = batches_of(images, epoch=epoch, augmented=augmented)
        streamed = batches_of(images, epoch=epoch, store="stream", augmented=augmented)
        for (a, b), (c, d) in zip(resident, streamed, strict=True):
            assert torch.equal(a, c) and torch.equal(b, d)


def test_augmentation_follows_from_seed_and_epoch() -> None:
    images = load_images("val")

    def pixels(epoch: int) -> torch.Tensor:
        return torch.cat([x for x, _ in batches_of(images, epoch=epoch, augmented=True)])

    def unaugmented(epoch: int) -> torch.Tensor:
        return torch.cat([x for x, _ in batches_of(images, epoch=epoch)])

    torch.manual_seed(1)
    first = pixels(3)
    torch.manual_seed(2)
    assert torch.equal(pixels(3), first)
    # Put back into the stored order, so that only the augmentation can differ.
    back = [torch.cat(list(batches_of(images, epoch=e).sampler)).argsort() for e in (3, 4)]
    assert torch.equal(unaugmented(3)[back[0]], unaugmented(4)[back[1]])
    assert not torch.equal(first[back[0]], pixels(4)[back[1]])


def test_channels_last_changes_the_layout_and_no_value() -> None:
    images = coloured()
    batches = batches_of(images)
    plain = [x for x, _ in batches]
    batches.memory_format = torch.channels_last
    for result, expected in zip((x for x, _ in batches), plain, strict=True):
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(result, expected)


def test_the_arrays_of_a_record_are_never_changed() -> None:
    images = coloured()
    before = images.images.copy()
    for batch, _ in batches_of(images, augmented=True):
        batch.zero_()
    np.testing.assert_array_equal(images.images, before)


def test_images_fit_or_not() -> None:
    images = coloured()
    assert fits(images, device=CPU)
    assert not fits(images, device=CPU, share=0.0)


# --- label noise ----------------------------------------------------------------------------------


def test_shuffled_labels_move_only_among_the_chosen_images() -> None:
    labels, among = np.arange(10).repeat(100), np.arange(0, 1000, 2)
    noisy = shuffled_labels(labels, among=among, share=0.4, seed=3)
    changed = np.flatnonzero(noisy != labels)
    assert set(changed) <= set(among)
    # Of 200 shuffled labels a tenth stays true by chance: 180 ± 4 (binomial standard deviation)
    assert 160 <= len(changed) <= 195
    np.testing.assert_array_equal(np.bincount(noisy), np.bincount(labels))
    np.testing.assert_array_equal(shuffled_labels(labels, among=among, share=0.4, seed=3), noisy)
    assert not np.array_equal(shuffled_labels(labels, among=among, share=0.4, seed=4), noisy)
    np.testing.assert_array_equal(shuffled_labels(labels, among=among, share=0.0, seed=3), labels)


# --- balanced sampling ----------------------------------------------------------------------------

FEW = torch.tensor([0] * 70 + [1] * 25 + [2] * 5)


def balanced(*, epoch: int = 0, rank: int = 0, world_size: int = 1) -> list[int]:
    order = EpochOrder(
        torch.arange(100, 200),
        batch_size=8,
        seed=0,
        shuffle=True,
        rank=rank,
        world_size=world_size,
        labels=FEW,
    )
    order.set_epoch(epoch)
    return shown(order)


def test_a_balanced_epoch_shows_every_class_equally_often() -> None:
    drawn = np.array(balanced()) - 100
    counts = np.bincount(FEW[drawn].numpy())
    assert len(drawn) == 100 and sorted(counts) == [33, 33, 34]
    # Of a small class each image comes six or seven times; of a large one no image comes twice.
    times = np.bincount(drawn, minlength=100)
    assert set(times[95:]) <= {6, 7} and times[:70].max() == 1


def test_balanced_epochs_differ_and_show_all_images_in_time() -> None:
    assert balanced(epoch=1) != balanced(epoch=2) and balanced(epoch=1) == balanced(epoch=1)
    assert {i for epoch in range(12) for i in balanced(epoch=epoch)} == set(range(100, 200))


def test_processes_share_a_balanced_epoch() -> None:
    parts = [balanced(rank=rank, world_size=3) for rank in range(3)]
    assert {len(part) for part in parts} == {34}
    whole = np.concatenate(parts)
    assert max(np.bincount(FEW[whole - 100].numpy())) <= 36
