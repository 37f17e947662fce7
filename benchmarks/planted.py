"""Runs with a planted fault, and healthy ones: the material on which the diagnosis is tuned and judged.

    python benchmarks/planted.py tune                      # train what is missing of a part
    python benchmarks/planted.py tune --oracle             # and whether each fault's remedy helps
    python benchmarks/planted.py report --only overfitting --models mlp

For each verdict a way to plant it, at three severities, in three networks, over seeds; and healthy
runs over a wide band of settings. A run leaves `history.csv`, `signals.safetensors` and `run.json`
(what was planted, the settings, the loss on the test part) in `benchmarks/planted/<part>/<id>/`; what
lies there already is not trained again. The part `tune` is for choosing rules, `report` (other seeds,
and another data set) for judging them, and must not be looked at before.

What was planted is a claim. The oracle decides: a fault counts where a remedy lowers the test loss in
paired seeds beyond noise (95 % interval of the paired t distribution above 0); without harm it is healthy.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "planted"
sys.path.insert(0, str(ROOT / "src"))

Overrides = tuple[str, ...]
MODELS = ("mlp", "cnn", "lstm")
NUM_TRAIN, NUM_VAL, NUM_TEST = 4000, 1000, 5000
PARTS = {
    "tune": [("mnist", seed) for seed in range(5)],
    "report": [("mnist", seed) for seed in (5, 6)] + [("fashion_mnist", seed) for seed in (10, 11, 12)],
}
HEALTHY_PER_SEED = 8
# Epochs that each network takes to converge on 4,000 images with its own settings.
EPOCHS = {"mlp": 12, "cnn": 10, "lstm": 12}
BASE: dict[str, Overrides] = {
    "mlp": ("model=mlp", "model.width=128", "model.dropout=0.3", "optimizer.learning_rate=1e-3"),
    "cnn": (
        "model=cnn",
        "model.width=8",
        "model.dense=64",
        "model.dropout=0.3",
        "optimizer.learning_rate=2e-3",
    ),
    "lstm": ("model=lstm", "init=default", "model.width=48", "optimizer.learning_rate=4e-3"),
}
RATE = {"mlp": 1e-3, "cnn": 2e-3, "lstm": 4e-3}
COMMON: Overrides = (
    *("tracking=none", "trainer.accelerator=cpu", "trainer.precision=32", "trainer.num_threads=1"),
    *("data.batch_size=64", f"trainer.probe_size={NUM_VAL}", "signals.probe_size=2000"),
)


@dataclass(frozen=True)
class Plan:
    """One run.

    verdict: what was planted, or healthy.  severity: 1 … 3, of healthy runs the number of their variant.
    overrides: everything beyond `COMMON`, but the data set and the seed.
    remedies: overrides to add, each of which ought to mend the fault.
    """

    part: str
    verdict: str
    severity: int
    model: str
    dataset: str
    seed: int
    overrides: Overrides
    remedies: tuple[Overrides, ...] = ()

    @property
    def id(self) -> str:
        """Name of its folder."""
        return f"{self.verdict}-{self.severity}-{self.model}-{self.dataset}-s{self.seed}"

    @property
    def folder(self) -> Path:
        return FOLDER / self.part / self.id


# --- what is planted ------------------------------------------------------------------------------


def faults(model: str) -> dict[str, tuple[list[Overrides], tuple[Overrides, ...]]]:
    """Verdict → (overrides at three severities, remedies). A later override of a key wins."""
    epochs, rate = EPOCHS[model], RATE[model]
    wide = {"mlp": 512, "cnn": 24, "lstm": 96}[model]
    calm = "optimizer.learning_rate"
    base_width = next(o for o in BASE[model] if o.startswith("model.width"))
    return {
        "overfitting": (
            [
                (
                    f"data.fraction={share}",
                    "model.dropout=0.0",
                    f"model.width={wide}",
                    _epochs(times * epochs),
                )
                for share, times in ((0.4, 2), (0.2, 3), (0.08, 6))
            ],
            (
                ("trainer.early_stopping_patience=3", "trainer.keep=best"),
                ("augment=affine",),
                ("model.dropout=0.5",),
                ("data.fraction=1.0",),
            ),
        ),
        "underfitting": (
            [
                (f"model.width={w}", "model.dropout=0.0", *_small(model), _epochs(2 * epochs))
                for w in (4, 3, 2)
            ],
            ((base_width, *_small(model, back=True)),),
        ),
        "undertrained": (
            [
                (_epochs(2), f"{calm}={rate / 2}"),
                (_epochs(1), f"{calm}={rate / 2}"),
                (_epochs(1), f"{calm}={rate / 4}", "data.batch_size=256"),
            ],
            ((_epochs(epochs),),),
        ),
        "over_regularized": (
            [("penalty.l2=0.01",), ("model.dropout=0.9", *_depth_for_dropout(model)), ("penalty.l2=0.1",)],
            (("penalty=none", "model.dropout=0.0"), ("penalty=none", "model.dropout=0.2")),
        ),
        "learning_rate_too_high": (
            [(f"{calm}={rate * f}",) for f in (10, 30, 100)],
            ((f"{calm}={rate}",), (f"{calm}={rate / 3}",)),
        ),
        "learning_rate_too_low": (
            [(f"{calm}={rate / f}",) for f in (30, 100, 1000)],
            ((f"{calm}={rate}",), (f"{calm}={rate / 3}",)),
        ),
        "vanishing_gradients": (_vanishing(model), _against_vanishing(model)),
        "exploding_gradients": (_exploding(model), _against_exploding(model)),
        "dead_units": (_dead(model), _against_dead(model)),
        "not_learning": (
            [("data.label_noise=1.0",), ("init=zeros",), ("init=zeros", "optimizer=sgd")],
            (("data.label_noise=0.0", *_started(model)),),
        ),
        "label_noise": (
            # A tenth of the shuffled labels stays true by chance: 20, 30 and 40 % are wrong.
            [(f"data.label_noise={s}", _epochs(2 * epochs)) for s in (0.22, 0.33, 0.44)],
            (
                ("data.label_noise=0.0",),
                ("trainer.early_stopping_patience=3", "trainer.keep=best"),
                ("loss=label_smoothing",),
            ),
        ),
    }


def _epochs(count: int) -> str:
    return f"trainer.max_epochs={count}"


def _small(model: str, *, back: bool = False) -> Overrides:
    """What is narrow beside the width."""
    return {"mlp": (), "cnn": ("model.dense=64" if back else "model.dense=4",), "lstm": ()}[model]


def _depth_for_dropout(model: str) -> Overrides:
    return ("model.block_dropout=0.5",) if model == "cnn" else ("model.depth=2",)


def _started(model: str) -> Overrides:
    return ("init=default",) if model == "lstm" else ("init=he",)


def _deep(model: str, depth: int) -> Overrides:
    if model == "mlp":
        return (f"model.depth={depth}", "model.dropout=0.0", "model.width=64")
    return (f"model.convs_per_block={depth // 2}", "model.padding=same", "model.dropout=0.0")


def _vanishing(model: str) -> list[Overrides]:
    if model == "lstm":  # the plain recurrence in its place: gates are the remedy
        return [
            ("model=rnn", "model.nonlinearity=tanh", "init=normal", f"init.std={std}", "model.width=48")
            for std in (0.05, 0.02, 0.005)
        ]
    return [(*_deep(model, d), "activation=sigmoid", "init=xavier") for d in (8, 12, 18)]


def _against_vanishing(model: str) -> tuple[Overrides, ...]:
    if model == "lstm":
        return ("init=orthogonal",), ("model=lstm", "init=default")
    return ("activation=relu", "init=he"), ("model.normalization=batch",)


def _exploding(model: str) -> list[Overrides]:
    if model == "lstm":
        return [
            ("model=rnn", "model.nonlinearity=relu", "init=orthogonal", f"init.gain={gain}", "model.width=48")
            for gain in (1.3, 1.6, 2.0)
        ]
    return [(*_deep(model, 6), "init=he", f"init.gain={gain}") for gain in (3.0, 5.0, 10.0)]


def _against_exploding(model: str) -> tuple[Overrides, ...]:
    return ("init.gain=1.0",), ("trainer.gradient_clip_norm=1.0",)


def _dead(model: str) -> list[Overrides]:
    biases = (-1.0, -3.0, -6.0)
    if model == "lstm":
        return [
            ("model=rnn", "model.nonlinearity=relu", "init=orthogonal", f"init.bias={b}", "model.width=48")
            for b in biases
        ]
    return [("init=he", f"init.bias={b}") for b in biases]


def _against_dead(model: str) -> tuple[Overrides, ...]:
    return (("init.bias=0.0",),) if model == "lstm" else (("init.bias=0.0",), ("activation=leaky_relu",))


def healthy(model: str, *, dataset: str, seed: int, variant: int) -> Overrides:
    """Settings drawn from a wide band in which nothing is wrong, by (model, data set, seed, variant)."""
    draw = random.Random(f"{model} {dataset} {seed} {variant}")
    widths = {"mlp": (64, 128, 256), "cnn": (8, 12, 16), "lstm": (32, 48, 64)}[model]
    optimizer, factor = draw.choice((("adam", 1.0), ("adamw", 1.0), ("rmsprop", 0.5), ("momentum", 20.0)))
    rate = RATE[model] * factor * draw.choice((0.5, 1.0, 1.5))
    chosen = [
        f"optimizer={optimizer}",
        f"optimizer.learning_rate={rate:g}",
        f"model.width={draw.choice(widths)}",
        f"model.dropout={draw.choice((0.1, 0.3, 0.5))}",
        f"augment={draw.choice(('none', 'shift', 'affine'))}",
        f"data.batch_size={draw.choice((32, 64))}",
        f"schedule={draw.choice(('constant', 'cosine', 'onecycle'))}",
        # Long enough that nothing is left to gain, stopped before anything is lost.
        _epochs(round(EPOCHS[model] * draw.choice((1.5, 2.0, 2.5)))),
        "trainer.early_stopping_patience=5",
        "trainer.keep=best",
    ]
    if model != "lstm":
        normalization = draw.choice(("none", "batch"))
        activation, init = draw.choice(
            (("relu", "he"), ("gelu", "he"), ("tanh", "xavier"), ("leaky_relu", "he"))
        )
        chosen += [f"model.normalization={normalization}", f"activation={activation}", f"init={init}"]
    else:
        chosen += ["trainer.gradient_clip_norm=1.0"]
    return tuple(chosen)


def plans(part: str) -> Iterator[Plan]:
    """All runs of a part; those of one seed stand together, so that a short look sees every fault."""
    for dataset, seed in PARTS[part]:
        for model in MODELS:
            base = (*BASE[model], _epochs(EPOCHS[model]))
            for verdict, (severities, remedies) in faults(model).items():
                for severity, overrides in enumerate(severities, start=1):
                    together = (*base, *overrides)
                    yield Plan(part, verdict, severity, model, dataset, seed, together, remedies)
            for variant in range(HEALTHY_PER_SEED):
                drawn = healthy(model, dataset=dataset, seed=seed, variant=variant)
                yield Plan(part, "healthy", variant, model, dataset, seed, (*base, *drawn))


def merged(*overrides: str) -> list[str]:
    """Each key once, with its last value; a chosen option drops what was set for the one it replaces."""
    found: dict[str, str] = {}
    for text in overrides:
        key, _, value = text.partition("=")
        if "." not in key and found.get(key) not in (None, value):
            keep = (
                {"model.width", "model.dropout", "model.depth"}
                if key == "model"
                else {"optimizer.learning_rate"}
            )
            for other in [k for k in found if k.startswith(f"{key}.") and k not in keep]:
                del found[other]
        found[key] = value
    groups = sorted((k for k in found if "." not in k), key=lambda k: k != "model")
    return [f"{k}={found[k]}" for k in [*groups, *(k for k in found if "." in k)]]


# --- training -------------------------------------------------------------------------------------


@cache
def small(dataset: str) -> Any:
    """4,000 training, 1,000 validation and 5,000 test images, the same ones for every run."""
    from pipeline.data.prepare import build_prepared, take
    from pipeline.data.split import stratified_fraction
    from pipeline.data.store import load_prepared

    whole = load_prepared(ROOT / "data" / "processed" / dataset)
    parts = [
        take(part, stratified_fraction(part.labels, fraction=number / len(part), seed=0))
        for part, number in ((whole.train, NUM_TRAIN), (whole.val, NUM_VAL), (whole.test, NUM_TEST))
    ]
    card = whole.card
    return build_prepared(
        *parts,
        name=dataset,
        class_names=card.class_names,
        split_seed=card.split_seed,
        baselines=card.baselines,
    )


def trained(plan: Plan, extra: Sequence[str] = (), *, name: str = "") -> dict[str, Any]:
    """Train a planned run with further overrides, or read what an earlier call left; return its `run.json`.

    ``test_loss`` is the mean cross-entropy on the test part; of a run that diverged it is None.
    """
    folder = plan.folder.with_name(f"{plan.id}{name}")
    path = folder / "run.json"
    if path.is_file():
        return dict(json.loads(path.read_text()))
    from pipeline.config import compose
    from pipeline.evaluation.signal_file import FILE_NAME, write_signals
    from pipeline.evaluation.tables import write_atomically, write_history_csv
    from pipeline.models.build import build_network
    from pipeline.stages.train import architecture
    from pipeline.training.fit import Diverged, fit

    overrides = merged(*COMMON, f"data={plan.dataset}", f"seed={plan.seed}", *plan.overrides, *extra)
    settings, values = compose(overrides, root=ROOT)
    prepared = small(plan.dataset)
    started, loss, accuracy = time.perf_counter(), None, None
    try:
        network = build_network(architecture(settings, prepared.card), seed=settings.seed)
        result: Any = fit(network, prepared, settings=settings)
        loss, accuracy = tested(result.network, prepared)
    except Diverged as error:
        result = error
    told = {
        **asdict(plan),
        "overrides": overrides,
        "settings": values,
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


def oracle(plan: Plan, remedy: int, *, num_seeds: int = 5) -> dict[str, Any]:
    """Whether a remedy lowers the test loss of a planned run beyond noise; stored, so asked once.

    Trains the run as planned and with the remedy over the same ``num_seeds`` seeds. Returns
    ``improvement`` (mean of the paired differences, nats), its 95 % interval ``low … high``, ``helps``.
    A run that diverged has the loss of guessing, ln of the number of classes, where its own is higher.
    """
    key = f"{plan.verdict}-{plan.severity}-{plan.model}-{plan.dataset}-r{remedy}"
    path = FOLDER / plan.part / "oracle" / f"{key}.json"
    if path.is_file():
        return dict(json.loads(path.read_text()))
    first = plan.seed - plan.seed % num_seeds
    pairs = []
    for seed in range(first, first + num_seeds):
        twin = Plan(**{**asdict(plan), "seed": seed})
        losses = (trained(twin), trained(twin, plan.remedies[remedy], name=f"+r{remedy}"))
        pairs.append([guessing(told["test_loss"]) for told in losses])
    found = {"remedy": plan.remedies[remedy], "losses": pairs, **paired(np.array(pairs))}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1))
    return found


def guessing(loss: float | None, *, num_classes: int = 10) -> float:
    """The loss, at most that of guessing: no one uses a model that is worse."""
    return math.log(num_classes) if loss is None else min(loss, math.log(num_classes))


def paired(losses: np.ndarray) -> dict[str, Any]:
    """The mean gain of the second column over the first ``[n, 2]`` with its 95 % t interval."""
    gains = losses[:, 0] - losses[:, 1]
    spread = float(gains.std(ddof=1)) / math.sqrt(len(gains))
    reach = float(stats.t.ppf(0.975, len(gains) - 1)) * spread
    mean = float(gains.mean())
    return {"improvement": mean, "low": mean - reach, "high": mean + reach, "helps": mean - reach > 0}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--only", nargs="*", default=[], help="verdicts")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[])
    parser.add_argument("--oracle", action="store_true", help="also train the remedies, over five seeds")
    options = parser.parse_args()
    chosen = [
        p
        for p in plans(options.part)
        if (not options.only or p.verdict in options.only)
        and p.model in options.models
        and (not options.seeds or p.seed in options.seeds)
    ]
    for number, plan in enumerate(chosen, start=1):
        told = trained(plan)
        print(
            f"{number}/{len(chosen)} {plan.id}: test loss {told['test_loss']}, {told['seconds']} s",
            flush=True,
        )
    if options.oracle:
        asked: set[tuple[Any, ...]] = set()
        for plan in chosen:
            what = (plan.verdict, plan.severity, plan.model, plan.dataset)
            for remedy in range(len(plan.remedies)) if what not in asked else ():
                found = oracle(plan, remedy)
                print(
                    f"{' '.join(map(str, what))}, {' '.join(plan.remedies[remedy])}: gain "
                    f"{found['improvement']:.3f} ({found['low']:.3f} … {found['high']:.3f})",
                    flush=True,
                )
            asked.add(what)


if __name__ == "__main__":
    main()
