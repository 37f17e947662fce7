"""One fault a file: its card, its judgement and its remedies.

`FAULTS` holds the ``FAULT`` of every file in this folder, causes before consequences. A new fault
is one new file.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import CHECKS, Settings


def _all_faults() -> tuple[Fault, ...]:
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return tuple(sorted((m.FAULT for m in modules), key=lambda fault: fault.rank))


FAULTS = _all_faults()


def fault_of(verdict: str) -> Fault:
    """Return the fault of that verdict."""
    return next(fault for fault in FAULTS if fault.verdict == verdict)


def remedies_by_name(settings: Settings) -> dict[str, Remedy]:
    """Return every remedy that has an effect in these settings, whatever fault it is meant against.

    Where faults offer different remedies of one name, that of the last consequence counts.
    """
    by_name: dict[str, Remedy] = {}
    for fault in reversed(FAULTS):
        for remedy in fault.remedies(settings, _without_evidence(fault)):
            if remedy.name not in CHECKS:
                by_name.setdefault(remedy.name, remedy)
    return by_name


def _without_evidence(fault: Fault) -> Finding:
    return fault.finding((), holds=0.0)
