"""Under which names other frameworks log our curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Curve → names, in the order in which they are preferred. Case, spaces and the separators /, -, . and _
# do not matter.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "train/cross_entropy": ("train/cross_entropy",),
    "val/cross_entropy": ("val/cross_entropy",),
    "train/objective": ("train/objective",),
    "train/loss": (
        *("train/loss", "training_loss", "train_loss_epoch", "train/loss_epoch", "epoch_train_loss", "loss"),
        *("loss_train", "tr_loss"),
    ),
    "val/loss": (
        *("val/loss", "valid_loss", "validation_loss", "val_loss_epoch", "valid/loss", "eval_loss"),
        *("dev_loss", "loss_val", "test_loss"),
    ),
    "train/accuracy": (
        *("train/accuracy", "training_accuracy", "train_acc", "train_accuracy_epoch", "train_acc_epoch"),
        *("accuracy", "acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy"),
    ),
    "val/accuracy": (
        *("val/accuracy", "validation_accuracy", "valid_accuracy", "val_acc", "valid_acc", "eval_accuracy"),
        *("val_accuracy_epoch", "val_acc_epoch", "val_sparse_categorical_accuracy"),
        *("val_categorical_accuracy", "val_binary_accuracy", "dev_accuracy"),
    ),
    "learning_rate": ("learning_rate", "lr", "lr_adam", "lr_sgd", "train/lr", "train/learning_rate"),
}
EPOCH = frozenset({"epoch", "epochs"})


def plain(name: str) -> str:
    """A name without what differs between frameworks."""
    return "".join(c for c in name.strip().lower() if c.isalnum())


def matched(names: Iterable[str]) -> dict[str, str]:
    """Curve → the name that stands for it, of these names."""
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(plain(name), name)
    found: dict[str, str] = {}
    for curve, known in SYNONYMS.items():
        for synonym in known:
            if plain(synonym) in by_plain:
                found[curve] = by_plain[plain(synonym)]
                break
    return found
