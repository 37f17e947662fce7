"""The command as typed: words with placeholders, which no shell ever reads."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.config.words import nearest
from pipeline.errors import ConfigError
from pipeline.passwords import HIDDEN, revealed

SEED, OUT = "seed", "out"
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)\}")
_REMEDY = re.compile(r"\s*([A-Za-z_]\w*)\s*[:=]\s*\[([^\[\]]*)\]\s*(,|$)")
EXAMPLE = 'cmd="python train.py --dropout {dropout} --seed {seed}" "remedies={dropout:[0.0,0.3]}"'


@dataclass(frozen=True)
class Template:
    """A command's words, and the values of its placeholders.

    values: placeholder → its values as typed, at least two; the first is the one of the command as
    it is.
    """

    words: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]

    @property
    def as_it_is(self) -> dict[str, str]:
        """The settings of the unchanged command."""
        return {name: values[0] for name, values in self.values.items()}

    @property
    def writes_out(self) -> bool:
        """Whether the command takes the folder of its run."""
        return OUT in placeholders(self.words)

    def filled(self, settings: Mapping[str, str]) -> list[str]:
        """Return the words with every placeholder replaced; a value stays within its word."""
        return [fill(word, settings) for word in self.words]

    def to_run(self, settings: Mapping[str, str]) -> list[str]:
        """Return the same words with the passwords of addresses, which no file may hold."""
        return [fill(revealed(word), settings) for word in self.words]


def template_of(command: str, remedies: str) -> Template:
    """Read a command and its remedies, ``{dropout:[0.0,0.3],lr:[0.1,0.01]}``.

    Raises `ConfigError` for quotes without an end, a command without ``{seed}``, a placeholder
    without values, and values without a placeholder.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ConfigError(f"cmd={command}: cannot be split into words ({error}).") from error
    if any(HIDDEN in revealed(word) for word in words):
        raise ConfigError(
            f"cmd={command}: holds a password outside of an address, which would stand in files. "
            "Let the command read it from an environment variable."
        )
    if not words:
        raise ConfigError(f"cmd={command}: is empty. For example: {EXAMPLE}")
    values = _remedies(remedies)
    used = placeholders(words)
    if SEED not in used:
        raise ConfigError(
            f"cmd={command}: has no {{seed}}. Runs are paired by their seed, so the command must "
            f"take one. For example: {EXAMPLE}"
        )
    for name in used:
        if name not in (*values, SEED, OUT):
            raise ConfigError(
                f"cmd={command}: {{{name}}} has no value{nearest(name, list(values))} "
                f'Give its values, the present one first: "remedies={{{name}:[<as it is>,<new>]}}"'
            )
    for name in values:
        if name not in used:
            raise ConfigError(
                f"remedies: {name} has no placeholder in the command, so it would change nothing. "
                f"Write {{{name}}} where its value belongs."
            )
    return Template(words, values)


def placeholders(words: Sequence[str]) -> list[str]:
    """Return the names in braces, each once, in their order."""
    found = [match[1] for word in words for match in _PLACEHOLDER.finditer(word) if match[1]]
    return list(dict.fromkeys(found))


def fill(word: str, settings: Mapping[str, str]) -> str:
    """Replace ``{name}``; ``{{`` and ``}}`` are braces, and other braces stay as they are."""
    return _PLACEHOLDER.sub(lambda m: settings[m[1]] if m[1] else m[0][0], word)


def _remedies(text: str) -> dict[str, tuple[str, ...]]:
    inner = text.strip().removeprefix("{").removesuffix("}")
    values: dict[str, tuple[str, ...]] = {}
    place = 0
    while place < len(inner):
        match = _REMEDY.match(inner, place)
        if match is None:
            raise ConfigError(
                f"remedies={text}: cannot be read. Write each placeholder with its values, the "
                'present one first: "remedies={dropout:[0.0,0.3]}"'
            )
        _add(values, match[1], match[2], text)
        place = match.end()
    if not values:
        raise ConfigError(
            "remedies: missing. Give the values to compare, the present one first: "
            '"remedies={dropout:[0.0,0.3]}"'
        )
    return values


def _add(values: dict[str, tuple[str, ...]], name: str, listed: str, text: str) -> None:
    if name in (SEED, OUT):
        raise ConfigError(f"remedies={text}: {{{name}}} is filled by verify. Leave it out.")
    if name in values:
        raise ConfigError(f"remedies={text}: names {name} twice. Leave one of them out.")
    given = tuple(part.strip().strip("'\"") for part in listed.split(",") if part.strip())
    if len(given) < 2:
        raise ConfigError(
            f"remedies={text}: {name} needs two values or more, the present one first."
        )
    if len(set(given)) < len(given):
        raise ConfigError(f"remedies={text}: {name} has the same value twice. Leave one out.")
    values[name] = given
