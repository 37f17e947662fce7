"""Measure from which probability on a fault of a running training is certain.

    python benchmarks/curves/live.py                 # a few minutes; writes limits.json
    python benchmarks/curves/live.py --check         # writes nothing
    python benchmarks/curves/live.py --judge locked  # judges another part by limits.json

Runs of the parts `cases.FITTED` are replayed epoch by epoch, each judged by the fitted model. The
limits are those with the most right alarms, as far as a share of `TARGET` at most alarms at any
time: of the healthy runs, and of those that were stopped too early. The model has seen whole runs
of these parts, so `TARGET` lies below the rate that is promised. Run it again after `fit.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from cases import FITTED, PARTS
from dress import logged
from pack import Run, runs

from pipeline.diagnosis.live import limits
from pipeline.diagnosis.live.judge import ALARMS, IN_A_ROW, Look, looks, strongest
from pipeline.diagnosis.live.limits import measured_limits

FILE = Path(limits.__file__).parent / limits.FILE
PROMISED, TARGET = 0.03, 0.025
CALM = ("healthy", "stopped_too_early")
CALM_SEEDS = 2  # of a case
TRIED = np.arange(50, 100) / 100  # limits
COARSE = 5  # every so many are tried for unstable runs, which mostly a lost loss tells


@dataclass(frozen=True)
class Replay:
    """One run, judged after each epoch. length: its epochs."""

    family: str
    fault: str
    pair: str
    length: int
    looks: tuple[Look, ...]

    @property
    def strongest(self) -> dict[str, float]:
        return strongest(self.looks)

    def alarm(self, by_family: Mapping[str, float]) -> tuple[str, int] | None:
        """The family and the epoch of the first alarm."""
        for place in range(len(self.looks)):
            row = self.looks[max(0, place + 1 - IN_A_ROW) : place + 1]
            found = strongest(row)
            family = next((f for f in ALARMS if found[f] >= by_family[f]), None)
            if family:
                return family, row[-1].points
        return None


def replays(*parts: str, calm: bool) -> Iterator[Replay]:
    """Judge the calm runs of two seeds of each case, or one seed of every other case."""
    seen: Counter[str] = Counter()
    for run in runs(*parts):
        if (run.family in CALM) is calm and seen[run.case] < (CALM_SEEDS if calm else 1):
            seen[run.case] += 1
            yield replayed(run, "live 0")


def replayed(run: Run, key: str) -> Replay:
    """Judge one run after each of its points."""
    curves = logged(run, key=key)
    length = max(map(len, (*curves.losses.values(), *curves.accuracies.values())))
    return Replay(run.family, run.fault, "-".join(run.pair), length, tuple(looks(curves, length)))


def limits_of(
    calm: Sequence[Replay], sick: Sequence[Replay], rate: float = TARGET
) -> dict[str, float]:
    """The limits with the most right alarms, as far as no kind of calm run alarms oftener.

    One more calm run that alarms is counted in each kind. All limits of `TRIED` are tried.
    """
    kinds = [_strengths([r for r in calm if r.family == family]) for family in CALM]
    above = [kind[:, :, None] >= TRIED for kind in kinds]
    hits = []
    for place, family in enumerate(ALARMS):
        own = _strengths([r for r in sick if r.family == family])[:, place]
        hits.append((own[:, None] >= TRIED).sum(0))
    best, most = (len(TRIED) - 1,) * 3, -1
    for first, second in product(range(len(TRIED)), repeat=2):
        two = [kind[:, 0, first] | kind[:, 1, second] for kind in above]
        for third in range(0, len(TRIED), COARSE):
            count = int(hits[0][first] + hits[1][second] + hits[2][third])
            if count > most and all(
                (np.sum(some | kind[:, 2, third]) + 1) / (len(some) + 1) <= rate
                for some, kind in zip(two, above, strict=True)
            ):
                best, most = (first, second, third), count
    return {name: float(TRIED[place]) for name, place in zip(ALARMS, best, strict=True)}


def _strengths(runs: Sequence[Replay]) -> np.ndarray:
    """``[N, 3]``: of each run, how strongly it speaks for each family of `ALARMS`."""
    found = [[run.strongest[family] for family in ALARMS] for run in runs]
    return np.array(found).reshape(-1, len(ALARMS))


def left_out(calm: Sequence[Replay], sick: Sequence[Replay]) -> tuple[float, float]:
    """With limits from all other pairs: shares of calm runs that alarm, of sick ones that do right.

    Right is an alarm of their own family.
    """
    wrong = right = 0
    for pair in {replay.pair for replay in (*calm, *sick)}:
        others = ([r for r in part if r.pair != pair] for part in (calm, sick))
        by_family = limits_of(*others)
        wrong += sum(r.alarm(by_family) is not None for r in calm if r.pair == pair)
        alarms = ((r, r.alarm(by_family)) for r in sick if r.pair == pair)
        right += sum(alarm is not None and alarm[0] == r.family for r, alarm in alarms)
    return wrong / len(calm), right / len(sick)


def report(found: Sequence[Replay], by_family: Mapping[str, float]) -> None:
    """Print alarms by fault: any, of the right family, of it in the first half, of another.

    The last column is the third among logs of ten points at least: a shorter one is half over
    before two looks.
    """
    print(f"{'':44} {'runs':>5} {'any':>5} {'right':>6} {'half':>5} {'wrong':>6} {'half, 10+':>10}")
    kinds = sorted({(replay.family, replay.fault) for replay in found})
    sick = [kind for kind in kinds if kind[0] not in CALM]
    rows = [*((f"{fault}, {family}"[:44], [(family, fault)]) for family, fault in kinds)]
    for name, those in (*rows, ("all sick", sick)):
        told = [(r, r.alarm(by_family)) for r in found if (r.family, r.fault) in those]
        alarms = [(r, a) for r, a in told if a]
        right = [(r, a) for r, a in alarms if a[0] == r.family]
        half = [r for r, a in right if a[1] <= math.ceil(r.length / 2)]
        counts = (len(alarms), len(right), len(half), len(alarms) - len(right))
        shares = [count / max(len(told), 1) for count in counts]
        long = [sum(r.length >= 10 for r in some) for some in (half, [r for r, _ in told])]
        shares.append(long[0] / max(long[1], 1))
        print(f"{name:44} {len(told):5}", *(f"{share:5.2f}" for share in shares))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--judge", choices=list(PARTS), help="judge this part, write nothing")
    options = parser.parse_args()
    parts = [options.judge] if options.judge else FITTED
    calm, sick = (list(replays(*parts, calm=each)) for each in (True, False))
    by_family = dict(measured_limits().by_family) if options.judge else limits_of(calm, sick)
    alarms = sum(replay.alarm(by_family) is not None for replay in calm)
    print(f"limits {by_family}: {alarms} of {len(calm)} calm runs alarm")
    if not options.judge:
        wrong, right = left_out(calm, sick)
        print(f"with limits from the other pairs {wrong:.3f} alarm, and {right:.3f} of the sick do")
        if not options.check:
            _keep(calm, by_family, alarms)
    report([*calm, *sick], by_family)


def _keep(calm: Sequence[Replay], by_family: Mapping[str, float], alarms: int) -> None:
    """Write the limits."""
    content = {
        "version": 1,
        "made_by": "python benchmarks/curves/live.py",
        "rate": PROMISED,
        "runs": len(calm),
        "alarms": alarms,
        "weights": limits.weights_hash(),
        "by_family": by_family,
    }
    FILE.write_text(json.dumps(content, indent=2) + "\n")
    print(f"wrote {FILE.name}")


if __name__ == "__main__":
    main()
