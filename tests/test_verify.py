"""Proof of a remedy: the arithmetic in closed form and by a second road, and one real verification."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline import cli
from pipeline.config import compose
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.verify import (
    CONFIRMED,
    HARMFUL,
    NOT_CONFIRMED,
    Arm,
    cost,
    holm,
    judge,
    log_gains,
    relative,
    seeds_needed,
    seeds_to_decide,
)
from pipeline.errors import ConfigError, DataError, TrackingError, TrainingError
from pipeline.stages import verify_runs as runs
from pipeline.stages.heal import heal
from pipeline.stages.verify import parse, planned, verify
from pipeline.stages.verify_patient import patient_of, patient_of_run
from pipeline.stages.verify_report import Undecided, Verification, sentence, undecided
from pipeline.stages.verify_runs import Claim, Options, Patient
from planted_history import FAULTS, history

ROOT = Path(__file__).parents[1]
STORAGE = "sqlite:///optuna.db"


def options(**given: Any) -> Options:
    return Options(storage=STORAGE, **given)


def arm(name: str, losses: list[float], verdict: str = "healthy") -> Arm:
    return Arm(name, (), tuple(losses), (verdict,) * len(losses))


BASE = arm("base", [0.40, 0.50, 0.45, 0.55, 0.42], "overfitting")

# --- arithmetic ---------------------------------------------------------------------------------------


def test_a_fall_of_a_fifth_in_every_pair_is_a_fifth_without_spread() -> None:
    found = relative(log_gains(BASE.losses, [0.8 * x for x in BASE.losses]))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))


def test_the_interval_and_p_are_those_of_a_paired_t_test() -> None:
    losses = [0.30, 0.48, 0.33, 0.50, 0.36]
    by_scipy = stats.ttest_rel(np.log(BASE.losses), np.log(losses))
    interval = by_scipy.confidence_interval(0.95)
    found = judge(BASE, [arm("a", losses)], symptom="overfitting")[0]
    assert found.p_value == pytest.approx(by_scipy.pvalue)
    assert found.improvement.low == pytest.approx(1 - math.exp(-interval.low))
    assert found.improvement.high == pytest.approx(1 - math.exp(-interval.high))


def test_holm_adjusts_as_in_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("losses", "verdicts", "wanted"),
    [
        ([0.30, 0.39, 0.34, 0.42, 0.31], "healthy", CONFIRMED),
        ([0.30, 0.39, 0.34, 0.42, 0.31], "overfitting", CONFIRMED),  # less, but still there: told as such
        ([0.30, 0.39, 0.34, 0.42, 0.31], "underfitting", NOT_CONFIRMED),  # a new symptom
        ([0.50, 0.63, 0.56, 0.70, 0.52], "healthy", HARMFUL),
        ([0.39, 0.52, 0.43, 0.56, 0.42], "healthy", NOT_CONFIRMED),
    ],
)
def test_an_arm_is_judged_by_its_pairs_and_its_symptoms(
    losses: list[float], verdicts: str, wanted: str
) -> None:
    found = judge(BASE, [arm("a", losses, verdicts)], symptom="overfitting")[0]
    assert found.verdict == wanted
    assert found.symptom == (1.0 if verdicts == "overfitting" else 0.0)


def test_where_the_base_diverged_any_model_is_better_and_a_run_that_diverges_still_has_the_symptom() -> None:
    base = arm("base", [2.3] * 5, "diverged")
    cured = arm("a", [0.30, 0.39, 0.34, 0.42, 0.31], "undertrained")
    half = Arm("b", (), (2.3, 0.31, 0.30, 0.29, 0.30), ("diverged", *["healthy"] * 4))
    (first, second) = judge(base, [cured, half], symptom="learning_rate_too_high")
    assert (first.arm.name, first.verdict, first.symptom) == ("a", CONFIRMED, 0.0)
    assert (second.verdict, second.symptom) == (CONFIRMED, 0.2)
    assert judge(BASE, [cured], symptom="learning_rate_too_high")[0].verdict == NOT_CONFIRMED


def test_the_same_gain_is_worth_less_among_many_arms() -> None:
    losses = [0.37, 0.49, 0.40, 0.54, 0.37]
    alone = judge(BASE, [arm("a", losses)], symptom="")[0]
    many = judge(BASE, [arm(str(i), losses) for i in range(8)], symptom="")[0]
    assert alone.verdict == CONFIRMED and many.verdict == NOT_CONFIRMED
    assert many.improvement.low < alone.improvement.low


def test_noise_alone_is_confirmed_as_seldom_as_promised() -> None:
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        base = arm("base", list(np.exp(generator.normal(-1, 0.1, 5))))
        arms = [arm(str(i), list(np.exp(generator.normal(-1, 0.1, 5)))) for i in range(4)]
        wrong += any(j.verdict == CONFIRMED for j in judge(base, arms, symptom=""))
    assert wrong / 400 < 0.05  # the whole family, in one direction: 2.5 % at most, here with its own noise


def test_the_seeds_that_are_needed_are_the_first_that_decide() -> None:
    """With n such pairs the t interval just leaves 0; with one fewer it does not."""
    gains = np.array([0.10, -0.05, 0.12, 0.02, 0.06])
    n = seeds_needed(gains)
    assert n is not None
    reach = [stats.t.ppf(0.975, k - 1) * gains.std(ddof=1) / math.sqrt(k) for k in (n - 1, n)]
    assert reach[1] < gains.mean() < reach[0]
    assert seeds_needed(np.array([1e-6, -1e-6, 1e-7])) is None


def test_an_estimate_tells_the_seeds_that_are_needed_as_its_gains_do() -> None:
    gains = np.array([0.10, -0.05, 0.12, 0.02, 0.06])
    for comparisons in (1, 4):
        needed = seeds_needed(gains, comparisons=comparisons)
        tail = 0.5 + (1 - 0.05 / comparisons) / 2
        first = next(
            n
            for n in range(6, 1000)
            if stats.t.ppf(tail, n - 1) * gains.std(ddof=1) / math.sqrt(n) < gains.mean()
        )
        assert needed == first == seeds_to_decide(relative(gains, comparisons=comparisons))


def verification(*arms: Arm, claim: Claim | None = None) -> Verification:
    """What would be found if the runs had these losses."""
    judged = judge(BASE, arms, symptom="overfitting")
    nothing = relative(np.zeros(5))
    chosen = judged[0] if claim else None
    return Verification(patient(), tuple(judged), nothing, nothing, chosen, claim, None, None)


def test_a_spread_that_is_too_large_is_told_with_the_seeds_that_it_needs() -> None:
    """By hand: the sentence names the arm that seems to help most surely, not a harmful or a vain one."""
    small, smaller = [0.38, 0.50, 0.42, 0.55, 0.41], [0.37, 0.52, 0.45, 0.54, 0.42]
    worse = [0.42, 0.51, 0.44, 0.57, 0.43]
    found = verification(arm("dropout", small), arm("l2", smaller), arm("l1", worse))
    near = undecided(found)
    needed = seeds_needed(log_gains(BASE.losses, small), comparisons=3)
    assert near == Undecided("dropout", needed or 0, cost(1, needed or 0)) and needed is not None
    assert "cannot be decided with this budget, 5 paired seeds" in sentence(found)
    assert f"Dropout needs about {needed} seeds" in sentence(found)
    in_vain = verification(arm("l1", worse))
    assert undecided(in_vain) is None and "no remedy is confirmed" in sentence(in_vain)


def test_a_test_loss_that_straddles_zero_is_told_with_the_seeds_that_it_needs() -> None:
    gains = np.array([0.10, -0.05, 0.12, 0.02, 0.06])
    nothing = relative(np.zeros(5))
    claim = Claim("dropout", relative(gains), nothing, nothing)
    found = verification(arm("dropout", [0.30, 0.39, 0.34, 0.42, 0.31]), claim=claim)
    assert not found.proved
    assert (
        f"not proved. It cannot be decided with this budget. Dropout needs about {seeds_needed(gains)} seeds"
        in (sentence(found))
    )
    worse = verification(
        arm("dropout", [0.30, 0.39, 0.34, 0.42, 0.31]),
        claim=Claim("dropout", relative(-gains), nothing, nothing),
    )
    assert undecided(worse) is None  # more seeds would only make the harm sure


# --- what is asked for -------------------------------------------------------------------------------------


def patient(verdict: str = "overfitting", *extra: str) -> Patient:
    _, values = compose(["data.fraction=0.5", *extra], root=ROOT)
    found = diagnose(history(**FAULTS.get(verdict, {}), settings=values))
    return Patient("mlp", ("data.fraction=0.5", *extra), values, found)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (options(seeds=1), "must be 3 or more"),
        (options(budget=10), "cannot decide anything. One remedy with both controls needs 22 runs"),
        (options(remedies=("dropuot",)), "dropout"),
        (options(remedies=("zero_bias",)), "without effect"),
        (options(remedies=("smaller_model", "smaller_model")), "name smaller_model once"),
        (options(remedies=("dropout", "augment", "l2", "l1", "early_stopping")), "Name fewer"),
    ],
)
def test_what_cannot_decide_anything_is_refused(asked: Options, word: str) -> None:
    with pytest.raises(ConfigError, match=word.replace("+", r"\+")):
        planned(patient(), asked)


def test_a_remedy_that_is_in_force_is_refused() -> None:
    assert [r.name for r in planned(patient(), options(remedies=("dropout",)))] == ["dropout"]
    with pytest.raises(ConfigError, match="in force already"):
        planned(patient("overfitting", "model.dropout=0.5"), options(remedies=("dropout",)))


def test_the_diagnosis_offers_its_first_remedies_and_a_combination() -> None:
    offered = planned(patient(), options())
    assert [r.name for r in offered] == ["more_data", "dropout", "augment", "more_data+dropout"]
    assert planned(patient("healthy"), options()) == []
    assert [r.name for r in planned(patient("healthy"), options(remedies=("l2",)))] == ["l2"]


def test_a_budget_buys_so_many_arms() -> None:
    assert len(planned(patient(), options(budget=cost(2, 5)))) == 2
    assert len(planned(patient(), options(budget=cost(3, 5) - 1))) == 2


@pytest.mark.parametrize("wrong", ["seeds=two", "remedy=x", "budget=", "name=", "run="])
def test_a_mistyped_option_is_told(wrong: str) -> None:
    with pytest.raises(ConfigError, match="known are"):
        parse([wrong], storage=STORAGE)


def test_a_run_is_named_in_one_way() -> None:
    assert parse([], storage=STORAGE).name == "mlp"
    assert parse(["run=0123abcd"], storage=STORAGE).run == "0123abcd"
    with pytest.raises(ConfigError, match="not both"):
        parse(["name=mlp", "run=0123abcd"], storage=STORAGE)


# --- for real --------------------------------------------------------------------------------------------------


@pytest.fixture
def overfitted(project: Path) -> Path:
    """A wide network on 200 images for long, trained and diagnosed."""
    arguments = ["model.width=128", "model.dropout=0.0", "data.fraction=0.1", "trainer.max_epochs=12"]
    _run("train", "name=wide", *arguments, "data.batch_size=32", "tracking=mlflow")
    return project


def _run(command: str, *overrides: str) -> int:
    return cli.COMMANDS[command](list(overrides))


def test_a_remedy_is_proved_resumed_exported_and_the_test_set_read_once(
    overfitted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert patient_of("wide", root=overfitted).diagnosis.verdict == "overfitting"
    reads: list[str] = []
    true_load = runs.load_split

    def counted(folder: Path, split: str) -> Any:
        reads.append(split)
        return true_load(folder, split)

    monkeypatch.setattr(runs, "load_split", counted)
    asked = options(remedies=("more_data",), seeds=3)
    trained: list[str] = []

    def sweep(overrides: Any) -> Any:
        trained.append(overrides[0])
        if len(trained) == 2:
            raise KeyboardInterrupt  # after the first study
        return cli._sweep(overrides)

    with pytest.raises(KeyboardInterrupt):
        verify(patient_of("wide", root=overfitted), asked, root=overfitted, run_sweep=sweep)
    assert not (overfitted / "results/wide/verification.json").exists() and not reads
    capsys.readouterr()
    found = verify(patient_of("wide", root=overfitted), asked, root=overfitted, run_sweep=cli._sweep)
    told = capsys.readouterr().out
    assert "6 trials, 6 done" in told  # the interrupted part is not trained again
    assert found is not None and found.proved and found.chosen is not None
    assert found.chosen.verdict == CONFIRMED and found.chosen.improvement.low > 0
    assert reads == ["test"]
    assert found.experiment is not None and found.experiment.name == "wide_verified.yaml"
    settings, _ = compose(["experiment=wide_verified"], root=overfitted)
    assert settings.data.fraction == 1.0 and settings.model.width == 128  # type: ignore[union-attr]
    again = verify(patient_of("wide", root=overfitted), asked, root=overfitted, run_sweep=cli._sweep)
    assert reads == ["test"], "a claim that was made is not made again"
    assert again is not None and again.claim == found.claim
    (overfitted / "results/wide/verification.json").unlink()  # as if killed just after the claim
    verify(patient_of("wide", root=overfitted), asked, root=overfitted, run_sweep=cli._sweep)
    assert reads == ["test"]
    values = json.loads((overfitted / "results/wide/verification.json").read_text())
    assert values["arms"][0]["verdict"] == CONFIRMED and "lowers test loss by" in values["sentence"]
    _children(overfitted)


def _children(root: Path) -> None:
    """In MLflow the verification is the parent of all its arms' runs, which names and tags tell apart."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)
    (top,) = (r for r in runs if r.data.tags.get("pipeline.kind") == "verification")
    assert top.info.run_name == "verify wide" and top.data.tags["verify.proved"] == "more_data"
    assert "lowers test loss by" in top.data.tags["mlflow.note.content"]
    artifacts = {a.path for a in client.list_artifacts(top.info.run_id)}
    assert {"verification.json", "verification.png", "report.html"} <= artifacts
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == top.info.run_id]
    studies = [r for r in children if r.data.tags.get("pipeline.kind") == "study"]
    assert {r.data.tags["verify.part"] for r in studies} == {"arms", "reseed", "search", "random"}
    trained = [r for r in children if r not in studies]
    assert len(trained) == cost(1, 3)
    told = {(t["verify.arm"], t["verify.seed"], t["verify.judged"]) for t in (r.data.tags for r in trained)}
    assert len(told) == len(trained), "every run has its own arm and seed"
    assert {("more_data", str(s), "confirmed") for s in range(3)} < told
    assert {("as_it_was", str(s), "control") for s in range(3)} < told
    assert {("control: reseeded", str(1000 + s), "control") for s in range(3)} < told
    assert {r.info.run_name for r in trained if r.data.tags["verify.part"] == "search"} == {
        "control: draw 0, seed 0",
        "control: draw 1, seed 0",
    }
    for run in trained:
        tags = run.data.tags
        assert run.info.run_name == f"{tags['verify.arm']}, seed {tags['verify.seed']}"
        assert run.data.params["seed"] == tags["verify.seed"]
        assert tags["verify.model"] == "wide" and tags["diagnosis.verdict"]


