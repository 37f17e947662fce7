"""A worker: one process that claims slots and runs their trials until the budget is used.

Hydra's launcher starts workers instead of single jobs. So each worker pays once for the start of
Python, torch and Lightning, and no worker waits for the slowest trial of a batch. Each trial is
still a job of Hydra's own, with its folder, its ``.hydra/`` and its log.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from itertools import islice
from typing import Any

import optuna
from hydra.core.utils import run_job
from omegaconf import open_dict
from optuna.trial import FrozenTrial, TrialState

from pipeline.errors import SweepError
from pipeline.sweep.budget import Budget, Slot
from pipeline.sweep.constraints import checked_metrics, excesses
from pipeline.sweep.lease import Lease
from pipeline.sweep.listener import Listener, listener_of
from pipeline.sweep.orphans import working_for
from pipeline.sweep.outcome import OUTCOMES, Result, result_of
from pipeline.sweep.plan import WorkerPlan
from pipeline.sweep.samplers import build_pruner, build_sampler
from pipeline.sweep.seed_runs import SeedRuns
from pipeline.sweep.storage import open_storage
from pipeline.sweep.study import load_study
from pipeline.sweep.trial import FAILURE, SECONDS, SLOT, WORKER, RunningTrial, running
from pipeline.sweep.trial_log import TrialLog
from pipeline.sweep.trial_seeds import first_seed
from pipeline.sweep.worker_storage import WorkerStorage


class Worker:
    """Called by a launcher as if it were a job; returns how many trials it has finished."""

    _points: Iterator[dict[str, Any]]
    _attributes: Mapping[str, Any]  # of the study: they stay as they are while workers run

    def __init__(
        self, plan: WorkerPlan, *, hydra_context: Any, config: Any, task_function: Any
    ) -> None:
        self.plan = plan
        self.hydra_context = hydra_context
        self.config = config
        self.task_function = task_function
        self._next_point = plan.n_trials + 1  # beyond any number: the walk has not begun

    def __call__(self, job: Any) -> int:
        """Run trials until no slot is left to claim, or too many trials have failed."""
        self._share_machine()
        with working_for(self.plan.launcher):
            return self.work()

    def work(self) -> int:
        """Run trials as `__call__` does, in a process that is prepared already."""
        plan = self.plan
        database = open_storage(plan.storage)
        budget = Budget(database.engine, plan.study_name, lease=plan.lease)
        trial_log = TrialLog(budget, directions=plan.directions, n_trials=plan.n_trials)
        database = replace(database, storage=WorkerStorage(database.backend))
        study = load_study(database, plan.study_name, pruner=build_pruner(plan.pruner))
        self._attributes = study.user_attrs
        finished = 0
        while budget.failed() <= plan.max_failures and (slot := budget.claim()):
            with Lease(budget, slot) as lease:
                finished += self._attempt(study, budget, slot, lease, trial_log)
        return finished

    def _share_machine(self) -> None:
        """Limit threads and graphics cards, before the task imports a library that takes all."""
        from hydra.core.hydra_config import HydraConfig

        # A scheduler that does not bind processes to cores shows all of them.
        threads = self.plan.num_threads or os.environ.get("SLURM_CPUS_PER_TASK")
        if threads:
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
                os.environ[name] = str(threads)

        if self.plan.gpus < 2 or "SLURM_JOB_ID" in os.environ:
            return
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        cards = [str(index) for index in range(self.plan.gpus)]
        if visible is not None:
            cards = [card for card in visible.split(",") if card]
        if cards:  # without cards they are hidden on purpose
            index = int(HydraConfig.get().job.num) % len(cards)
            os.environ["CUDA_VISIBLE_DEVICES"] = cards[index]

    def _attempt(
        self, study: optuna.Study, budget: Budget, slot: Slot, lease: Lease, trial_log: TrialLog
    ) -> bool:
        """Run the trial of a slot and close the slot; return whether this worker finished it."""
        plan = self.plan
        trial_id, found = self._trial(study, budget, slot)
        if found.state.is_finished():
            # Its worker was killed after it recorded the result and before it closed the slot.
            budget.close(slot, OUTCOMES[found.state])
            return False

        study.sampler = build_sampler(
            plan.sampler,
            number=slot.number,
            num_chosen=len(found.params),
            constraints=plan.constraints,
        )
        trial = optuna.trial.Trial(study, trial_id)
        began = time.perf_counter()
        if slot.attempts > plan.max_attempts:
            if plan.enumerate_all:  # a worker may have been killed before it recorded the point
                plan.space.suggest(trial)
            result = Result(failure=f"its worker was killed {slot.attempts - 1} times")
        else:
            result = self._run(study, trial, lease)
        if not lease.holds():
            return False  # the worker that holds the slot now records the result
        if plan.constraints:
            result = checked_metrics(result, plan.constraints, trial.user_attrs)
            for name, excess in excesses(plan.constraints, trial.user_attrs).items():
                trial.set_constraint(name, excess)

        trial.set_user_attr(WORKER, budget.owner)
        trial.set_user_attr(SECONDS, round(time.perf_counter() - began, 2))
        if result.failure:
            trial.set_user_attr(FAILURE, result.failure)
        outcome = OUTCOMES[result.state]
        values = list(result.values) or None
        frozen = study.tell(trial.number, values, state=result.state, skip_if_finished=True)
        budget.close(slot, outcome)
        trial_log.add(outcome, frozen)
        if plan.print_trials:
            print(trial_log.line(study, outcome, frozen), flush=True)
        return True

    def _trial(self, study: optuna.Study, budget: Budget, slot: Slot) -> tuple[int, FrozenTrial]:
        """Return (id, as found) of a slot's Optuna trial; make it if no earlier attempt did."""
        storage, study_id = study._storage, study._study_id
        assert isinstance(storage, WorkerStorage)
        trial_id = _made_before(storage, study_id, slot)
        if trial_id is None:
            fixed = {"fixed_params": self._point(slot.number)} if self.plan.enumerate_all else {}
            template = optuna.trial.create_trial(
                state=TrialState.WAITING, user_attrs={SLOT: slot.number}, system_attrs=fixed
            )
            trial_id = storage.create_new_trial(study_id, template_trial=template)

        frozen = storage.take(trial_id)
        budget.bind(slot, frozen.number)
        if frozen.state == TrialState.WAITING:
            storage.set_trial_state_values(trial_id, state=TrialState.RUNNING)
        return trial_id, frozen

    def _point(self, number: int) -> dict[str, Any]:
        """Return point ``number``. Slots are claimed in order, so the walk usually continues."""
        if number < self._next_point:
            self._points, self._next_point = self.plan.space.points(), 0
        point = next(islice(self._points, number - self._next_point, None))
        self._next_point = number + 1
        return point

    def _run(self, study: optuna.Study, trial: optuna.Trial, lease: Lease) -> Result:
        """Choose a point and run the task on it."""
        plan = self.plan
        try:
            params = plan.space.suggest(trial)
            for name in plan.custom_search_space:
                _function(name)(self.config, trial)
        except ValueError as error:
            return Result(failure=f"no point of the search space could be chosen: {error}")

        params |= {key: value for key, value in trial.params.items() if key not in params}
        current = RunningTrial(
            trial,
            plan.study_name,
            params,
            attributes=self._attributes,
            prunes=len(plan.directions) == 1 and plan.pruner["name"] != "none",
        )
        overrides = plan.space.overrides(params)
        if plan.seeds_per_trial == 1:
            lease.trial = current
            return self._run_job(current, overrides)
        try:
            seeds = self._seeds(overrides)
        except SweepError as error:
            return Result(failure=str(error))
        runs = SeedRuns(study, current, trial.user_attrs, listener=self._listener)
        return runs.run(
            seeds, lambda one: self._run_job(one, [*overrides, f"seed={one.seed}"]), lease=lease
        )

    def _seeds(self, overrides: list[str]) -> range:
        """Return the seeds of a trial: as many as planned, from the one of its settings on."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        first = first_seed(config)
        return range(first, first + self.plan.seeds_per_trial)

    @cached_property
    def _listener(self) -> Listener | None:
        return listener_of(self.plan.listener, self.config)

    def _run_job(self, current: RunningTrial, overrides: list[str]) -> Result:
        with running(current):
            job = self._job(current.number, overrides, seed=current.seed)
        return result_of(job, current, count=len(self.plan.directions))

    def _job(self, number: int, overrides: list[str], *, seed: int | None = None) -> Any:
        """Run one trial as a job of Hydra's, in its own folder; so does each of its seeds."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = f"{self.plan.study_name}_{number}"
            config.hydra.job.num = number
            if seed is not None:
                config.hydra.job.id += f"_seed{seed}"
                config.hydra.sweep.subdir = f"{config.hydra.sweep.subdir}/seed{seed}"
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _made_before(storage: WorkerStorage, study_id: int, slot: Slot) -> int | None:
    """Return the id of the Optuna trial that an earlier attempt made; None where there is none."""
    if slot.trial is None and slot.attempts <= 1:
        return None
    # Read all of them: Optuna's cache takes parameters only of a trial that it made or listed.
    storage.refresh()
    trials = storage.get_all_trials(study_id, deepcopy=False)
    if slot.trial is not None:
        return next((t._trial_id for t in trials if t.number == slot.trial), None)
    # A worker may have been killed between making the trial and binding it to the slot.
    made = (t for t in trials if t.user_attrs.get(SLOT) == slot.number)
    return next((t._trial_id for t in made if not t.state.is_finished()), None)


def _function(name: str) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(".")
    function: Callable[..., Any] = getattr(import_module(module), attribute)
    return function
