"""The schema of ``conf/``, its cross-field rules, and the guarded building of objects from it."""

from pipeline.config.compose import (
    SHORT_FORMS,
    RunConfig,
    compose,
    config_loader,
    explicit_keys,
    run_config,
    sweep_options,
)
from pipeline.config.project import find_root
from pipeline.config.schema import Settings
from pipeline.config.validate import validate
from pipeline.config.words import nearest

__all__ = [
    "SHORT_FORMS",
    "RunConfig",
    "Settings",
    "compose",
    "config_loader",
    "explicit_keys",
    "find_root",
    "nearest",
    "run_config",
    "sweep_options",
    "validate",
]
