"""``stop=early``: remedies in the order of promise, one pair of seeds at a time, until they decide.

The first remedy is the one that the diagnosis puts first. The next one is tried only where the
first is not confirmed, or leaves the symptom. The evidence is that of
`pipeline.verification.anytime`. So it may be looked at after every pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pipeline.diagnosis.paired_trials import (
    CONFIRMED,
    LEAST_SEEDS,
    NOT_CONFIRMED,
    Arm,
    Judged,
    judge_one,
    level_of,
    log_gains,
)
from pipeline.diagnosis.record import Remedy
from pipeline.verification.anytime import ANYTIME, is_futile
from pipeline.verification.judgement import best_confirmed
from pipeline.verification.parts import ARMS, AS_IT_WAS, RANDOM, RESEED, SEARCH
from pipeline.verification.plan import LEAST_DRAWS, VerificationPlan, control_runs
from pipeline.verification.trials import Trainer

Announce = Callable[[str, int], None]

MOST_SEEDS = 10  # of each remedy, where nobody names a number
# Of the error. The first remedy nearly always helps a sick run, so most of the error is its own:
# with half of it, three pairs could never decide.
FIRST_SHARE = 0.8


def comparisons(place: int, count: int) -> float:
    """Return among how many comparisons a remedy counts. place: 0-based, of so many remedies.

    The first remedy may use `FIRST_SHARE` of the error, and all others together the rest. A remedy
    that stands alone has all of it.
    """
    if count == 1:
        return 1.0
    return 1 / FIRST_SHARE if place == 0 else (count - 1) / (1 - FIRST_SHARE)


@dataclass
class EarlyTrials:
    """The runs of a verification that stops early, and what they say.

    budget: runs in all; None for no limit.  judged: the remedies that were tried, in their order.
    num_runs: that were asked for so far.  announce: takes each step in words before it begins, and
    the most runs that may follow it.  say: takes what a step has decided.
    """

    trials: Trainer
    plan: VerificationPlan
    symptom: str
    budget: int | None = None
    judged: list[Judged] = field(default_factory=list)
    num_runs: int = 0
    announce: Announce = lambda doing, most_after: None
    say: Callable[[str], None] = lambda text: None
    _arms: dict[str, Arm] = field(default_factory=dict)
    _sweeps: int = 0

    @property
    def base(self) -> Arm:
        """The run as it was, over the seeds so far."""
        return self._arms[AS_IT_WAS.name]

    @property
    def untried(self) -> tuple[str, ...]:
        """The names of the remedies that were not needed."""
        return tuple(remedy.name for remedy in self.plan.remedies[len(self.judged) :])

    def decide(self) -> list[Judged]:
        """Try the remedies one after the other; return those that were tried, the best first."""
        for place, remedy in enumerate(self.plan.remedies):
            if place and not self._affords(LEAST_SEEDS, remedy):
                break
            found = self._tried(remedy, comparisons(place, len(self.plan.remedies)))
            self.judged.append(found)
            if found.verdict == CONFIRMED and found.symptom_share <= 0.5:
                break
        return sorted(self.judged, key=lambda judged: -judged.improvement.value)

    def controls(self) -> tuple[Arm, Arm] | None:
        """Run both controls over as many pairs as the best remedy; None where none is confirmed.

        They are the run reseeded, and the luckiest of random draws.
        """
        best = best_confirmed(self.judged)
        if best is None:
            return None
        pairs = len(best.val_losses)
        count = max(LEAST_DRAWS, sum(len(each.val_losses) for each in self.judged) - pairs)
        draws = self.plan.draws[:count]
        self.announce(
            f"control of {best.name}: as it was, {pairs} other seeds", len(draws) + pairs - 1
        )
        (reseeded,) = self._train(RESEED, [AS_IT_WAS], self.plan.reseeds[:pairs])
        self.announce(f"control of {best.name}: {len(draws)} random settings", pairs - 1)
        first = self._train(SEARCH, draws, self.plan.seeds[:1])
        self.announce(f"control of {best.name}: the best of them, {pairs - 1} further seeds", 0)
        luckiest = min(range(len(draws)), key=lambda i: first[i].losses[0])
        (rest,) = self._train(RANDOM, [draws[luckiest]], self.plan.seeds[1:pairs])
        return reseeded, joined(first[luckiest], rest)

    def _tried(self, remedy: Remedy, among: float) -> Judged:
        """Add pairs until they decide, leave no hope, or may not go on."""
        pairs = LEAST_SEEDS
        self._add_pairs(remedy, pairs)
        while True:
            found = self._judged(remedy, among)
            gains = log_gains(self.base.losses[:pairs], found.val_losses)
            most = len(self.plan.seeds)
            futile = is_futile(gains, level=level_of(among), most=most)
            # Without a number of seeds it is decided, or more than a thousand would be needed.
            decided = found.verdict != NOT_CONFIRMED or found.seeds_needed is None
            if decided or futile or pairs == most or not self._affords(pairs + 1, remedy):
                self.say(f"{remedy.name} after {pairs} pairs: {found.verdict}")
                return found
            pairs += 1
            self._add_pairs(remedy, pairs)

    def _judged(self, remedy: Remedy, among: float) -> Judged:
        arm = self._arms[remedy.name]
        n = len(arm.losses)
        base = replace(self.base, losses=self.base.losses[:n], verdicts=self.base.verdicts[:n])
        return judge_one(base, arm, symptom=self.symptom, rule=ANYTIME, comparisons=among)

    def _affords(self, pairs: int, remedy: Remedy) -> bool:
        """Whether the budget holds so many pairs of a remedy, and then both controls."""
        if self.budget is None:
            return True
        wanted = sum(max(0, pairs - self._num_seeds(each)) for each in (AS_IT_WAS, remedy))
        counts = [*(len(each.val_losses) for each in self.judged), pairs]
        controls = control_runs(max(counts), max(LEAST_DRAWS, sum(counts) - max(counts)))
        return self.num_runs + wanted + controls <= self.budget

    def _num_seeds(self, arm: Remedy) -> int:
        return len(self._arms[arm.name].losses) if arm.name in self._arms else 0

    def _add_pairs(self, remedy: Remedy, pairs: int) -> None:
        """Train the run as it was and a remedy until both have so many seeds."""
        missing = {each: self._num_seeds(each) for each in (AS_IT_WAS, remedy)}
        for first in sorted(set(missing.values())):
            arms = [each for each, have in missing.items() if have == first]
            if first >= pairs:
                continue
            self._sweeps += 1
            seeds = self.plan.seeds[first:pairs]
            shown = f"pair {pairs}" if len(seeds) == 1 else f"pairs {first + 1} to {pairs}"
            doing = f"{remedy.name}, {shown} of at most {len(self.plan.seeds)}"
            self.announce(doing, self._most_after(len(arms) * len(seeds)))
            part = ARMS if self._sweeps == 1 else f"{ARMS}_{self._sweeps}"
            trained = self._train(part, arms, seeds)
            for arm in trained:
                known = self._arms.get(arm.name)
                self._arms[arm.name] = joined(known, arm) if known else arm

    def _most_after(self, num_runs: int) -> int:
        """Return the most runs that may follow so many, with both controls."""
        most = len(self.plan.seeds)
        tried = [len(each.val_losses) for each in self.judged]
        pairs = [*tried, *(most for _ in self.plan.remedies[len(tried) :])]
        draws = max(LEAST_DRAWS, sum(pairs) - max(pairs))
        total = most + sum(pairs) + control_runs(max(pairs), draws)
        total = total if self.budget is None else min(total, self.budget)
        return max(0, total - self.num_runs - num_runs)

    def _train(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm]:
        self.num_runs += len(arms) * len(seeds)
        return self.trials.train(part, arms, seeds)


def joined(first: Arm, rest: Arm) -> Arm:
    """Return the runs of an arm over some seeds and over the next ones as one arm."""
    return replace(
        first, losses=first.losses + rest.losses, verdicts=first.verdicts + rest.verdicts
    )
