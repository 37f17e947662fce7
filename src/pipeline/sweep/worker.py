"""A worker: one process that claims tickets and runs trials until the budget is used.

Hydra's launcher starts workers instead of single jobs, so that starting Python, torch and Lightning
is paid once a worker and nobody waits for the slowest of a batch. Each trial is still a job of
Hydra's own: with its folder, its ``.hydra/`` and its log.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any

import optuna
from hydra.core.utils import run_job
from omegaconf import open_dict
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from pipeline.sweep.orphans import working_for
from pipeline.sweep.space import Space
from pipeline.sweep.standing import FAILURE, SECONDS, Standing
from pipeline.sweep.study import Database, build_pruner, build_sampler, load_study, open_storage
from pipeline.sweep.tickets import Ticket, Tickets
from pipeline.sweep.trial import RunningTrial, running

log = logging.getLogger(__name__)

TICKET, WORKER = "ticket", "worker"


@dataclass(frozen=True)
class Plan:
    """All that a worker has to know, picklable.

    n_trials: the total budget.  enumerate_all: every point once, in order, instead of a sampler.
    max_failures: more failed trials than this end the sweep.  lease: seconds that a claim holds
    without being renewed.  num_threads: of each worker, None to leave it.  gpus: how many this
    machine has to share out.  tell_trials: print a line for each that ends.  launcher: the process that
    made this plan.
    """

    storage: str
    study_name: str
    space: Space
    directions: tuple[str, ...]
    n_trials: int
    enumerate_all: bool
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]
    max_failures: float
    max_attempts: int
    lease: float
    custom_search_space: tuple[str, ...] = ()
    num_threads: int | None = None
    gpus: int = 0
    tell_trials: bool = True
    launcher: int = 0


class Worker:
    """Called by a launcher as if it were a job; returns how many trials it has finished."""

    _points: Iterator[dict[str, Any]]

    def __init__(self, plan: Plan, *, hydra_context: Any, config: Any, task_function: Any) -> None:
        self.plan = plan
        self.hydra_context = hydra_context
        self.config = config
        self.task_function = task_function
        self._walked = plan.n_trials + 1  # beyond any number: the walk has not begun

    def __call__(self, job: Any) -> int:
        """Run trials until none is left to claim, or too many have failed."""
        self._share_machine()
        with working_for(self.plan.launcher):
            return self.work()

    def work(self) -> int:
        """See `__call__`."""
        database = open_storage(self.plan.storage)
        tickets = Tickets(database.engine, self.plan.study_name, lease=self.plan.lease)
        finished = 0
        standing = Standing(tickets, directions=self.plan.directions, n_trials=self.plan.n_trials)
        while tickets.failed() <= self.plan.max_failures and (ticket := tickets.claim()):
            with _Lease(tickets, ticket) as lease:
                outcome = self._attempt(database, tickets, ticket, lease, standing)
            finished += outcome is not None
        return finished

    def _share_machine(self) -> None:
        """Cores and graphics cards are shared out before the task imports a library that takes them all."""
        from hydra.core.hydra_config import HydraConfig

        # A scheduler that does not bind processes to cores leaves all of them to be seen.
        threads = self.plan.num_threads or os.environ.get("SLURM_CPUS_PER_TASK")
        if threads:
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
                os.environ[name] = str(threads)
        if self.plan.gpus > 1 and "SLURM_JOB_ID" not in os.environ:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            every = [str(i) for i in range(self.plan.gpus)]
            cards = every if visible is None else [card for card in visible.split(",") if card]
            if cards:  # none: they are hidden on purpose
                os.environ["CUDA_VISIBLE_DEVICES"] = cards[int(HydraConfig.get().job.num) % len(cards)]

    def _attempt(
        self, database: Database, tickets: Tickets, ticket: Ticket, lease: _Lease, standing: Standing
    ) -> str | None:
        plan = self.plan
        trial_id, state = self._trial(database.storage, tickets, ticket)
        if state.is_finished():  # its worker was killed between telling the result and closing the ticket
            tickets.done(ticket, _OUTCOMES[state])
            return None
        parts: dict[str, Any] = {
            "sampler": build_sampler(plan.sampler, number=ticket.number),
            "pruner": build_pruner(plan.pruner),
        }
        study = load_study(database, plan.study_name, **parts)
        trial = optuna.trial.Trial(study, trial_id)
        began = time.perf_counter()
        if ticket.attempts > plan.max_attempts:
            reason: str | None = f"its worker was killed {ticket.attempts - 1} times"
            values: list[float] = []
            pruned = False
        else:
            values, pruned, reason = self._run(study, trial, lease, fresh=ticket.trial is None)
        if lease.lost:
            return None  # whoever has it now tells its result
        trial.set_user_attr(WORKER, tickets.owner)
        trial.set_user_attr(SECONDS, round(time.perf_counter() - began, 2))
        if reason:
            trial.set_user_attr(FAILURE, reason)
        state = TrialState.FAIL if reason else TrialState.PRUNED if pruned else TrialState.COMPLETE
        frozen = study.tell(
            trial.number, values if state == TrialState.COMPLETE else None, state=state, skip_if_finished=True
        )
        tickets.done(ticket, _OUTCOMES[state])
        standing.add(_OUTCOMES[state], frozen)
        if plan.tell_trials:
            print(standing.line(study, _OUTCOMES[state], frozen), flush=True)
        return _OUTCOMES[state]

    def _trial(self, storage: Any, tickets: Tickets, ticket: Ticket) -> tuple[int, TrialState]:
        """The Optuna trial of a ticket, made if no earlier attempt has made it; returns (id, state)."""
        study_id = storage.get_study_id_from_name(self.plan.study_name)
        known = ticket.trial
        if known is None and ticket.attempts > 1:  # a worker may have been killed before it noted its trial
            unfinished = (TrialState.WAITING, TrialState.RUNNING)
            made = storage.get_all_trials(study_id, deepcopy=False, states=unfinished)
            known = next((t.number for t in made if t.user_attrs.get(TICKET) == ticket.number), None)
        if known is None:
            fixed = {"fixed_params": self._point(ticket.number)} if self.plan.enumerate_all else {}
            template = optuna.trial.create_trial(
                state=TrialState.WAITING, user_attrs={TICKET: ticket.number}, system_attrs=fixed
            )
            trial_id = storage.create_new_trial(study_id, template_trial=template)
        else:
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, known)
        frozen = storage.get_trial(trial_id)
        tickets.bind(ticket, frozen.number)
        if frozen.state == TrialState.WAITING:
            storage.set_trial_state_values(trial_id, state=TrialState.RUNNING)
        return trial_id, frozen.state

    def _point(self, number: int) -> dict[str, Any]:
        """Point ``number`` of all. Tickets are claimed in order, so the walk through the points goes on."""
        if number < self._walked:
            self._points, self._walked = self.plan.space.points(), 0
        point = next(islice(self._points, number - self._walked, None))
        self._walked = number + 1
        return point

    def _run(
        self, study: optuna.Study, trial: optuna.Trial, lease: _Lease, *, fresh: bool
    ) -> tuple[list[float], bool, str | None]:
        """Return (values, pruned, reason of a failure)."""
        plan = self.plan
        try:
            params = plan.space.suggest(trial)
            for name in plan.custom_search_space:
                _function(name)(self.config, trial)
            params = {**params, **{k: v for k, v in trial.params.items() if k not in params}}
        except ValueError as error:
            return [], False, f"no point of the search space could be chosen: {error}"
        current = RunningTrial(
            trial,
            plan.study_name,
            params,
            attributes=study.user_attrs,
            prunes=len(plan.directions) == 1 and plan.pruner["name"] != "none",
            fresh=fresh,
        )
        lease.trial = current
        with running(current):
            ret = self._job(trial.number, plan.space.overrides(params))
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # Hydra prints what is told below
                returned = ret.return_value
        except optuna.TrialPruned:
            return [], True, None
        except Exception as error:  # whatever a task raises fails its trial, and no other
            log.error("trial %d failed", trial.number, exc_info=error)  # into the trial's own log
            first = next(iter(str(error).splitlines()), "")
            return [], False, f"{type(error).__name__}: {first}"
        if current.pruned:
            return [], True, None
        return _checked(returned, len(plan.directions))

    def _job(self, number: int, overrides: list[str]) -> Any:
        """Run one trial as a job of Hydra's, in its own folder."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = f"{self.plan.study_name}_{number}"
            config.hydra.job.num = number
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


_OUTCOMES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def _checked(returned: Any, count: int) -> tuple[list[float], bool, str | None]:
    values = list(returned) if isinstance(returned, list | tuple) else [returned]
    if len(values) != count:
        return [], False, f"the task returned {len(values)} numbers, the study has {count} directions"
    try:
        numbers = [float(v) for v in values]
    except (TypeError, ValueError):
        return [], False, f"the task returned {returned!r}, which is no number"
    if not all(math.isfinite(v) for v in numbers):
        return [], False, f"the task returned {returned!r}, which is not finite"
    return numbers, False, None


def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


class _Lease:
    """Renews a ticket from a thread of its own while a trial runs."""

    def __init__(self, tickets: Tickets, ticket: Ticket) -> None:
        self.tickets = tickets
        self.ticket = ticket
        self.lost = False
        self.trial: RunningTrial | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> _Lease:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if kind is not None:
            self.tickets.release(self.ticket)

    def _renew(self) -> None:
        while not self._over.wait(self.tickets.lease / 4):
            try:
                renewed = self.tickets.renew(self.ticket)
            except SQLAlchemyError:  # a locked or restarting database: the next turn tries again
                continue
            if not renewed:
                self.lost = True
                if self.trial:
                    self.trial.lost = True
                return
