"""`verify stop=early` on real trainings: how often it errs without an effect, and what it saves.

    python benchmarks/early.py null --experiments 40   # tiny networks, arms are other seeds
    python benchmarks/early.py replay                  # the recorded runs of benchmarks/heal.py
    python benchmarks/early.py design                  # what the first remedy's share of error does

null    Each experiment tries two remedies that change nothing but the seed, on 500 images of
        14x14 pixels. Every decision is an error. A finished experiment is a line of
        `benchmarks/runs/early_null.jsonl`, and is not repeated.
replay  The trained runs of `heal.py` (five seeds of every arm) are read in the order of the seeds,
        by the very class that trains them in `verify`. Runs that it does not ask for are saved.
        The claim is measured anew, on the test part, over the pairs that it asked for.
design  Losses are drawn: the first of two remedies helps, by so many spreads of the paired gains.
        The table has the runs until both controls are done, beside the 30 of the fixed design.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from heal import PROJECT, share
from planted_runs import FOLDER, ROOT

sys.path.insert(0, str(ROOT / "src"))

NULL_FILE = FOLDER / "early_null.jsonl"
NUM_REMEDIES = 2
GUESSING = float(np.log(10))  # nats
TINY = (
    *("model=mlp", "model.width=16", "model.depth=1", "trainer.max_epochs=2", "signals=none"),
    *("tracking=none", "trainer.accelerator=cpu", "trainer.precision=32", "trainer.num_threads=1"),
    *("data.fraction=0.125", "trainer.sample_size=100", "data.batch_size=64"),
    "optimizer.learning_rate=0.01",
)


class Reseeded:
    """Trains the tiny network; every arm has seeds of its own, and nothing else."""

    def __init__(self, experiment: int) -> None:
        from pipeline.config import compose
        from planted_runs import small

        self.config = compose(TINY, root=ROOT)
        self.data = small("mnist")
        self.experiment = experiment

    def train(self, part: str, arms: Sequence[Any], seeds: Sequence[int]) -> list[Any]:
        from pipeline.diagnosis.paired_trials import Arm

        return [
            Arm(arm.name, (), tuple(self._loss(arm.name, s) for s in seeds), ("sick",) * len(seeds))
            for arm in arms
        ]

    def _loss(self, arm: str, seed: int) -> float:
        from pipeline.config import RunConfig
        from pipeline.runs.network import untrained_network
        from pipeline.runs.train_once import train_once

        place = 0 if arm == "as_it_was" else 1 + int(arm)
        number = 100_000 * self.experiment + 1000 * place + seed
        settings = self.config.settings.model_copy(update={"seed": number})
        config = RunConfig(settings, {**self.config.values, "seed": number})
        network = untrained_network(settings, self.data.card, root=ROOT)
        return float(train_once(network, self.data, config).kept.metrics["val/cross_entropy"])


def plan_with(remedies: Sequence[Any], seeds: int) -> Any:
    from pipeline.verification.plan import VerificationPlan

    return VerificationPlan(tuple(remedies), (), tuple(range(seeds)), tuple(range(seeds)))


def null(experiments: int) -> None:
    """Run the experiments that are missing, and print how often one of them decided."""
    from pipeline.diagnosis.paired_trials import NOT_CONFIRMED
    from pipeline.diagnosis.record import Remedy
    from pipeline.verification.early import MOST_SEEDS, EarlyTrials

    NULL_FILE.parent.mkdir(parents=True, exist_ok=True)
    lines = NULL_FILE.read_text().splitlines() if NULL_FILE.is_file() else []
    done = {each["experiment"]: each for each in map(json.loads, lines)}
    remedies = [Remedy(str(i), (), "") for i in range(NUM_REMEDIES)]
    for experiment in range(experiments):
        if experiment in done:
            continue
        runs = EarlyTrials(Reseeded(experiment), plan_with(remedies, MOST_SEEDS), "sick")
        judged = runs.decide()
        done[experiment] = {
            "experiment": experiment,
            "verdicts": [each.verdict for each in judged],
            "pairs": [len(each.val_losses) for each in judged],
            "p_values": [each.p_value for each in judged],
            "runs": runs.num_runs,
        }
        with NULL_FILE.open("a") as file:
            file.write(json.dumps(done[experiment]) + "\n")
    found = [done[i] for i in range(experiments)]
    wrong = sum(any(v != NOT_CONFIRMED for v in each["verdicts"]) for each in found)
    pairs = np.mean([p for each in found for p in each["pairs"]])
    runs_each = np.mean([each["runs"] for each in found])
    print(f"any of {NUM_REMEDIES} remedies without effect decided: {share(wrong, len(found))}")
    print(f"{pairs:.1f} pairs a remedy, {runs_each:.1f} runs an experiment on average")


class Recorded:
    """The trained arms of one verification of `heal.py`, in place of new runs."""

    def __init__(self, case: str) -> None:
        from pipeline.diagnosis.proof import Verification
        from pipeline.files import read_record
        from pipeline.sweep.analysis import read_study

        path = PROJECT / "results" / case / "verification.json"
        self.found = read_record(path, Verification, way_out="Run heal.py again.")
        self.study = read_study(
            f"sqlite:///{PROJECT / 'studies' / case}.db", self.found.studies["arms"]
        )

    @property
    def names(self) -> list[str]:
        """The remedies in the order of the plan."""
        labels = self.study.frozen[0].distributions["experiment"].choices[1:]
        by_label = {self._label(arm.name): arm.name for arm in self.found.arms}
        return [by_label[str(label).rpartition("/")[2]] for label in labels]

    @staticmethod
    def _label(arm: str) -> str:
        from pipeline.diagnosis.remedies import file_label

        return file_label(arm)

    def train(self, part: str, arms: Sequence[Any], seeds: Sequence[int]) -> list[Any]:
        return [self._arm(arm.name, seeds) for arm in arms]

    def _arm(self, name: str, seeds: Sequence[int]) -> Any:
        from pipeline.diagnosis.paired_trials import DIVERGED, Arm, counted_loss

        losses, verdicts = [], []
        for trial in (self.trial(name, seed) for seed in seeds):
            complete = trial is not None and trial.state == "complete"
            loss = trial.metrics["val/cross_entropy"] if complete else None
            losses.append(counted_loss(loss, guessing=GUESSING))
            verdicts.append((trial.verdict or "") if complete else DIVERGED)
        return Arm(name, (name,), tuple(losses), tuple(verdicts))

    def trial(self, name: str, seed: int) -> Any:
        label = self._label(name)
        for trial in self.study.trials:
            experiment = str(trial.params["experiment"]).rpartition("/")[2]
            if (experiment, int(trial.params["seed"])) == (label, seed):
                return trial
        return None

    def test_gains(self, name: str, seeds: Sequence[int]) -> np.ndarray:
        """Return the gains of the test loss of an arm over the run as it was."""
        from pipeline.data.store import load_split
        from pipeline.diagnosis.paired_trials import log_gains

        test = load_split(PROJECT / "data/processed/mnist", "test")
        losses = [[self._test_loss(arm, s, test) for s in seeds] for arm in ("as_it_was", name)]
        return log_gains(*losses)

    def _test_loss(self, name: str, seed: int, test: Any) -> float:
        from pipeline.diagnosis.paired_trials import counted_loss
        from pipeline.evaluation.scores import log_softmax
        from pipeline.models.inference import predict_logits
        from pipeline.models.saved import load_model

        trial = self.trial(name, seed)
        if trial is None or trial.state != "complete":
            return counted_loss(None, guessing=GUESSING)
        folder = PROJECT / self.study.folder / str(trial.number) / "models"
        model = load_model(next(folder.iterdir()))
        logits = predict_logits(model.network, test.images, mean=model.mean, std=model.std)
        logs = log_softmax(logits.astype(np.float64))
        loss = -float(logs[np.arange(len(test)), test.labels].mean())
        return counted_loss(loss, guessing=GUESSING)


SHARES, EFFECTS = (0.5, 0.8, 0.9), (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0)


class Drawn:
    """Arms of drawn losses: the first remedy helps by an effect, and the second one not at all."""

    def __init__(self, effect: float, seed: int) -> None:
        self.effect, self.seed = effect, seed

    def train(self, part: str, arms: Sequence[Any], seeds: Sequence[int]) -> list[Any]:
        from pipeline.diagnosis.paired_trials import Arm

        return [
            Arm(arm.name, (), tuple(self._loss(arm.name, s) for s in seeds), ("sick",) * len(seeds))
            for arm in arms
        ]

    def _loss(self, arm: str, seed: int) -> float:
        """The spread of a paired gain is 0.1: that of either arm is smaller by the root of two."""
        place = {"as_it_was": 0, "0": 1}.get(arm, 2)
        noise = np.random.default_rng([self.seed, seed, place]).normal(0, 0.1 / np.sqrt(2))
        return float(np.exp(noise - (0.1 * self.effect if place == 1 else 0.0)))


def design(experiments: int) -> None:
    """Print, for each share of the error and each effect, how often and how dear it is found."""
    from pipeline.verification import early

    print("effect | " + " | ".join(f"share {s:g}: found, runs" for s in SHARES))
    for effect in EFFECTS:
        cells = []
        for share_of_first in SHARES:
            early.FIRST_SHARE = share_of_first
            ended = [first_of_two(effect, seed) for seed in range(experiments)]
            costs = [runs for found, runs in ended if found]
            cells.append(f"{len(costs) / experiments:.0%}, {np.mean(costs or [np.nan]):.1f}")
        print(f"{effect:g} | " + " | ".join(cells), flush=True)


def first_of_two(effect: float, seed: int) -> tuple[bool, int]:
    """Return whether the first of two remedies is confirmed, and the runs with both controls."""
    from pipeline.diagnosis.paired_trials import CONFIRMED
    from pipeline.diagnosis.record import Remedy
    from pipeline.verification.early import MOST_SEEDS, EarlyTrials
    from pipeline.verification.plan import LEAST_DRAWS, control_runs

    remedies = [Remedy(str(i), (), "") for i in range(2)]
    runs = EarlyTrials(Drawn(effect, seed), plan_with(remedies, MOST_SEEDS), "another")
    first = next(each for each in runs.decide() if each.name == "0")
    return first.verdict == CONFIRMED, runs.num_runs + control_runs(
        len(first.val_losses), max(LEAST_DRAWS, sum(len(j.val_losses) for j in runs.judged[1:]))
    )


def replay() -> None:
    """Print, for each verification of `heal.py`, what both designs conclude and cost."""
    paths = sorted((PROJECT / "cases").glob("faults_*.json"))
    rows = [row for path in paths if (row := replayed(path.stem))]
    print("case | fixed | early | runs fixed | runs early | pairs")
    for row in rows:
        print(" | ".join(map(str, row)))
    same = sum((row[1] == "nothing") == (row[2] == "nothing") for row in rows)
    fixed, early = (sum(row[i] for row in rows) for i in (3, 4))
    print(f"same verdict: {share(same, len(rows))}; the same remedy: "
          f"{share(sum(row[1] == row[2] for row in rows), len(rows))}")  # fmt: skip
    print(f"runs: {fixed} fixed, {early} early, {1 - early / fixed:.0%} fewer")


def replayed(case: str) -> tuple[Any, ...] | None:
    """Return (case, proved by fixed, proved by early, runs of both, pairs); None for no proof."""
    from pipeline.diagnosis.paired_trials import relative_reduction
    from pipeline.diagnosis.record import Remedy
    from pipeline.verification.early import EarlyTrials
    from pipeline.verification.judgement import best_confirmed
    from pipeline.verification.plan import LEAST_DRAWS, VerificationPlan, control_runs, num_runs

    if not (PROJECT / "results" / case / "verification.json").is_file():
        return None
    recorded = Recorded(case)
    found = recorded.found
    seeds = sorted({int(t.params["seed"]) for t in recorded.study.trials})
    remedies = tuple(Remedy(name, (), "") for name in recorded.names)
    plan = VerificationPlan(remedies, (), tuple(seeds), tuple(seeds))
    runs = EarlyTrials(recorded, plan, found.symptom)
    judged = runs.decide()
    chosen, proved = best_confirmed(judged), "nothing"
    cost = runs.num_runs
    if chosen is not None:
        pairs = len(chosen.val_losses)
        others = sum(len(each.val_losses) for each in judged) - pairs
        cost += control_runs(pairs, max(LEAST_DRAWS, others))
        if relative_reduction(recorded.test_gains(chosen.name, seeds[:pairs])).low > 0:
            proved = chosen.name
    fixed = found.chosen.name if found.proved and found.chosen else "nothing"
    tried = ", ".join(str(len(each.val_losses)) for each in judged)
    return case, fixed, proved, num_runs(len(found.arms), len(seeds)), cost, tried


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("null", "replay", "design"))
    parser.add_argument("--experiments", type=int, default=40)
    asked = parser.parse_args()
    if asked.part == "null":
        null(asked.experiments)
    elif asked.part == "design":
        design(asked.experiments)
    else:
        replay()


if __name__ == "__main__":
    main()
