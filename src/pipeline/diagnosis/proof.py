"""The records of a proof, in their written form: a verification, its claim, and a healing.

``pipeline.files.write_record`` writes them and ``read_record`` reads them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.diagnosis.paired_trials import Judged
from pipeline.records import Estimate


@dataclass(frozen=True)
class Reductions:
    """Relative reductions of the test loss against the configuration as it was, measured once.

    remedy: of the chosen arm.  reseed: of other seeds alone.
    random: of random search of equal cost.
    """

    remedy: Estimate
    reseed: Estimate
    random: Estimate


@dataclass(frozen=True)
class Claim(Reductions):
    """The same, with the name of the arm that was chosen."""

    arm: str

    @property
    def proved(self) -> bool:
        """Whether the remedy lowers the test loss beyond noise."""
        return self.remedy.low > 0


@dataclass(frozen=True)
class Undecided:
    """The most promising arm that is not proved.

    seeds: about how many would decide it.  runs: how many these are with this remedy alone.
    """

    arm: str
    seeds: int
    runs: int


@dataclass(frozen=True)
class Verification:
    """The file ``verification.json``: every arm as judged on validation, and the claim on test.

    symptom: verdict of the run as it was.  sentence: the result in words.  seeds: of every arm.
    undecided: None where something is proved, or where no arm seems to help.
    arms: the most helpful first.
    reseed, random: reductions of the validation loss by the controls.
    claim: None where no arm is confirmed.  experiment: name of the proved configuration.
    studies: ``arms``, ``arms_2``, ``reseed``, … → names of the studies that hold its runs.
    stop: fixed, or early for pairs that were added until they decided.  An early one trains no
    controls where nothing is confirmed, and leaves remedies untried.
    num_runs: of all arms and controls, also those that an earlier call had trained.
    """

    name: str
    symptom: str
    sentence: str
    seeds: int
    undecided: Undecided | None
    arms: tuple[Judged, ...]
    reseed: Estimate | None
    random: Estimate | None
    claim: Claim | None
    experiment: str | None
    studies: Mapping[str, str]
    stop: str = "fixed"
    untried: tuple[str, ...] = ()
    num_runs: int | None = None

    @property
    def proved(self) -> bool:
        """Whether a remedy lowers the test loss beyond noise."""
        return self.claim is not None and self.claim.proved

    @property
    def chosen(self) -> Judged | None:
        """The arm that the claim is about."""
        return next((a for a in self.arms if self.claim and a.name == self.claim.arm), None)


@dataclass(frozen=True)
class Round:
    """One round of a healing.

    verdict, confidence: of the run as the round began.  adopted: name of the proved remedy, None
    without one.  overrides: of that remedy.  proof: its reduction of the test loss, or a sentence
    that says why nothing was adopted.
    """

    verdict: str
    confidence: float
    adopted: str | None
    overrides: tuple[str, ...]
    proof: str


@dataclass(frozen=True)
class Healing:
    """The file ``healing.json``: the rounds, and the reason why they ended.

    verdict, confidence: of the run as it is now.  experiment: name of its configuration, None where
    nothing was adopted.
    """

    name: str
    steps: tuple[Round, ...]
    end: str
    verdict: str
    experiment: str | None
    confidence: float | None = None
