"""The folder ``conf/`` opened for Hydra, with every file checked before Hydra reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

from pipeline.config.hydra_guard import check_allow_targets, check_hydra, check_search_path
from pipeline.config.limits import no_yaml, read_yaml_text
from pipeline.config.outside_inputs import record_search_path, watch_resolvers
from pipeline.config.references import check_references, register_functions
from pipeline.errors import ConfigError
from pipeline.passwords import hide

# A list of defaults can name files that name files: each level may double the number.
MAX_FILES = 500


@contextmanager
def conf_opened(root: Path) -> Iterator[None]:
    """Let Hydra compose from ``conf/`` inside the block.

    Raises `ConfigError` for a file that breaks a limit of `pipeline.config.limits`.
    """
    from hydra import initialize_config_dir

    _check_before_hydra_reads()
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        yield


def check_composed(config: Any) -> None:
    """Raise `ConfigError` for references that grow without end, and for code that Hydra may run.

    config: unresolved, with its node ``hydra``.
    """
    from omegaconf import OmegaConf

    check_references(config)
    allow = OmegaConf.select(config, "allow_targets", default=[])
    listed = [str(package) for package in allow] if OmegaConf.is_list(allow) else []
    check_allow_targets(listed)
    check_hydra(config.hydra, allow=listed)


@cache
def _check_before_hydra_reads() -> None:
    """Put the checks where Hydra comes to a file, and where it has composed, but not resolved.

    Hydra opens files itself, also those that other files name and those of ``hydra.searchpath``,
    and it resolves some values while it composes. It has no place of its own for a check.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_repository import CachingConfigRepository
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.plugins import Plugins

    register_functions()
    watch_resolvers()
    Plugins.instance()  # registers the sources; their classes are not those that an import finds
    files: Any = SourcesRegistry.instance().resolve("file")
    read, count = files.load_config, CachingConfigRepository.load_config
    apply = ConfigLoaderImpl._apply_overrides_to_config

    def checked(self: Any, config_path: str) -> Any:
        return _read_checked(self, config_path, read)

    def counted(self: Any, config_path: str) -> Any:
        self.num_asked = getattr(self, "num_asked", 0) + 1
        if self.num_asked > MAX_FILES:
            raise ConfigError(
                f"{config_path}: the lists of defaults name more than {MAX_FILES} files. "
                "Shorten them."
            )
        return count(self, config_path)

    def applied(overrides: Any, config: Any) -> None:
        apply(overrides, config)
        check_composed(config)
        record_search_path(config)

    files.load_config = checked
    cast(Any, ConfigLoaderImpl)._apply_overrides_to_config = staticmethod(applied)
    cast(Any, CachingConfigRepository).load_config = counted


def _read_checked(source: Any, config_path: str, read: Callable[..., Any]) -> Any:
    """Return what Hydra's own ``read`` makes of a file, once its text has been checked."""
    from omegaconf import OmegaConf
    from yaml import YAMLError

    path = Path(source.path) / source._normalize_file_name(config_path)
    if path.exists():
        read_yaml_text(Path(os.path.realpath(path)))
    try:
        found = read(source, config_path)
    except (YAMLError, ValueError) as error:  # ValueError: a number of 5,000 digits
        raise no_yaml(str(path), error) from error
    values = OmegaConf.to_container(found.config, resolve=False)
    check_search_path(str(values.get("hydra")) if isinstance(values, dict) else "")
    _hide_passwords(found.config)
    return found


def _hide_passwords(node: Any) -> None:
    """Hide the passwords in all texts of a configuration that Hydra has read, in place."""
    from omegaconf import OmegaConf

    keys = list(node) if OmegaConf.is_dict(node) else list(range(len(node)))
    for key in keys:
        value = node._get_node(key)
        if OmegaConf.is_config(value):
            if not (value._is_none() or value._is_missing() or value._is_interpolation()):
                _hide_passwords(value)
        elif isinstance(raw := value._value(), str) and (hidden := hide(raw)) != raw:
            value._set_value(hidden)
