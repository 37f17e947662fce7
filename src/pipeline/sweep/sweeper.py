"""A sweep from its overrides to its summary: launch workers until the budget is used."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf, open_dict

from pipeline import interruption
from pipeline.errors import SweepError
from pipeline.sweep import noted, progress
from pipeline.sweep.budget import Budget
from pipeline.sweep.grammar import parse_space
from pipeline.sweep.listener import Listener, listener_of
from pipeline.sweep.plan import make_plan, num_workers, on_cluster
from pipeline.sweep.results import print_end, write_results
from pipeline.sweep.storage import (
    check_room,
    exclusive,
    forget,
    forgotten_storage,
    open_storage,
    readable_errors,
)
from pipeline.sweep.study import load_study, open_study
from pipeline.sweep.trial import FAILURE, FOLDER
from pipeline.sweep.trial_seeds import first_seed
from pipeline.sweep.worker import Worker

log = logging.getLogger(__name__)

MOST_FRUITLESS_LAUNCHES = 3


class Sweep:
    """One multirun.

    options: ``hydra.sweeper``.  arguments: of the command line.  Hydra gives the rest.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        arguments: Sequence[str],
        *,
        hydra_context: Any,
        task_function: Any,
        config: Any,
    ) -> None:
        self.options = {key: _plain(value) for key, value in options.items()}
        self._in_memory = self.options["storage"] is None
        if self._in_memory:
            self.options["storage"] = forgotten_storage(config.hydra.launcher)
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        space = parse_space(
            arguments,
            params=self.options.get("params"),
            conditions=self.options.get("conditions"),
            choices=_plain(config.hydra.runtime.choices),
            config_loader=hydra_context.config_loader,
        )
        self.plan = make_plan(self.options, space, launcher=config.hydra.launcher)

    def run(self) -> Counter[str]:
        """Work until this process and others have used the budget; return counts by outcome.

        Raises `SweepError` where too many trials fail or the disk is full, and `NoTrialCompleted`
        where no trial was completed.
        """
        try:
            with readable_errors(self.plan.storage):
                return self._run()
        finally:
            if self._in_memory:
                forget(self.plan.storage)

    def _run(self) -> Counter[str]:
        plan, asked = self.plan, Path(self.config.hydra.sweep.dir)
        check_room(plan.storage, folder=asked)
        database = open_storage(plan.storage)
        study = open_study(
            database,
            plan.study_name,
            directions=list(plan.directions),
            signature=plan.signature,
            folder=str(self.config.hydra.sweep.dir),
        )
        noted.write_note(study)
        self._check_seed()
        folder = self._use_folder(load_study(database, plan.study_name).user_attrs[FOLDER])
        budget = Budget(database.engine, plan.study_name, lease=plan.lease)
        budget.fill(plan.n_trials)
        self._print_begin(budget, folder)
        if not budget.count()["open"] and asked.resolve() != folder.resolve():
            write_results(study, asked)  # the person looks there too

        listener = self._opened_listener(study)
        status = "KILLED"
        try:
            with progress.shown(budget, study):
                self._work(budget)
            status = "FINISHED"
        except SweepError:
            status = "FAILED"
            raise
        finally:
            counts = budget.count()
            write_results(study, folder)
            if listener:
                listener.closed(study, status=status, counts=counts, folder=folder)
        noted.write_end(study)
        print_end(study, counts)
        return counts

    def _work(self, budget: Budget) -> None:
        """Launch workers as long as slots are open; give up after three fruitless launches."""
        fruitless = surviving = 0
        while num_open := budget.count()["open"]:
            self._refuse_too_many_failures(budget)
            free = budget.claimable()
            # Workers that survived an early end of their launch are not launched again.
            surviving = min(surviving, num_open - free)
            wanted = min(free, self._num_workers() - surviving)
            if wanted < 1:  # other processes hold the rest, and may yet be killed
                time.sleep(min(1.0, self.plan.lease / 4))
                continue

            before = budget.count()
            trouble = self._launch(wanted)
            self._refuse_too_many_failures(budget)
            fruitless = fruitless + 1 if budget.count() == before else 0
            if not trouble:
                continue
            if fruitless >= MOST_FRUITLESS_LAUNCHES:
                raise SweepError(
                    f"The launcher failed {fruitless} times: {trouble}. "
                    "The same command continues the sweep."
                )
            on_scheduler = on_cluster(self.config.hydra.launcher)
            surviving = self._num_workers() - 1 if on_scheduler else 0
            print(
                f"warning: a launch ended early ({trouble}); continuing with the open trials.",
                flush=True,
            )

    def _launch(self, workers: int) -> str | None:
        """Start workers and wait for them; return the error of the launch, if there is one."""
        worker = Worker(
            self.plan,
            hydra_context=self.hydra_context,
            config=self.config,
            task_function=self.task_function,
        )
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=worker, config=self.config
        )
        stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        # Trials may change into their folders, but a worker stays: their paths begin at the root.
        stay = "hydra.job.chdir=false"
        jobs = [[f"hydra.sweep.subdir=workers/{stamp}-{i}", stay] for i in range(workers)]
        try:
            for job in launcher.launch(jobs, initial_job_idx=0):
                _ = job.return_value  # only this raises the exception of a job
        except SweepError:
            raise
        except Exception as error:  # a killed worker, an absent scheduler: the study has the rest
            if interruption.received() is not None:
                raise KeyboardInterrupt from error
            log.debug("a launch ended early", exc_info=True)  # hydra.verbose=true shows where
            first_line = next(iter(str(error).splitlines()), "")
            return f"{type(error).__name__}: {first_line}"
        return None

    def _num_workers(self) -> int:
        return num_workers(self.options, self.config.hydra.launcher)

    def _refuse_too_many_failures(self, budget: Budget) -> None:
        failed = budget.failed()
        if failed <= self.plan.max_failures:
            return
        study = load_study(open_storage(self.plan.storage), self.plan.study_name)
        reasons = Counter(t.user_attrs[FAILURE] for t in study.trials if FAILURE in t.user_attrs)
        listed = "\n".join(f"{count} times: {reason}" for reason, count in reasons.most_common(3))
        raise SweepError(
            f"{failed} of {self.plan.n_trials} trials failed, more than "
            f"hydra.sweeper.max_failure_rate={self.options['max_failure_rate']:g} allows.\n{listed}"
        )

    def _check_seed(self) -> None:
        """Raise `SweepError` where trials should have seeds, and the task has no such setting."""
        if self.plan.seeds_per_trial > 1:
            loader = self.hydra_context.config_loader
            first_seed(loader.load_sweep_config(self.config, list(self.plan.space.fixed)))

    def _use_folder(self, folder: str) -> Path:
        """Let every job of this sweep write where the study began, also after a resume."""
        with open_dict(self.config):
            self.config.hydra.sweep.dir = folder
            self.config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder}'")
        Path(folder).mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, Path(folder) / "multirun.yaml")
        return Path(folder)

    def _opened_listener(self, study: optuna.Study) -> Listener | None:
        """Return the listener, if one is named, after it has opened its record of the study."""
        listener = listener_of(self.plan.listener, self.config)
        if listener is None:
            return None
        # Processes that begin together would each open a record.
        with exclusive(self.plan.storage):
            for key, value in listener.opened(study, n_trials=self.plan.n_trials).items():
                study.set_user_attr(key, value)
        return listener

    def _print_begin(self, budget: Budget, folder: Path) -> None:
        if progress.watched():
            return
        name, n_trials = self.plan.study_name, self.plan.n_trials
        done = n_trials - min(budget.count()["open"], n_trials)
        print(f"study {name}: {n_trials} trials, {done} done; {folder}", flush=True)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
