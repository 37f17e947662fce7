"""The schema of ``conf/``, its cross-field rules, and the guarded building of objects from it."""

from pipeline.config.compose import (
    SHORT_FORMS,
    compose,
    config_loader,
    explicit_keys,
    find_root,
    settle,
    sweep_options,
)
from pipeline.config.schema import Settings
from pipeline.config.validate import nearest, validate

__all__ = [
    "SHORT_FORMS",
    "Settings",
    "compose",
    "config_loader",
    "explicit_keys",
    "find_root",
    "nearest",
    "settle",
    "sweep_options",
    "validate",
]
