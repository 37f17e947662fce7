"""Measure from which probability on a fault of a running training is certain.

    OMP_NUM_THREADS=1 python benchmarks/curves/live.py  # ten minutes; writes limits.json
    python benchmarks/curves/live.py --check            # writes nothing
    python benchmarks/curves/live.py --judge <part>     # judges one part by limits.json

The runs are replayed epoch by epoch. Each is judged by a model that has seen neither its part nor
its data set (`fit.strange_to`). Calm runs are healthy, or were stopped too early.

The limits are those with the most right alarms, as far as `affordable` allows. It bounds the
expected share of calm runs of a *new* pair of data set and network that alarm at any time, whatever
the pairs (Angelopoulos et al., Conformal Risk Control, 2022): their mean share, with one more pair
that always alarms. New networks are judged worse than these, so the calm runs count as speaking
louder by `MARGIN`. Run it again after `fit.py`.
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
from pydantic import TypeAdapter

sys.path.insert(0, str(Path(__file__).parent))

from cases import PARTS
from dress import logged
from fit import (
    CHOSEN_BY,
    LEFT_OUT,
    NUM_SOFT,
    Calibration,
    content,
    fitted_to,
    sample,
    strange_to,
)
from pack import Run, runs

from pipeline.diagnosis.learned.model import Model, fitted
from pipeline.diagnosis.learned.numbers import NAMES
from pipeline.diagnosis.live import limits
from pipeline.diagnosis.live.fast import FastModel
from pipeline.diagnosis.live.judge import ALARMS, IN_A_ROW, Look, looks, strongest
from pipeline.diagnosis.live.limits import measured_limits

FILE = Path(limits.__file__).parent / limits.FILE
PROMISED = 0.03
MARGIN = 0.5  # logits
CALM = ("healthy", "stopped_too_early")
CALM_SEEDS = 2  # of a case
# Limits of each family of `ALARMS`.
TRIED = (
    np.array([0.7, 0.75, 0.8, 0.85, 0.88, 0.9, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99]),
    np.array([0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95]),
    np.array([0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97]),
)


@dataclass(frozen=True)
class Replay:
    """One run, judged after each epoch. length: its epochs."""

    part: str
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


def models(parts: Sequence[str]) -> Iterator[tuple[str, FastModel]]:
    """Each part with a model that has seen neither it nor its data sets."""
    data = sample(*PARTS, dresses=1, soft=NUM_SOFT, seeds=CHOSEN_BY)
    names = [name for name in NAMES if name not in LEFT_OUT]
    shipped = fitted()
    calibration = Calibration(shipped.temperature, shipped.widening, shipped.limits)
    for part in parts:
        seen = strange_to(part, data.parts, data.groups)
        found = content(*fitted_to(seen, data, names), calibration)
        yield part, FastModel(TypeAdapter(Model).validate_python(found))


def replays(part: str, model: FastModel) -> Iterator[Replay]:
    """Judge the calm runs of two seeds of each case, and one seed of every other case."""
    seen: Counter[str] = Counter()
    for run in runs(part):
        if seen[run.case] < (CALM_SEEDS if run.family in CALM else 1):
            seen[run.case] += 1
            yield replayed(run, "live 0", model)


def replayed(run: Run, key: str, model: FastModel) -> Replay:
    """Judge one run after each of its points."""
    curves = logged(run, key=key)
    length = max(map(len, (*curves.losses.values(), *curves.accuracies.values())))
    found = tuple(looks(curves, length, model=model))
    return Replay(run.part, run.family, run.fault, "-".join(run.pair), length, found)


def louder(strengths: np.ndarray) -> np.ndarray:
    """Probabilities with `MARGIN` more in logits; 0 and 1 stay."""
    odds = math.exp(MARGIN) * strengths
    return odds / (odds + 1 - strengths)


def affordable(alarmed: np.ndarray, pairs: np.ndarray) -> bool:
    """Whether a new pair's calm runs alarm seldom enough.

    alarmed: ``[N]``, of calm runs.  pairs: ``[N]``, from 0 on, each with a run.
    """
    count = np.bincount(pairs)
    share = np.bincount(pairs, alarmed) / count
    return float(share.sum() + 1) / (len(count) + 1) <= PROMISED


def limits_of(found: Sequence[Replay]) -> dict[str, float]:
    """The affordable limits with the most right alarms; all of `TRIED` are tried."""
    calm = [replay for replay in found if replay.family in CALM]
    _, pairs = np.unique([replay.pair for replay in calm], return_inverse=True)
    strength = louder(_strengths(calm))
    above = [strength[:, k, None] >= tried for k, tried in enumerate(TRIED)]
    hits = [_hits(found, k) for k in range(len(ALARMS))]
    best, most = tuple(len(tried) - 1 for tried in TRIED), -1
    for first, second in product(*(range(len(tried)) for tried in TRIED[:2])):
        two = above[0][:, first] | above[1][:, second]
        for third in range(len(TRIED[2])) if affordable(two, pairs) else ():
            count = int(hits[0][first] + hits[1][second] + hits[2][third])
            if count > most and affordable(two | above[2][:, third], pairs):
                best, most = (first, second, third), count
    places = zip(ALARMS, TRIED, best, strict=True)
    return {name: float(tried[place]) for name, tried, place in places}


def _hits(found: Sequence[Replay], k: int) -> np.ndarray:
    """How many runs of a family of `ALARMS` alarm by each of its limits."""
    own = _strengths([replay for replay in found if replay.family == ALARMS[k]])[:, k]
    hits: np.ndarray = (own[:, None] >= TRIED[k]).sum(0)
    return hits


def _strengths(runs: Sequence[Replay]) -> np.ndarray:
    """``[N, 3]``: of each run, how strongly it speaks for each family of `ALARMS`."""
    found = [[run.strongest[family] for family in ALARMS] for run in runs]
    return np.array(found).reshape(-1, len(ALARMS))


def by_part(found: Sequence[Replay]) -> None:
    """Print what limits from all other parts do on each part."""
    every: list[tuple[Replay, tuple[str, int] | None]] = []
    for part in dict.fromkeys(replay.part for replay in found):
        by_family = limits_of([replay for replay in found if replay.part != part])
        told = [(r, r.alarm(by_family)) for r in found if r.part == part]
        every += told
        print(f"{part:8} by {by_family}: {in_words(told)}")
    print(f"all      {in_words(every)}")


def in_words(told: Sequence[tuple[Replay, tuple[str, int] | None]]) -> str:
    """Calm runs that alarm, and shares of the sick that do rightly and in their first half."""
    calm = [alarm for replay, alarm in told if replay.family in CALM]
    sick = [(replay, alarm) for replay, alarm in told if replay.family not in CALM]
    right = [(r, alarm[1]) for r, alarm in sick if alarm and alarm[0] == r.family]
    half = sum(epoch <= math.ceil(r.length / 2) for r, epoch in right)
    wrong = sum(alarm is not None for alarm in calm)
    return (
        f"{wrong} of {len(calm)} calm runs alarm ({wrong / len(calm):.1%}), {len(right)} of "
        f"{len(sick)} sick ones rightly ({len(right) / len(sick):.1%}), {half} in the first half "
        f"({half / len(sick):.1%})"
    )


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
    parts = [options.judge] if options.judge else list(PARTS)
    found = [replay for part, model in models(parts) for replay in replays(part, model)]
    if not options.judge:
        by_part(found)
    by_family = dict(measured_limits().by_family) if options.judge else limits_of(found)
    print(f"limits {by_family}: {in_words([(r, r.alarm(by_family)) for r in found])}")
    if not options.judge and not options.check:
        _keep([replay for replay in found if replay.family in CALM], by_family)
    report(found, by_family)


def _keep(calm: Sequence[Replay], by_family: Mapping[str, float]) -> None:
    """Write the limits."""
    kept = {
        "version": 1,
        "made_by": "python benchmarks/curves/live.py",
        "rate": PROMISED,
        "runs": len(calm),
        "alarms": sum(replay.alarm(by_family) is not None for replay in calm),
        "weights": limits.weights_hash(),
        "by_family": by_family,
    }
    FILE.write_text(json.dumps(kept, indent=2) + "\n")
    print(f"wrote {FILE.name}")


if __name__ == "__main__":
    main()
