"""How good the diagnosis is on runs with a known fault: confusion, false alarms, remedies.

    python benchmarks/planted_runs.py report --oracle --jobs 2   # first: train (MNIST: 1.5 hours)
    python benchmarks/diagnosis.py report                        # then: judge (seconds)
    python benchmarks/diagnosis.py report --remedies --jobs 2    # and train each first remedy
    python benchmarks/diagnosis.py tune --seeds 0 1 --planted    # labels as planted, no oracle
    python benchmarks/diagnosis.py final --held                  # reuse what the oracle held before

The truth of a run is the planted fault if one of the fault's remedies helps (see
planted_runs.oracle), else healthy. Runs that are not trained yet are left out and counted. The
limits of the faults were chosen on `tune` alone.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from pipeline.diagnosis import Context, Diagnosis, History, diagnose
from pipeline.diagnosis.faults import FAULTS
from pipeline.evaluation.intervals import wilson
from pipeline.evaluation.signal_file import FILE_NAME, read_signals
from pipeline.evaluation.tables import read_history_csv
from pipeline.records import Baseline
from planted import HELD, MODELS, MODELS_OF_PICTURES, PARTS, PlantedRun, plans
from planted_runs import folder_of, oracle, overrides_of, paired_runs, train_all

VERDICTS = ("healthy", *(fault.verdict for fault in FAULTS))
CURVES = ("train/loss", "val/loss", "train/accuracy", "val/accuracy", "learning_rate")


@dataclass(frozen=True)
class Case:
    plan: PlantedRun
    truth: str
    found: Diagnosis
    by_curves: Diagnosis


def history_of(plan: PlantedRun) -> History:
    """A planted run as the diagnosis sees it."""
    folder = folder_of(overrides_of(plan))
    told = json.loads((folder / "run.json").read_text())
    rows = read_history_csv(folder / "history.csv")
    context = Context(
        num_classes=10,
        prior_entropy=told["class_prior_entropy"],
        baselines={name: Baseline(**b) for name, b in told["baselines"].items()},
        num_val=1000,
        kept_epoch=told["kept_epoch"],
        settings=told["settings"],
    )
    return History.of(rows, read_signals(folder / FILE_NAME), context, name=plan.id)


def curves_alone(history: History) -> History:
    """Return the history that a log of another framework gives: losses and accuracies alone."""
    curves = {name: values for name, values in history.curves.items() if name in CURVES}
    kept = history.context.kept_epoch
    return replace(history, curves=curves, signals=None, context=Context(kept_epoch=kept))


@cache
def sick(plan: PlantedRun) -> bool | None:
    """Return whether a remedy of the planted fault helps; None where a run of it is missing.

    They are asked in their order, as `planted_runs.py --oracle` trains them.
    """
    for remedy in plan.remedies:
        needed = [o for pair in paired_runs(plan, remedy) for o in pair]
        if not all((folder_of(o) / "run.json").is_file() for o in needed):
            return None
        if oracle(plan, remedy)["helps"]:
            return True
    return False


def cases(chosen: Sequence[PlantedRun], *, certain: Collection[str]) -> list[Case]:
    """Return the trained runs, each with its truth. certain: verdicts that need no oracle."""
    found = []
    for plan in chosen:
        if not (folder_of(overrides_of(plan)) / "run.json").is_file():
            continue
        first = replace(plan, seed=PARTS[plan.part][0][1])
        holds = plan.verdict in ("healthy", *certain) or sick(first)
        if holds is None:
            continue
        history = history_of(plan)
        truth = plan.verdict if holds else "healthy"
        found.append(Case(plan, truth, diagnose(history), diagnose(curves_alone(history))))
    return found


# --- tables ---------------------------------------------------------------------------------------


def macro_f1(pairs: Sequence[tuple[str, str]]) -> tuple[float, dict[str, float]]:
    """Mean F1 over the truths that occur; an abstention is a miss."""
    scores = {}
    for verdict in sorted({truth for truth, _ in pairs}):
        hits = sum(t == f == verdict for t, f in pairs)
        predicted = sum(f == verdict for _, f in pairs)
        support = sum(t == verdict for t, _ in pairs)
        scores[verdict] = 2 * hits / (predicted + support)
    return float(np.mean(list(scores.values()))), scores


def bootstrap_f1(
    pairs: Sequence[tuple[str, str]], *, num_resamples: int = 500
) -> tuple[float, float]:
    """95 % interval of the macro-F1 over resampled runs."""
    generator = np.random.default_rng(0)
    values = [
        macro_f1([pairs[i] for i in generator.integers(len(pairs), size=len(pairs))])[0]
        for _ in range(num_resamples)
    ]
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def share(hits: int, n: int) -> str:
    e = wilson(hits, n)
    return f"{e.value:.1%} [{e.low:.1%}, {e.high:.1%}] ({hits} of {n})"


def table(found: Sequence[Case]) -> None:
    """Print the scores over all runs, then the confusion of each verdict."""
    pairs = [(c.truth, c.found.verdict) for c in found]
    value, scores = macro_f1(pairs)
    low, high = bootstrap_f1(pairs)
    num_runs = f"{len(found)} runs"
    print(
        f"\nmacro-F1 over {len(scores)} verdicts: {value:.3f} [{low:.3f}, {high:.3f}], {num_runs}"
    )
    print(f"right: {share(sum(t == f for t, f in pairs), len(pairs))}")
    among_two = sum(c.truth in c.found.ranked[:2] for c in found)
    print(f"right one among the first two: {share(among_two, len(found))}")
    alarm_shares(found)
    by_curves(found)
    confusion(found, scores)


def alarm_shares(found: Sequence[Case]) -> None:
    """Print how often healthy runs alarm, sick ones do not, and nothing is decided."""
    healthy = [c for c in found if c.truth == "healthy"]
    sick_runs = [c for c in found if c.truth != "healthy"]
    planted_healthy = [c for c in found if c.plan.verdict == "healthy"]
    alarms = [c for c in healthy if c.found.verdict not in ("healthy", "undetermined")]
    strict = [c for c in alarms if c.plan.verdict == "healthy"]
    print(f"healthy runs alarmed: {share(len(alarms), len(healthy))}")
    print(f"  of those planted healthy: {share(len(strict), len(planted_healthy))}")
    abstentions = sum(c.found.verdict == "undetermined" for c in found)
    print(f"abstentions: {share(abstentions, len(found))}")
    missed = sum(c.found.verdict == "healthy" for c in sick_runs)
    print(f"sick runs called healthy: {share(missed, len(sick_runs))}")


def by_curves(found: Sequence[Case]) -> None:
    """Print how well curves alone tell overfitting from everything else."""
    pairs = [
        (str(c.truth == "overfitting"), str(c.by_curves.verdict == "overfitting")) for c in found
    ]
    others = [called for truth, called in pairs if truth == "False"]
    score = f"macro-F1 {macro_f1(pairs)[0]:.3f} {bootstrap_f1(pairs)}"
    alarms = share(others.count("True"), len(others))
    print(f"curves alone, overfitting or not: {score}, false alarms {alarms}")


def confusion(found: Sequence[Case], scores: Mapping[str, float]) -> None:
    """Print the verdicts that each planted fault got, and the score of each network."""
    print("\n| planted and held by the oracle | n | F1 | found as |\n|---|---|---|---|")
    for verdict in VERDICTS:
        of = [c for c in found if c.truth == verdict]
        if of:
            counts = Counter(c.found.verdict for c in of).most_common()
            listed = ", ".join(f"{name} {n}" for name, n in counts)
            print(f"| {verdict} | {len(of)} | {scores[verdict]:.2f} | {listed} |")
    for model in (*MODELS, *MODELS_OF_PICTURES):
        of_model = [(c.truth, c.found.verdict) for c in found if c.plan.model == model]
        if of_model:
            print(f"{model}: macro-F1 {macro_f1(of_model)[0]:.3f}, {len(of_model)} runs")


def misses(found: Sequence[Case]) -> None:
    """Print each run that got another verdict than its truth."""
    for c in found:
        if c.truth != c.found.verdict:
            called = f"{c.found.verdict} {c.found.confidence:.2f}"
            print(f"{c.plan.id}: {c.truth} found as {called}; {c.found.ranked}")


def first_remedies(found: Sequence[Case], *, jobs: int) -> None:
    """Print how often a sick run's first remedy lowers the test loss in paired seeds."""
    asked: dict[tuple[PlantedRun, tuple[str, ...]], int] = defaultdict(int)
    without = 0
    for c in found:
        if c.truth == "healthy":
            continue
        offered = [r for f in c.found.findings[:1] for r in f.remedies]
        first = next((r for r in offered if r.name != "overfit_batch"), None)
        if first is None:
            without += 1
            continue
        seedless = replace(c.plan, seed=PARTS[c.plan.part][0][1])
        asked[seedless, first.overrides] += 1
    train_all([o for (p, r) in asked for pair in paired_runs(p, r) for o in pair], jobs=jobs)
    helped, lines = 0, []
    for (plan, remedy), times in asked.items():
        told = oracle(plan, remedy)
        helped += times * told["helps"]
        if not told["helps"]:
            lines.append(
                f"  {plan.case} ×{times}: {' '.join(remedy)}: {told['relative']:.0%} "
                f"({told['low']:.3f} … {told['high']:.3f})"
            )
    total = sum(asked.values()) + without
    print(
        f"\nfirst remedy improves test loss: {share(helped, total)}; no remedy offered: {without}"
    )
    print("\n".join(["did not:", *sorted(lines)]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[])
    parser.add_argument("--datasets", nargs="*", default=[])
    parser.add_argument("--models", nargs="*", default=[*MODELS, *MODELS_OF_PICTURES])
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--planted", action="store_true", help="take what was planted for the truth")
    truth.add_argument(
        "--held", action="store_true", help="ask the oracle only where planted.HELD is silent"
    )
    parser.add_argument("--misses", action="store_true", help="list what was judged wrongly")
    parser.add_argument(
        "--remedies", action="store_true", help="train the first remedy of each sick run"
    )
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    chosen = [
        p
        for p in plans(options.part)
        if (not options.seeds or p.seed in options.seeds)
        and (not options.datasets or p.dataset in options.datasets)
        and p.model in options.models
    ]
    certain = VERDICTS if options.planted else HELD if options.held else ()
    found = cases(chosen, certain=certain)
    print(f"{len(found)} of {len(chosen)} runs, each with its truth")
    table(found)
    if options.misses:
        misses(found)
    if options.remedies:
        first_remedies(found, jobs=options.jobs)


if __name__ == "__main__":
    main()
