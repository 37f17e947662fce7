"""Hydra's and OmegaConf's complaints as one message: the value, the rule, and the way out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.config.compose import composed_by_hydra, unresolved_values
from pipeline.config.project import groups_of, options_of
from pipeline.config.words import nearest, suggested_key


def explain(error: Exception, overrides: Sequence[str], root: Path) -> str:
    """Return the complaint in one piece, with the nearest key or option where one was mistyped."""
    text = str(error)
    if file := re.match(r"In '([^']+)': (Could not override .*)", text, re.DOTALL):
        told = " ".join(file[2].split())
        return f"conf/{file[1]}.yaml: {told} Correct its list of defaults."
    if key := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(key[1], overrides, root)
    option = re.search(r"Could not find '([^']+)'", text)
    if option and (message := _unknown_option(option[1], error, root)):
        return message
    cause = " ".join(str(error.__cause__ or error).split())
    if group := re.search(r"Multiple values for (\w+)", cause):
        return f"+{group[1]}=: conf/ has this group already. Leave the + out: {group[1]}=<option>"
    for read in (_several_values, _bad_grammar, _unknown_deletion, _wrong_type):
        if message := read(text, cause, overrides):
            return message
    return _broken_reference(error, overrides) or cause


def explain_group(error: ValueError, overrides: Sequence[str], root: Path) -> str:
    """Return the message for a group whose value is not the name of one of its options."""
    rule = "A group takes the name of one of its options"
    for text in overrides:
        group, _, value = text.partition("=")
        options = options_of(group, root) if group else []
        if options and value not in options:
            return f"{group}={value}: {rule[0].lower()}{rule[1:]}{nearest(value, options)}"
    return f"{error}. {rule}."


def _unknown_key(key: str, overrides: Sequence[str], root: Path) -> str:
    values = unresolved_values(overrides, root)
    if any(known.startswith(f"{key}.") for known in values):
        given = next((o for o in overrides if o.startswith(f"{key}=")), key)
        way_out = f"Set one value at a time: {key}.<key>=<value>"
        return f"{given}: holds a key that is unknown. {way_out}"
    if having := _options_with(key, root):
        return f"{key}: unknown key here. It belongs to {', '.join(having)}."
    section = key.rpartition(".")[0]
    if section.startswith("hydra."):
        beside = _keys_of_hydra(section, overrides, root)
    else:
        beside = [known for known in values if known.rpartition(".")[0] == section]
    groups = [f"{group}=" for group in groups_of(root)]
    listed = beside if section else beside + groups
    suggestion = suggested_key(key, [*values, *groups, *beside])
    if suggestion is None:
        return f"{key}: unknown key{nearest(key, listed or groups)}"
    known = f" Known: {', '.join(sorted(listed))}" if suggestion in listed else ""
    return f"{key}: unknown key. Did you mean {suggestion}?{known}"


def _options_with(key: str, root: Path) -> list[str]:
    """Return the options of the key's group that have the key: ``optimizer=momentum``."""
    group, _, name = key.partition(".")
    line = re.compile(rf"^{re.escape(name)}:", re.MULTILINE)
    paths = sorted((root / "conf" / group).glob("*.yaml")) if name and group != "hydra" else []
    return [f"{group}={path.stem}" for path in paths if line.search(path.read_text())]


def _keys_of_hydra(section: str, overrides: Sequence[str], root: Path) -> list[str]:
    """Return the keys of a section of Hydra's own configuration.

    They depend on the sampler, pruner and launcher that the overrides choose.
    """
    from omegaconf import OmegaConf

    groups = [text for text in overrides if "/" in text.partition("=")[0]]
    found = OmegaConf.select(composed_by_hydra(groups, root), section)
    return [f"{section}.{key}" for key in found] if OmegaConf.is_dict(found) else []


def _unknown_option(place: str, error: Exception, root: Path) -> str:
    if place.startswith("hydra/launcher/submitit"):
        return (
            "hydra/launcher=slurm: needs the launcher for it. "
            'Install it with: pip install "hydra-submitit-launcher>=1.2"'
        )
    group, name = place.replace("//", "/").rpartition("/")[::2]
    # Hydra knows options that are no file of conf/: samplers, pruners, launchers.
    pattern = r"Available options in '[^']*':((?:\n\t[^\n]+)*)"
    listed = re.search(pattern, str(error.__cause__ or error))
    known = listed[1].split() if listed else options_of(group, root) if group else []
    if not known:
        return ""
    return f"{group}={name}: unknown option{nearest(name, known, prefix=f'{group}=')}"


def _several_values(text: str, cause: str, overrides: Sequence[str]) -> str:
    given = re.search(r"Ambiguous value for argument '([^']+)'", cause)
    if given is None:
        return ""
    key, _, value = given[1].partition("=")
    return (
        f"{given[1]}: several values need a sweep. Add -m (--multirun) to train them all, "
        f"or write a list as {key}=[{value}]"
    )


def _bad_grammar(text: str, cause: str, overrides: Sequence[str]) -> str:
    if "override_grammar" not in cause:
        return ""
    quoted = re.search(r"Error parsing override '(.*?)'", cause)
    given = quoted[1] if quoted else next((o for o in overrides if o in cause), "")
    if not given:
        given = next((o for o in overrides if o.partition("=")[2] in cause), overrides[-1])
    if "=" not in given:
        return f"{given}: is no setting. Write {given}=<value>"
    key, _, value = given.partition("=")
    plain = value.replace("'", "")
    return (
        f"{given}: this value breaks Hydra's grammar. Close every quote and bracket, "
        f"or quote it whole: \"{key}='{plain}'\""
    )


def _unknown_deletion(text: str, cause: str, overrides: Sequence[str]) -> str:
    gone = re.search(r"Could not delete.*?'([^']+)' does not exist", cause)
    return f"~{gone[1]}: there is no such key. Leave it out." if gone else ""


def _wrong_type(text: str, cause: str, overrides: Sequence[str]) -> str:
    typed = re.search(r"(Value .* could not be .*?)\s+full_key: (\S+)", cause)
    return f"{typed[2]}: {typed[1]}. Give it a value of that type." if typed else ""


def _broken_reference(error: Any, overrides: Sequence[str]) -> str:
    from omegaconf.errors import InterpolationResolutionError

    if not isinstance(error, InterpolationResolutionError):
        return ""
    gone = next((o for o in overrides if o.startswith("~")), None)
    way_out = f"Leave {gone} out." if gone else "Name a key that exists."
    return f"{error.full_key}: {str(error).splitlines()[0]}. {way_out}"