def test_healing_ends_when_nothing_is_confirmed_or_wrong(
    overfitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = patient_of("wide", root=overfitted)
    found = heal(start, options(remedies=("more_data",), seeds=3), root=overfitted, run_sweep=cli._sweep)
    # More data is in force after the first round: the second one has nothing more to try.
    assert found.end in ("the remedies that were named are all in force", "healthy", "undetermined")
    assert [s.adopted for s in found.steps] == ["more_data"] and found.steps[0].verdict == "overfitting"
    assert found.patient.settings["data"]["fraction"] == 1.0
    told = json.loads((overfitted / "results/wide/healing.json").read_text())
    assert told["steps"][0]["adopted"] == "more_data" and told["experiment"] == "wide_healed"
    small = heal(start, options(budget=5), root=overfitted, run_sweep=cli._sweep)
    assert small.end.startswith("the budget is used") and not small.steps


def test_a_run_that_diverged_is_healed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has left no model, only its numbers and its configuration; its losses count as those of guessing.

    The next diagnosis is of the remedy's first run that left a model: here not that of seed 0.
    """
    true_folder = runs.Trials.folder

    def claim(*args: Any, **kwargs: Any) -> Any:
        made = runs.claimed(*args, **kwargs)
        without = lambda self, part, arm, seed: true_folder(self, part, arm, seed) if seed else None  # noqa: E731
        monkeypatch.setattr(runs.Trials, "folder", without)
        return made

    monkeypatch.setattr("pipeline.stages.verify.claimed", claim)
    steep = ["optimizer=sgd", "optimizer.learning_rate=1e6", "model.width=32", "trainer.max_epochs=3"]
    with pytest.raises(TrainingError):
        _run("train", "name=steep", *steep, "tracking=mlflow")
    found = heal(
        patient_of("steep", root=project), options(seeds=3, budget=17), root=project, run_sweep=cli._sweep
    )
    assert [s.adopted for s in found.steps] == ["usual_learning_rate"]
    assert found.patient.settings["optimizer"]["learning_rate"] == 0.1
    told = json.loads((project / "results/steep/verification.json").read_text())
    assert told["arms"][0]["verdict"] == CONFIRMED and told["claim"]["remedy"]["low"] > 0.5
    assert told["claim"]["random"]["value"] > 0.2, "random search starts where the remedy does"


def test_a_run_that_left_no_model_is_refused(project: Path) -> None:
    with pytest.raises(DataError, match=r"history\.csv does not exist"):
        patient_of("nothing", root=project)


def test_a_tracked_run_is_the_same_patient_as_its_files(overfitted: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{overfitted / 'mlflow.db'}"
    client = MlflowClient(uri)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    by_run = patient_of_run(run.info.run_id, uri=uri, root=overfitted)
    by_name = patient_of("wide", root=overfitted)
    assert by_run.name == f"wide_{run.info.run_id[:8]}"
    assert sorted(by_run.overrides) == sorted(by_name.overrides) and by_run.settings == by_name.settings
    assert by_run.diagnosis.verdict == by_name.diagnosis.verdict == "overfitting"
    # By the command line too, as far as to a refusal that names what this run could be given.
    with pytest.raises(ConfigError, match="remedies=nonsense: is unknown"):
        _run("verify", f"run={run.info.run_id}", "remedies=[nonsense]")
    with pytest.raises(ConfigError, match="remedies=nonsense: is unknown"):
        _run("heal", f"run={run.info.run_id}", "remedies=[nonsense]")


@pytest.mark.parametrize(("command", "kept"), [(verify, "mlp_verified"), (heal, "mlp_healed")])
def test_a_person_s_experiment_is_not_replaced_and_that_is_told_first(
    project: Path, command: Any, kept: str
) -> None:
    own = project / "conf/experiment" / f"{kept}.yaml"
    own.write_text("# @package _global_\n# mine\nname: mine\n")

    def sweep(overrides: Any) -> Any:
        raise AssertionError(f"trained before it was told: {overrides}")

    with pytest.raises(ConfigError, match="is not ours to replace"):
        command(patient(), options(), root=project, run_sweep=sweep)
    assert "mine" in own.read_text()


def test_a_tracked_run_without_configuration_is_refused(project: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{project / 'mlflow.db'}"
    client = MlflowClient(uri)
    foreign = client.create_run(client.create_experiment("theirs"), run_name="foreign").info.run_id
    for epoch in range(12):
        client.log_metric(foreign, "val_loss", 0.3 + 0.02 * epoch, step=epoch)
    with pytest.raises(DataError, match=r"has no config\.json"):
        patient_of_run(foreign, uri=uri, root=project)
    with pytest.raises(TrackingError, match="run=0123456789abcdef"):
        patient_of_run("0123456789abcdef", uri=uri, root=project)
