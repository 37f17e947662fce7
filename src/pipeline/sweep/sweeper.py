"""A sweep from its overrides to its summary: plan it, launch workers until the budget is used, tell."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import optuna
import yaml
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf, open_dict

from pipeline.errors import SpaceError, SweepError
from pipeline.files import write_atomically
from pipeline.sweep import progress
from pipeline.sweep.space import Space, parse_space, plain_text
from pipeline.sweep.standing import FAILURE
from pipeline.sweep.study import (
    DEFAULT_STORAGE,
    FOLDER,
    MULTI_OBJECTIVE_SAMPLERS,
    build_pruner,
    build_sampler,
    exclusive,
    load_study,
    open_storage,
    open_study,
    study_name_for,
)
from pipeline.sweep.tickets import Tickets
from pipeline.sweep.worker import Plan, Worker

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Keeps a record of a study; named by ``hydra.sweeper.listener``, made of the composed values and the root."""

    def opened(self, study: optuna.Study, *, n_trials: int) -> Mapping[str, Any]:
        """The study begins or goes on; what is returned is kept as its user attributes."""

    def closed(self, study: optuna.Study, *, status: str, counts: Mapping[str, int], folder: Path) -> None:
        """This process stops working on the study: FINISHED, FAILED or KILLED."""


class Sweep:
    """One multirun."""

    def __init__(
        self,
        options: Mapping[str, Any],
        arguments: Sequence[str],
        *,
        hydra_context: Any,
        task_function: Any,
        config: Any,
    ) -> None:
        plain: dict[str, Any] = {
            k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in options.items()
        }
        self.options = plain
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        self.space = parse_space(
            arguments,
            params=plain.get("params"),
            conditions=plain.get("conditions"),
            choices=OmegaConf.to_container(config.hydra.runtime.choices),  # type: ignore[arg-type]
            config_loader=hydra_context.config_loader,
        )
        self.plan = self._plan()

    # --- planning -------------------------------------------------------------------------------

    def _plan(self) -> Plan:
        o, space = self.options, self.space
        directions = _directions(o["direction"])
        custom = o["custom_search_space"] or ()
        custom = (custom,) if isinstance(custom, str) else tuple(custom)
        if not space.parameters and not custom:
            raise SpaceError(
                "-m: no override holds several values, so there is nothing to sweep. Give one, for example "
                "optimizer.learning_rate=tag(log,interval(1e-4,1e-1)), or leave -m out."
            )
        n_trials, every = self._budget(space, custom)
        pruner = {k: v for k, v in o["pruner"].items() if v is not None}
        # Whoever lists values wants each of them trained to its end.
        pruner = {"name": "none"} if every or len(directions) > 1 else pruner
        sampler = {k: v for k, v in o["sampler"].items() if v is not None}
        if len(directions) > 1 and sampler["name"] not in MULTI_OBJECTIVE_SAMPLERS:
            raise SpaceError(
                f"hydra/sweeper/sampler={sampler['name']}: cannot serve {len(directions)} objectives. "
                f"Use one of {', '.join(MULTI_OBJECTIVE_SAMPLERS)}."
            )
        build_sampler(sampler, number=0)  # a wrong option is told now, not by every worker
        build_pruner(pruner)
        for key in ("max_attempts", "lease"):
            if o[key] <= 0:
                raise SpaceError(f"hydra.sweeper.{key}={o[key]}: must be above 0.")
        if not 0 <= o["max_failure_rate"] <= 1:
            raise SpaceError(f"hydra.sweeper.max_failure_rate={o['max_failure_rate']}: must be 0 … 1.")
        workers = self._workers()
        return Plan(
            storage=_absolute(o["storage"] or DEFAULT_STORAGE),
            study_name=o["study_name"]
            or study_name_for({**space.signature(), "custom": list(custom)}, directions, o["study_prefix"]),
            space=space,
            directions=tuple(directions),
            n_trials=n_trials,
            enumerate_all=every,
            sampler=sampler,
            pruner=pruner,
            max_failures=o["max_failure_rate"] * n_trials,
            max_attempts=o["max_attempts"],
            lease=float(o["lease"]),
            custom_search_space=custom,
            num_threads=max(1, (os.cpu_count() or 1) // workers)
            if workers > 1 and not self._cluster()
            else None,
            tell_trials=not progress.wanted(),
            launcher=os.getpid(),
            gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))) if workers > 1 else 0,
        )

    def _budget(self, space: Space, custom: Sequence[str]) -> tuple[int, bool]:
        """How many trials, and whether they are simply all combinations."""
        wanted, size = self.options["n_trials"], None if custom else space.size
        grid = self.options["sampler"].get("name") == "grid"
        if wanted is not None and wanted < 1:
            raise SpaceError(f"n_trials={wanted}: must be at least 1.")
        if size is None and (wanted is None or grid):
            continuous = next((p.key for p in space.parameters if p.values is None), "custom_search_space")
            raise SpaceError(
                f"{continuous}: is continuous, so that there is no end of combinations. "
                + ("The sampler grid takes listed values only." if grid else "Say how many: n_trials=50")
            )
        if wanted is None or grid:
            assert size is not None
            return min(wanted or size, size), True
        return wanted, False

    def _workers(self) -> int:
        """How many workers the launcher can run side by side."""
        launcher = self.config.hydra.launcher
        target = str(launcher._target_)
        if target.startswith("hydra._internal"):
            return 1  # one after the other: the first would leave nothing to the second
        wanted = self.options["n_jobs"]
        if wanted is None and "joblib" in target:
            wanted = launcher.get("n_jobs", -1)
        if wanted is None:
            raise SpaceError("n_jobs: how many workers shall the launcher start? Set n_jobs=<number>.")
        return wanted if wanted > 0 else (os.cpu_count() or 1)

    def _cluster(self) -> bool:
        return "submitit" in str(self.config.hydra.launcher._target_)

    # --- running --------------------------------------------------------------------------------

    def run(self) -> Counter[str]:
        """Work until the budget is used by this process and others; return the counts by outcome."""
        plan = self.plan
        database = open_storage(plan.storage)
        study = open_study(
            database,
            plan.study_name,
            directions=list(plan.directions),
            signature={**self.space.signature(), "custom": list(plan.custom_search_space)},
            folder=str(self.config.hydra.sweep.dir),
        )
        folder = self._use_folder(load_study(database, plan.study_name).user_attrs[FOLDER])
        tickets = Tickets(database.engine, plan.study_name, lease=plan.lease)
        tickets.fill(plan.n_trials)
        done = plan.n_trials - min(tickets.count()["open"], plan.n_trials)
        print(f"study {plan.study_name}: {plan.n_trials} trials, {done} done; {folder}", flush=True)
        listener = self._listener()
        if listener:
            with exclusive(plan.storage):  # or processes that begin together would each open a record
                for key, value in listener.opened(study, n_trials=plan.n_trials).items():
                    study.set_user_attr(key, value)
        status = "KILLED"
        try:
            with progress.shown(tickets, study):
                self._work(tickets)
            status = "FINISHED"
        except SweepError:
            status = "FAILED"
            raise
        finally:
            counts = tickets.count()
            _write_results(study, folder)
            if listener:
                listener.closed(study, status=status, counts=counts, folder=folder)
        _tell(study, counts)
        return counts

    def _work(self, tickets: Tickets) -> None:
        fruitless = surviving = 0
        while open_now := tickets.count()["open"]:
            self._refuse_too_many_failures(tickets)
            free = tickets.claimable()
            if surviving:  # what was launched before and still works is not launched a second time
                surviving = min(surviving, open_now - free)
            wanted = min(free, self._workers() - surviving)
            if wanted < 1:  # the rest is in the hands of other processes, which may yet be killed
                time.sleep(min(1.0, self.plan.lease / 4))
                continue
            before = tickets.count()
            trouble = self._launch(wanted)
            self._refuse_too_many_failures(tickets)
            fruitless = fruitless + 1 if tickets.count() == before else 0
            if trouble and fruitless >= 3:
                raise SweepError(
                    f"The launcher failed {fruitless} times: {trouble}. The same command goes on."
                )
            if trouble:
                surviving = self._workers() - 1 if self._cluster() else 0
                print(f"warning: a launch ended early ({trouble}); going on with what is left.", flush=True)

    def _launch(self, workers: int) -> str | None:
        """Start workers and wait for them; return what went wrong with the launch, if anything."""
        worker = Worker(
            self.plan, hydra_context=self.hydra_context, config=self.config, task_function=self.task_function
        )
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=worker, config=self.config
        )
        stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        jobs = [[f"hydra.sweep.subdir=workers/{stamp}-{i}"] for i in range(workers)]
        try:
            for ret in launcher.launch(jobs, initial_job_idx=0):
                _ = ret.return_value  # an exception of a job surfaces only when it is read
        except SweepError:
            raise
        except Exception as error:  # a killed worker, a scheduler that is away: what is done is in the study
            log.debug("a launch ended early", exc_info=True)  # hydra.verbose=true shows where
            first = next(iter(str(error).splitlines()), "")
            return f"{type(error).__name__}: {first}"
        return None

    def _refuse_too_many_failures(self, tickets: Tickets) -> None:
        failed = tickets.count()["failed"]
        if failed <= self.plan.max_failures:
            return
        study = load_study(open_storage(self.plan.storage), self.plan.study_name)
        reasons = Counter(t.user_attrs[FAILURE] for t in study.trials if FAILURE in t.user_attrs)
        told = "\n".join(f"{count} times: {reason}" for reason, count in reasons.most_common(3))
        raise SweepError(
            f"{failed} of {self.plan.n_trials} trials failed, more than "
            f"hydra.sweeper.max_failure_rate={self.options['max_failure_rate']:g} allows.\n{told}"
        )

    def _use_folder(self, folder: str) -> Path:
        """Let every job of this sweep write where the study began, also after a resume."""
        with open_dict(self.config):
            self.config.hydra.sweep.dir = folder
            self.config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{folder}'")
        Path(folder).mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, Path(folder) / "multirun.yaml")
        return Path(folder)

    def _listener(self) -> Listener | None:
        name = self.options["listener"]
        if not name:
            return None
        module, _, kind = name.rpartition(".")
        values = OmegaConf.to_container(self.config, resolve=False)
        assert isinstance(values, dict)
        hydra = values.pop("hydra")
        own = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
        made: Listener = getattr(import_module(module), kind)(own, root=Path(hydra["runtime"]["cwd"]))
        return made


