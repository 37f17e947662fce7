"""`stop=early`: which runs it asks for, and what it concludes; losses are written down."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.diagnosis.paired_trials import CONFIRMED, HARMFUL, NOT_CONFIRMED, Arm
from pipeline.diagnosis.proof import Verification
from pipeline.diagnosis.record import Remedy
from pipeline.errors import ConfigError
from pipeline.files import read_record
from pipeline.reporting.forest import rows_of
from pipeline.reporting.verification_text import show_verification
from pipeline.verification.early import EarlyTrials, comparisons
from pipeline.verification.parts import AS_IT_WAS
from pipeline.verification.patient import patient_of
from pipeline.verification.plan import VerificationPlan, num_runs, plan_of
from pipeline.verification.verify import verify
from verification_cases import options, patient
from verified import interrupted_after, run_sweep

GAINS = {"clear": 2.0, "slight": 0.05, "nothing": 0.0, "worse": -2.0}
NOISE = (0.04, -0.03, 0.02, -0.04, 0.01, 0.03, -0.02, 0.05, -0.05, 0.0)


class Known:
    """Arms whose loss is that of the run as it was, divided by exp(gain): nothing is trained."""

    def __init__(self, verdict_of: Callable[[str], str] = lambda name: "healthy") -> None:
        self.verdict_of = verdict_of
        self.asked: list[tuple[str, tuple[str, ...], tuple[int, ...]]] = []

    def train(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm]:
        self.asked.append((part, tuple(arm.name for arm in arms), tuple(seeds)))
        return [self._arm(arm.name, seeds) for arm in arms]

    def _arm(self, name: str, seeds: Sequence[int]) -> Arm:
        gain = GAINS.get(name, 0.0)
        noise = [0.0 if name == AS_IT_WAS.name else NOISE[s % 10] for s in seeds]
        losses = tuple(math.exp(-gain - each) for each in noise)
        verdict = "overfitting" if name == AS_IT_WAS.name else self.verdict_of(name)
        return Arm(name, (f"{name}=on",), losses, (verdict,) * len(seeds))


def tried(
    *names: str, trainer: Known | None = None, budget: int | None = None, decided: bool = True
) -> EarlyTrials:
    remedies = tuple(Remedy(name, (), "") for name in names)
    draws = tuple(Remedy(f"random_{i}", (), "") for i in range(30))
    plan = VerificationPlan(remedies, draws, tuple(range(10)), tuple(range(1000, 1010)))
    runs = EarlyTrials(trainer or Known(), plan, "overfitting", budget=budget)
    if decided:
        runs.decide()
    return runs


def test_a_clear_remedy_takes_three_pairs_and_few_controls() -> None:
    trainer = Known()
    runs = tried("clear", trainer=trainer)
    assert [judged.verdict for judged in runs.judged] == [CONFIRMED]
    controls = runs.controls()
    assert controls is not None and [len(arm.losses) for arm in controls] == [3, 3]
    assert trainer.asked == [
        ("arms", ("as_it_was", "clear"), (0, 1, 2)),
        ("reseed", ("as_it_was",), (1000, 1001, 1002)),
        ("search", ("random_0", "random_1"), (0,)),
        ("random", ("random_0",), (1, 2)),
    ]
    assert runs.num_runs == num_runs(1, 3) == 13


def test_the_second_remedy_is_not_tried_where_the_first_is_enough() -> None:
    """A fifth of the error is kept for the second; three pairs can still decide the first."""
    runs = tried("clear", "slight")
    assert [len(judged.val_losses) for judged in runs.judged] == [3]
    assert runs.untried == ("slight",)


def test_a_remedy_that_leaves_the_symptom_is_followed_by_the_next() -> None:
    trainer = Known(lambda name: "overfitting" if name == "clear" else "healthy")
    runs = tried("clear", "nothing", trainer=trainer)
    assert [judged.name for judged in runs.judged] == ["clear", "nothing"]
    assert runs.judged[0].verdict == CONFIRMED and runs.judged[1].verdict == NOT_CONFIRMED
    # The second arm begins with the seeds of the first; the run as it was has them already.
    assert trainer.asked[1] == ("arms_2", ("nothing",), (0, 1, 2))


def test_a_remedy_without_effect_is_given_up_and_one_that_harms_is_named() -> None:
    runs = tried("nothing", "worse")
    assert [judged.verdict for judged in runs.judged] == [NOT_CONFIRMED, HARMFUL]
    assert 3 <= len(runs.judged[0].val_losses) < 10
    assert runs.controls() is None


def test_pairs_come_one_at_a_time_until_they_decide() -> None:
    trainer = Known()
    (judged,) = tried("slight", trainer=trainer).judged
    assert [seeds for _, _, seeds in trainer.asked[1:]] == [
        (n,) for n in range(3, len(judged.val_losses))
    ]


def test_the_budget_holds_the_pairs_and_both_controls() -> None:
    for budget in range(num_runs(1, 3), 40):
        runs = tried("slight", "clear", budget=budget)
        runs.controls()
        assert runs.num_runs <= budget


@pytest.mark.parametrize("budget", [None, 45])
def test_no_step_is_followed_by_more_runs_than_were_announced(budget: int | None) -> None:
    trainer = Known(lambda name: "overfitting")
    runs = tried("slight", "clear", "nothing", trainer=trainer, budget=budget, decided=False)
    announced: list[tuple[int, int]] = []  # runs before the step, and those that may follow it
    runs.announce = lambda doing, most: announced.append((runs.num_runs, most))
    runs.decide()
    controls = runs.controls()
    steps = [len(arms) * len(seeds) for _, arms, seeds in trainer.asked]
    assert len(announced) == len(steps)
    for (before, most), step in zip(announced, steps, strict=True):
        assert runs.num_runs - before - step <= most
    most_of_all = announced[0][1] + steps[0]
    assert most_of_all == (num_runs(3, 10) if budget is None else budget)
    assert controls is None or announced[-1][1] == 0


def test_the_shares_of_the_error_add_up() -> None:
    for count in range(1, 6):
        assert sum(1 / comparisons(i, count) for i in range(count)) == pytest.approx(1.0)


def test_a_budget_below_the_least_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs 13 runs"):
        plan_of(patient(), options(stop="early", budget=12))
    assert plan_of(patient(), options(stop="early", budget=13)) is not None


def test_a_real_verification_stops_early_and_goes_on_after_an_interruption(
    overfitted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")  # a narrow terminal breaks the headings
    sick = patient_of("wide", root=overfitted)
    asked = options(remedies=("more_data",), seeds=6, stop="early")
    with pytest.raises(KeyboardInterrupt):
        verify(sick, asked, root=overfitted, run_sweep=interrupted_after(1))
    capsys.readouterr()
    found = verify(sick, asked, root=overfitted, run_sweep=run_sweep)
    assert found is not None and found.stop == "early"
    shown = capsys.readouterr().out
    assert "6 runs, all known from earlier calls" in shown
    assert "to the next decision" in shown and not re.search(r"\d s left", shown)
    (arm,) = found.arms
    pairs = len(arm.val_losses)
    assert (arm.name, arm.verdict) == ("more_data", CONFIRMED) and 3 <= pairs < 6
    assert found.claim is not None and found.claim.remedy.n == pairs == found.seeds
    assert found.num_runs == 2 * pairs + pairs + 2 + pairs - 1
    record = read_record(overfitted / "results/wide/verification.json", Verification, way_out="")
    assert record == found
    assert len(rows_of(found)) == 3
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        show_verification(found)
    assert "p (at any time)" in output.getvalue()
