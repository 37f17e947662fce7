"""Train the planted runs, and ask the oracle which of them are sick.

    python benchmarks/planted_runs.py tune --jobs 2            # what is missing of a part
    python benchmarks/planted_runs.py report --oracle          # and the remedies of each fault
    python benchmarks/planted_runs.py report --only overfitting --models mlp --seeds 5
    python benchmarks/planted_runs.py pictures --case over_regularized-1-resnet-coloured \\
        --remedy trainer.max_epochs=16 --pairs 7   # is the verdict right that it got instead?

A run leaves `history.csv`, `signals.safetensors` and `run.json` in
`benchmarks/runs/<hash of its overrides>/`. The last file holds settings, baselines, and the loss
on the test part. A run is never trained twice; a kill loses only the run that was being trained.
Images are MNIST and Fashion-MNIST at 14x14 pixels (2x2 means), 4,000 of them for training. The part
`pictures` has MNIST's digits on coloured backgrounds: 10x10 pixels, 2,000 for training.

The oracle counts a fault where a remedy lowers the test loss by 5 % at least, beyond noise: the
95 % interval of the paired t distribution lies above 0 over five seeds (ten for `planted.UNEVEN`,
three on `pictures`). The remedies of a fault are tried in their order, until one helps. A planted
run without harm is healthy.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from planted import (
    DATA,
    MODELS,
    MODELS_OF_PICTURES,
    NUM_PAIRS,
    PARTS,
    Overrides,
    PlantedRun,
    merged,
    paired_seeds,
    plans,
)

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "runs"
sys.path.insert(0, str(ROOT / "src"))

NUM_TRAIN, NUM_VAL, NUM_TEST = 4000, 1000, 5000
COLOURED_TRAIN, COLOURED_MARGIN = 2000, 2  # images; pixels of 14x14 that are cut at each side
MATERIAL = 0.05  # least relative gain of the test loss that makes a fault worth a name
COMMON: Overrides = (
    *("tracking=none", "trainer.accelerator=cpu", "trainer.precision=32", "trainer.num_threads=1"),
    *("data.batch_size=64", f"trainer.sample_size={NUM_VAL}", f"signals.sample_size={NUM_VAL}"),
)


@cache
def small(dataset: str) -> Any:
    """The images of every run: 4,000 or 2,000 training, 1,000 validation, 5,000 test."""
    from pipeline.data.baselines import fit_baselines
    from pipeline.data.prepare import build_prepared, take
    from pipeline.data.split import stratified_fraction
    from pipeline.data.store import load_prepared

    in_colour = dataset == "coloured"
    source, num_train = ("mnist", COLOURED_TRAIN) if in_colour else (dataset, NUM_TRAIN)
    whole = load_prepared(ROOT / "data" / "processed" / source)
    train, val, test = (
        halved(take(part, stratified_fraction(part.labels, fraction=number / len(part), seed=0)))
        for part, number in ((whole.train, num_train), (whole.val, NUM_VAL), (whole.test, NUM_TEST))
    )
    if in_colour:
        train, val, test = (coloured(p, seed=i) for i, p in enumerate((train, val, test)))
    return build_prepared(
        train,
        val,
        test,
        name=dataset,
        class_names=whole.card.class_names,
        split_seed=whole.card.split_seed,
        baselines=fit_baselines(train, val, num_classes=whole.card.num_classes, seed=0),
    )


def halved(part: Any) -> Any:
    """Mean of 2x2 pixels, rounded."""
    n, c, height, width = part.images.shape
    fours = part.images.reshape(n, c, height // 2, 2, width // 2, 2).astype(np.uint16).sum((3, 5))
    return replace(part, images=((fours + 2) // 4).astype(np.uint8))


def coloured(part: Any, *, seed: int) -> Any:
    """Digits in ink of any bright colour, on a darker background whose colours run, with noise."""
    from scipy.ndimage import zoom

    generator = np.random.default_rng(seed)
    inner = slice(COLOURED_MARGIN, -COLOURED_MARGIN)
    strokes = part.images[..., inner, inner] / 255
    count, _, height, width = strokes.shape
    corners = generator.uniform(0, 160, (count, 3, 2, 2))
    background = zoom(corners, (1, 1, height / 2, width / 2), order=1)
    ink = generator.uniform(120, 255, (count, 3, 1, 1))
    pixels = background + strokes * (ink - background) + generator.normal(0, 15, background.shape)
    return replace(part, images=np.rint(pixels.clip(0, 255)).astype(np.uint8))


def overrides_of(plan: PlantedRun, extra: Sequence[str] = ()) -> list[str]:
    """All overrides of a plan's run, each key once."""
    data = DATA.get(plan.dataset, (f"data={plan.dataset}",))
    return merged(*COMMON, *data, f"seed={plan.seed}", *plan.overrides, *extra)