def _directions(given: Any) -> list[str]:
    directions = [str(d).lower() for d in (given if isinstance(given, list) else [given])]
    wrong = [d for d in directions if d not in ("minimize", "maximize")]
    if wrong or not directions:
        raise SpaceError(
            f"hydra.sweeper.direction={plain_text(given)}: must be minimize or maximize, or a list."
        )
    return directions


def _absolute(url: str) -> str:
    """A SQLite file is meant relative to the working directory, also by workers that start elsewhere."""
    path = url.removeprefix("sqlite:///")
    return f"sqlite:///{Path(path).resolve()}" if path != url and not path.startswith(":") else url


def _write_results(study: optuna.Study, folder: Path) -> None:
    """Write ``optimization_results.yaml``, under the names of the published plugin."""
    best = [t for t in study.best_trials if t.values]
    if not best:
        return
    results: dict[str, Any] = {"name": "optuna", "study_name": study.study_name}
    if len(study.directions) == 1:
        results |= {"best_params": best[0].params, "best_value": best[0].value, "best_trial": best[0].number}
    else:
        results["solutions"] = [{"params": t.params, "values": list(t.values)} for t in best]
    write_atomically(folder / "optimization_results.yaml", yaml.safe_dump(results, sort_keys=False).encode())


def _tell(study: optuna.Study, counts: Mapping[str, int]) -> None:
    shown = ", ".join(f"{counts[name]} {name}" for name in ("complete", "pruned", "failed") if counts[name])
    print(f"study {study.study_name}: {shown}")
    if not counts["complete"]:
        raise SweepError(f"study {study.study_name}: no trial was completed, so there is no best one.")
    if len(study.directions) == 1:
        best = study.best_trial
        settings = " ".join(f"{k}={v}" for k, v in best.params.items())
        print(f"best: {best.value:.6g} by #{best.number}: {settings}")
    else:
        print(f"{len(study.best_trials)} trials on the Pareto front; see optimization_results.yaml")
