"""Train the planted runs, and ask the oracle which of them are sick.

    python benchmarks/planted_runs.py tune --jobs 2            # what is missing of a part
    python benchmarks/planted_runs.py report --oracle          # and the remedies of each fault
    python benchmarks/planted_runs.py report --only overfitting --models mlp --seeds 5

A run leaves `history.csv`, `signals.safetensors` and `run.json` (settings, baselines, the loss on the
test part) in `benchmarks/runs/<hash of its overrides>/`, and is never trained twice: a kill loses the
run that was in work. Images are MNIST and Fashion-MNIST at 14x14 pixels (2x2 means), 4,000 to train on.

The oracle: a fault counts where a remedy lowers the test loss in five paired seeds (ten for `planted.UNEVEN`
where the part has them) beyond noise (95 % interval of the paired t distribution above 0) and by 5 % at
least; a planted run without harm is healthy.
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

from planted import MODELS, PARTS, Overrides, Plan, merged, paired_seeds, plans

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "runs"
sys.path.insert(0, str(ROOT / "src"))

NUM_TRAIN, NUM_VAL, NUM_TEST = 4000, 1000, 5000
MATERIAL = 0.05  # least relative gain of the test loss that makes a fault worth a name
COMMON: Overrides = (
    *("tracking=none", "trainer.accelerator=cpu", "trainer.precision=32", "trainer.num_threads=1"),
    *("data.batch_size=64", f"trainer.probe_size={NUM_VAL}", f"signals.probe_size={NUM_VAL}"),
)


@cache
def small(dataset: str) -> Any:
    """4,000 training, 1,000 validation and 5,000 test images of 14x14 pixels, the same for every run."""
    from pipeline.data.baselines import fit_baselines
    from pipeline.data.prepare import build_prepared, take
    from pipeline.data.split import stratified_fraction
    from pipeline.data.store import load_prepared

    whole = load_prepared(ROOT / "data" / "processed" / dataset)
    train, val, test = (
        halved(take(part, stratified_fraction(part.labels, fraction=number / len(part), seed=0)))
        for part, number in ((whole.train, NUM_TRAIN), (whole.val, NUM_VAL), (whole.test, NUM_TEST))
    )
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


def overrides_of(plan: Plan, extra: Sequence[str] = ()) -> list[str]:
    """All overrides of a plan's run, each key once."""
    return merged(*COMMON, f"data={plan.dataset}", f"seed={plan.seed}", *plan.overrides, *extra)


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
    from pipeline.models.build import build_network
    from pipeline.stages.train import architecture
    from pipeline.training.fit import Diverged, fit

    settings, values = compose(list(overrides), root=ROOT)
    prepared = small(settings.data.name)
    started, loss, accuracy, kept = time.perf_counter(), None, None, None
    try:
        network = build_network(architecture(settings, prepared.card), seed=settings.seed)
        result: Any = fit(network, prepared, settings=settings, show_progress=False)
        loss, accuracy = tested(result.network, prepared)
        kept = result.kept_epoch
    except Diverged as error:
        result = error
    card = prepared.card
    told = {
        "overrides": list(overrides),
        "settings": values,
        "kept_epoch": kept,
        "baselines": {name: asdict(baseline) for name, baseline in card.baselines.items()},
        "class_prior_entropy": card.class_prior_entropy,
        "test_loss": loss,
        "test_accuracy": accuracy,
        "seconds": round(time.perf_counter() - started, 2),
    }
    write_history_csv(folder / "history.csv", result.history)
    write_signals(folder / FILE_NAME, result.signals)
    write_atomically(path, json.dumps(told, indent=1).encode())  # the last: it says that the run is whole
    return told


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


def paired_runs(plan: Plan, remedy: Overrides) -> Iterator[tuple[list[str], list[str]]]:
    """Overrides of the run as planted and with a remedy, for each seed over which it is judged."""
    for seed in paired_seeds(plan):
        twin = replace(plan, seed=seed)
        yield overrides_of(twin), overrides_of(twin, remedy)


def oracle(plan: Plan, remedy: Overrides) -> dict[str, Any]:
    """Whether a remedy lowers the test loss of a planned run beyond noise, over paired seeds.

    Returns ``losses`` ``[n, 2]``, ``improvement`` (mean of the paired differences, nats), its 95 %
    interval ``low … high``, ``relative`` (to the loss as planted) and ``helps``.
    """
    losses = [[guessing(trained(o)["test_loss"]) for o in pair] for pair in paired_runs(plan, remedy)]
    return {"remedy": remedy, "losses": losses, **paired(np.array(losses))}


def sick(plan: Plan) -> bool:
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
    """Train what is missing, each in turn, in several processes of one thread; tell each as it ends."""
    missing = list(
        {str(folder_of(o)): list(o) for o in wanted if not (folder_of(o) / "run.json").is_file()}.values()
    )
    print(f"{len(wanted)} runs, {len(missing)} to train", flush=True)
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=os.nice, initargs=(10,)) as pool:
        for number, told in enumerate(pool.imap_unordered(trained, missing), start=1):
            loss = "diverged" if told["test_loss"] is None else f"test loss {told['test_loss']:.3f}"
            print(f"{number}/{len(missing)} {loss}, {told['seconds']} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--only", nargs="*", default=[], help="verdicts")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--datasets", nargs="*", default=[])
    parser.add_argument("--seeds", nargs="*", type=int, default=[])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--reverse", action="store_true", help="the last first, beside another process")
    parser.add_argument("--oracle", action="store_true", help="also train the remedies, over paired seeds")
    options = parser.parse_args()
    chosen = [
        p
        for p in plans(options.part)
        if (not options.only or p.verdict in options.only)
        and p.model in options.models
        and (not options.datasets or p.dataset in options.datasets)
        and (not options.seeds or p.seed in options.seeds)
    ]
    wanted = [overrides_of(p) for p in chosen]
    if options.oracle:
        wanted += [o for p in chosen for r in p.remedies for pair in paired_runs(p, r) for o in pair]
    train_all(wanted[::-1] if options.reverse else wanted, jobs=options.jobs)
    if options.oracle:
        cases = {p.case: p for p in chosen if p.remedies}
        for case, plan in cases.items():
            for remedy in plan.remedies:
                found = oracle(plan, remedy)
                print(
                    f"{case}, {' '.join(remedy)}: {'helps' if found['helps'] else 'does not help'}, gain "
                    f"{found['improvement']:.3f} ({found['low']:.3f} … {found['high']:.3f}), {found['relative']:.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
