"""The nearest known name for a mistyped word, also for words that other tools use."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# More names than this are not listed: only those that look alike.
MOST_LISTED = 40

# Words of other tools, and the setting or group (``model=``) that means the same here.
OTHER_WORDS: dict[str, str] = {
    "accelerator": "trainer.accelerator",
    "accumulate_grad_batches": "trainer.extra={accumulate_grad_batches: …}",
    "amp": "precision=",
    "arch": "model=",
    "architecture": "model=",
    "aug": "augment=",
    "augmentation": "augment=",
    "augmentations": "augment=",
    "backbone": "model=",
    "batch": "data.batch_size",
    "callback": "callbacks=",
    "batchsize": "data.batch_size",
    "bs": "data.batch_size",
    "criterion": "loss=",
    "dataset": "data=",
    "device": "trainer.accelerator",
    "early_stopping": "trainer.early_stopping_patience",
    "epochs": "trainer.max_epochs",
    "experiment_name": "tracking.experiment",
    "fp16": "precision=",
    "gpu": "trainer.accelerator",
    "gpus": "trainer.devices",
    "grad_clip": "trainer.gradient_clip_norm",
    "gradient_clip_val": "trainer.gradient_clip_norm",
    "hidden": "model.width",
    "hidden_dim": "model.width",
    "hidden_size": "model.width",
    "hidden_units": "model.width",
    "jobs": "n_jobs",
    "l1_lambda": "penalty.l1",
    "l2_lambda": "penalty.l2",
    "launcher": "hydra/launcher=",
    "layers": "model.depth",
    "lr": "optimizer.learning_rate",
    "lr_scheduler": "schedule=",
    "max_steps": "trainer.extra={max_steps: …}",
    "max_norm": "trainer.gradient_clip_norm",
    "n_epochs": "trainer.max_epochs",
    "net": "model=",
    "network": "model=",
    "num_epochs": "trainer.max_epochs",
    "num_layers": "model.depth",
    "num_trials": "n_trials",
    "num_workers": "trainer.num_threads",
    "optim": "optimizer=",
    "p": "model.dropout",
    "patience": "trainer.early_stopping_patience",
    "pruner": "hydra/sweeper/pruner=",
    "random_seed": "seed",
    "random_state": "seed",
    "regularization": "penalty=",
    "run_name": "name",
    "sampler": "hydra/sweeper/sampler=",
    "scheduler": "schedule=",
    "search_space": "hydra.sweeper.params",
    "smoothing": "loss.label_smoothing",
    "threads": "trainer.num_threads",
    "train_size": "data.fraction",
    "trials": "n_trials",
    "units": "model.width",
    "validation_split": "data.validation_size",
    "val_size": "data.validation_size",
    "wd": "optimizer.weight_decay",
    "workers": "trainer.num_threads",
}


def nearest(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return a sentence that suggests the nearest of the known names, and lists them.

    prefix: stands before the suggestion. Of many names, only those that look alike are listed.
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f". Did you mean {prefix}{close[0]}?" if close else "."
    if len(names) > MOST_LISTED:
        alike = difflib.get_close_matches(word, names, n=8, cutoff=0.0)
        return f"{hint} Alike: {', '.join(alike)}, …"
    return f"{hint} Known: {', '.join(names)}" if names else hint


def suggested_key(key: str, known: Iterable[str]) -> str | None:
    """Return the setting or group (``model=``) that a mistyped key most likely means, or None.

    known: the dotted keys of a configuration, and its groups with ``=`` at their end. A key with
    the same last part comes first (``dropout`` → ``model.dropout``), then other tools' words, then
    the spelling.
    """
    names = sorted({*known} - {key})
    last = key.rpartition(".")[2]
    same = [name for name in names if name.rpartition(".")[2] == last]
    if len(same) == 1:
        return same[0]
    if last in OTHER_WORDS:
        return OTHER_WORDS[last]
    section = key.rpartition(".")[0]
    beside = [name for name in names if name.rpartition(".")[0] == section]
    for candidates in (beside, names):
        if close := difflib.get_close_matches(key, candidates, n=1, cutoff=0.6):
            return close[0]
    by_last = {name.rpartition(".")[2]: name for name in names}
    close = difflib.get_close_matches(last, by_last, n=1, cutoff=0.75)
    if close:
        return by_last[close[0]]
    return OTHER_WORDS.get(section.rpartition(".")[2])  # for `search_space.<key>`