def folder_of(overrides: Sequence[str]) -> Path:
    """Where a run lies: equal overrides are one run, whatever they were made for."""
    return FOLDER / hashlib.sha256(json.dumps(sorted(overrides)).encode()).hexdigest()[:16]


def trained(overrides: Sequence[str]) -> dict[str, Any]:
    """Train a run, or read what an earlier call left; return its `run.json`.

    ``test_loss`` is the mean cross-entropy on the test part; of a run that diverged it is None.
    """
    folder = folder_of(overrides)
    path = folder / "run.json"
    if path.is_file():
        return dict(json.loads(path.read_text()))
    from pipeline.config import compose
    from pipeline.evaluation.signal_file import FILE_NAME, write_signals
    from pipeline.evaluation.tables import write_history_csv
    from pipeline.files import write_atomically
    from pipeline.runs.network import untrained_network
    from pipeline.runs.train_once import TrainedRun, train_once
    from pipeline.training.fit import Diverged

    config = compose(list(overrides), root=ROOT)
    prepared = small(config.settings.data.name)
    started, loss, accuracy, kept = time.perf_counter(), None, None, None
    network = untrained_network(config.settings, prepared.card, root=ROOT)
    run: TrainedRun | Diverged
    try:
        run = train_once(network, prepared, config)
        loss, accuracy = tested(run.network, prepared)
        kept = run.kept.epoch
    except Diverged as error:
        run = error
    card = prepared.card
    summary = {
        "overrides": list(overrides),
        "settings": config.values,
        "kept_epoch": kept,
        "baselines": {name: asdict(baseline) for name, baseline in card.baselines.items()},
        "class_prior_entropy": card.class_prior_entropy,
        "test_loss": loss,
        "test_accuracy": accuracy,
        "seconds": round(time.perf_counter() - started, 2),
    }
    write_history_csv(folder / "history.csv", run.history)
    write_signals(folder / FILE_NAME, run.signals)
    # Written last: where it exists, the run is complete.
    write_atomically(path, json.dumps(summary, indent=1).encode())
    return summary


def tested(network: Any, prepared: Any) -> tuple[float | None, float]:
    """Mean cross-entropy (None where it is not finite) and accuracy on the test part."""
    from pipeline.models.inference import predict_logits

    card, test = prepared.card, prepared.test
    logits = predict_logits(network, test.images, mean=card.mean, std=card.std).astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(test)), test.labels]
    loss = float(losses.mean())
    return loss if math.isfinite(loss) else None, float((logits.argmax(1) == test.labels).mean())


# --- the oracle -----------------------------------------------------------------------------------


def paired_runs(
    plan: PlantedRun, remedy: Overrides, seeds: Sequence[int] = ()
) -> Iterator[tuple[list[str], list[str]]]:
    """Overrides of the run as planted and with a remedy, for each seed over which it is judged."""
    for seed in seeds or paired_seeds(plan):
        twin = replace(plan, seed=seed)
        yield overrides_of(twin), overrides_of(twin, remedy)


def oracle(plan: PlantedRun, remedy: Overrides, seeds: Sequence[int] = ()) -> dict[str, Any]:
    """Whether a remedy lowers the test loss of a planned run beyond noise, over paired seeds.

    seeds: in place of `paired_seeds`.

    Returns ``losses`` ``[n, 2]``, ``improvement`` (mean of the paired differences, nats), its 95 %
    interval ``low … high``, ``relative`` (to the loss as planted) and ``helps``.
    """
    losses = [
        [guessing(trained(o)["test_loss"]) for o in pair]
        for pair in paired_runs(plan, remedy, seeds)
    ]
    return {"remedy": remedy, "losses": losses, **paired(np.array(losses))}


def sick(plan: PlantedRun) -> bool:
    """Whether one of the remedies of what was planted helps."""
    return any(oracle(plan, remedy)["helps"] for remedy in plan.remedies)


def guessing(loss: float | None, *, num_classes: int = 10) -> float:
    """The loss, at most that of guessing: no one uses a model that is worse."""
    return math.log(num_classes) if loss is None else min(loss, math.log(num_classes))


