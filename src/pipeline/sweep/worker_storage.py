"""Optuna's storage as one worker needs it: few statements, however many trials a study has.

Optuna reads a running trial again at every step, and what is new of the whole study whenever a
sampler or a pruner looks at it. But only its worker writes a running trial. So its own trial is
kept in memory here, with every change written to the database at once. The other trials are read
again only after twenty times as long as the last reading took, at most ten seconds.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial, TrialState

REST = 20.0
LONGEST_REST_S = 10.0  # the first reading of a large study takes long, later ones read what is new


class WorkerStorage(_CachedStorage):
    """The storage of one worker, which runs one trial at a time.

    clock: returns seconds.
    """

    def __init__(
        self, backend: RDBStorage, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        super().__init__(backend)
        self._clock = clock
        self._next_reading = float("-inf")
        self._own: FrozenTrial | None = None

    def refresh(self) -> None:
        """Let the next look at the study read the database."""
        self._next_reading = float("-inf")

    def take(self, trial_id: int) -> FrozenTrial:
        """Return a trial that this worker writes alone from now on, until it takes another one."""
        study_id, number = self._trial_id_to_study_id_and_number[trial_id]
        own = self._studies[study_id].trials[number]
        self._own = None if own.state.is_finished() else own
        return self.get_trial(trial_id)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial; the own one without a look into the database."""
        own = self._mine(trial_id)
        return copy.deepcopy(own) if own else super().get_trial(trial_id)

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Write a parameter."""
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        if own := self._mine(trial_id):
            own.params[param_name] = distribution.to_external_repr(param_value_internal)
            own.distributions[param_name] = distribution

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Write a state and values; a trial that has ended is no longer the worker's own."""
        changed = super().set_trial_state_values(trial_id, state, values)
        if changed and (own := self._mine(trial_id)):
            own.values = values
            own.state = state
            if state == TrialState.RUNNING:
                own.datetime_start = datetime.now()
            if state.is_finished():
                own.datetime_complete = datetime.now()
                self._own = None
        return changed

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Write the value of a report."""
        super().set_trial_intermediate_value(trial_id, step, intermediate_value)
        if own := self._mine(trial_id):
            own.intermediate_values[step] = intermediate_value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write an attribute, kept as the database would return it."""
        super().set_trial_user_attr(trial_id, key, value)
        if own := self._mine(trial_id):
            own.user_attrs[key] = json.loads(json.dumps(value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write an attribute of Optuna's, kept as the database would return it."""
        super().set_trial_system_attr(trial_id, key, value)
        if own := self._mine(trial_id):
            own.system_attrs[key] = json.loads(json.dumps(value))

    def _mine(self, trial_id: int) -> FrozenTrial | None:
        return self._own if self._own and self._own._trial_id == trial_id else None

    def _read_trials_from_remote_storage(self, study_id: int) -> None:
        began = self._clock()
        if began < self._next_reading:
            return
        super()._read_trials_from_remote_storage(study_id)
        if self._own:
            trials = self._studies[study_id].trials
            if trials[self._own.number].state.is_finished():  # by the worker that took it over
                self._own = None
            else:
                trials[self._own.number] = self._own
        ended = self._clock()
        self._next_reading = ended + min(REST * (ended - began), LONGEST_REST_S)