def paired(losses: np.ndarray) -> dict[str, Any]:
    """The mean gain of the second column over the first ``[n, 2]`` with its 95 % t interval."""
    gains = losses[:, 0] - losses[:, 1]
    spread = float(gains.std(ddof=1)) / math.sqrt(len(gains))
    reach = float(stats.t.ppf(0.975, len(gains) - 1)) * spread
    mean = float(gains.mean())
    relative = mean / float(losses[:, 0].mean())
    return {
        "improvement": mean,
        "low": mean - reach,
        "high": mean + reach,
        "relative": relative,
        "helps": mean - reach > 0 and relative >= MATERIAL,
    }


# --- many runs ------------------------------------------------------------------------------------


def train_all(wanted: Sequence[Sequence[str]], *, jobs: int) -> None:
    """Train the missing runs in several processes of one thread, and report each as it ends."""
    missing = list(
        {
            str(folder_of(o)): list(o) for o in wanted if not (folder_of(o) / "run.json").is_file()
        }.values()
    )
    print(f"{len(wanted)} runs, {len(missing)} to train", flush=True)
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=step_back) as pool:
        for number, told in enumerate(pool.imap_unordered(trained, missing), start=1):
            loss = "diverged" if told["test_loss"] is None else f"test loss {told['test_loss']:.3f}"
            print(f"{number}/{len(missing)} {loss}, {told['seconds']} s", flush=True)


def step_back() -> None:
    """Lower the priority of this process to 10, if it is not lower already."""
    os.nice(max(0, 10 - os.nice(0)))


def ask_oracle(chosen: Sequence[PlantedRun], *, jobs: int, reverse: bool) -> None:
    """Train the remedies of each case in their order, until one helps, and report what they do."""
    cases = {p.case: p for p in chosen if p.remedies}
    for place in range(max((len(p.remedies) for p in cases.values()), default=0)):
        asked = [(p, p.remedies[place]) for p in cases.values() if len(p.remedies) > place]
        wanted = [o for p, remedy in asked for pair in paired_runs(p, remedy) for o in pair]
        train_all(wanted[::-1] if reverse else wanted, jobs=jobs)
        for plan, remedy in asked:
            if tell_effect(plan, remedy):
                del cases[plan.case]


def tell_effect(plan: PlantedRun, remedy: Overrides, seeds: Sequence[int] = ()) -> bool:
    """Print what a remedy does to a case; return whether it helps."""
    effect = oracle(plan, remedy, seeds)
    verdict = "helps" if effect["helps"] else "does not help"
    interval = f"({effect['low']:.3f} … {effect['high']:.3f})"
    print(
        f"{plan.case}, {' '.join(remedy)}: {verdict}, gain {effect['improvement']:.3f} "
        f"{interval}, {effect['relative']:.0%}",
        flush=True,
    )
    return bool(effect["helps"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--only", nargs="*", default=[], help="verdicts")
    parser.add_argument("--models", nargs="*", default=[*MODELS, *MODELS_OF_PICTURES])
    parser.add_argument("--datasets", nargs="*", default=[])
    parser.add_argument("--seeds", nargs="*", type=int, default=[])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--reverse", action="store_true", help="the last first, beside another process"
    )
    parser.add_argument(
        "--oracle",
        action="store_true",
        help="also train remedies until one helps, over paired seeds",
    )
    parser.add_argument("--case", help="ask about a remedy of this case only: what a verdict says")
    parser.add_argument("--remedy", nargs="*", default=[], help="overrides")
    parser.add_argument("--pairs", type=int, default=NUM_PAIRS, help="from the first seed on")
    options = parser.parse_args()
    if options.case:
        plan = next(p for p in plans(options.part) if p.case == options.case)
        tell_effect(plan, tuple(options.remedy), seeds=range(plan.seed, plan.seed + options.pairs))
        return
    chosen = [
        p
        for p in plans(options.part)
        if (not options.only or p.verdict in options.only)
        and p.model in options.models
        and (not options.datasets or p.dataset in options.datasets)
        and (not options.seeds or p.seed in options.seeds)
    ]
    wanted = [overrides_of(p) for p in chosen]
    train_all(wanted[::-1] if options.reverse else wanted, jobs=options.jobs)
    if options.oracle:
        ask_oracle(chosen, jobs=options.jobs, reverse=options.reverse)


if __name__ == "__main__":
    main()
