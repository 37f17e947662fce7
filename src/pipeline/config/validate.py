"""From a composed configuration to validated `Settings`, or one error with every mistake in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, get_args

from pydantic import ValidationError

from pipeline.config import augment_schema as augment
from pipeline.config import schema
from pipeline.config.schema import Built, Section, Settings
from pipeline.config.words import nearest, suggested_key
from pipeline.errors import ConfigError

# The schema of a section, by its `_target_`; a target that is not listed is a person's own class.
TARGETS: dict[str, dict[str, type[Built]]] = {
    "model": {
        "pipeline.models.MLP": schema.MLPSettings,
        "pipeline.models.CNN": schema.CNNSettings,
        "pipeline.models.ResNet": schema.ResNetSettings,
        "pipeline.models.RNN": schema.RNNSettings,
        "pipeline.models.LSTM": schema.Recurrent,
        "pipeline.models.GRU": schema.Recurrent,
    },
    "activation": {
        **{
            f"torch.nn.{n}": schema.Activation
            for n in ("ReLU", "GELU", "SiLU", "SELU", "Tanh", "Sigmoid")
        },
        "torch.nn.LeakyReLU": schema.LeakyReLU,
    },
    "loss": {
        "pipeline.losses.MeanSquaredError": schema.PlainLoss,
        "pipeline.losses.FocalLoss": schema.Focal,
    },
    "augment": {
        f"pipeline.data.augment.{c.__name__.removesuffix('Settings')}": c
        for c in (
            augment.IdentitySettings,
            augment.ShiftSettings,
            augment.AffineSettings,
            augment.EraseSettings,
            augment.NoiseSettings,
            augment.FlipSettings,
            augment.ElasticSettings,
            augment.ComposeSettings,
        )
    },
}
# torch.optim.SGD and torch.nn.CrossEntropyLoss serve several options: there the name decides.
NAMED: dict[str, dict[tuple[str, str], type[Built]]] = {
    "optimizer": {
        ("sgd", "torch.optim.SGD"): schema.SGD,
        ("momentum", "torch.optim.SGD"): schema.Momentum,
        ("nesterov", "torch.optim.SGD"): schema.Nesterov,
        ("adam", "torch.optim.Adam"): schema.Adam,
        ("adamw", "torch.optim.AdamW"): schema.Adam,
        ("rmsprop", "torch.optim.RMSprop"): schema.RMSprop,
        ("adagrad", "torch.optim.Adagrad"): schema.Adagrad,
    },
    "loss": {
        ("cross_entropy", "torch.nn.CrossEntropyLoss"): schema.PlainLoss,
        ("label_smoothing", "torch.nn.CrossEntropyLoss"): schema.LabelSmoothing,
    },
}


def validate(values: Mapping[str, Any]) -> Settings:
    """Check a resolved configuration (plain dicts and lists) against the schema.

    Raises `ConfigError` that lists every mistake: key, value, rule, and the nearest known key.
    """
    sections: dict[str, Any] = dict(values)
    mistakes = _Mistakes(_dotted(values))
    for name in ("augment", "model", "activation", "loss", "optimizer", "data"):
        node = values.get(name)
        if isinstance(node, Mapping):
            sections[name] = _section(name, node, mistakes)
    told = {name for name, value in sections.items() if value is None and values[name] is not None}
    if isinstance(sections.get("augment"), augment.ComposeSettings):
        _check_steps(sections["augment"].steps, mistakes)

    settings = None
    try:
        settings = Settings.model_validate(sections)
    except ValidationError as error:
        mistakes.add(error, "", Settings, told_already=told)
    if mistakes.lines or settings is None:
        raise ConfigError("\n".join(dict.fromkeys(mistakes.lines)))
    return settings


def schema_of(section: str, node: Mapping[str, Any]) -> type[Section]:
    """Return the schema of a section of the configuration, by its name and its ``_target_``."""
    if section == "data" and "_target_" in node:
        return schema.OwnData
    if section == "data" and "target" in node:
        return schema.TableData
    if section == "data":
        folder = node.get("name") == "image_folder" or ("path" in node and "mirror" not in node)
        return schema.ImageFolder if folder else schema.Idx
    target = str(node.get("_target_"))
    named = NAMED.get(section, {}).get((str(node.get("name")), target))
    if named is not None:
        return named
    if target in TARGETS.get(section, {}):
        return TARGETS[section][target]
    special: dict[str, type[schema.Section]] = {
        "optimizer": schema.OwnOptimizer,
        "loss": schema.OwnLoss,
    }
    return special.get(section, schema.Own)


def _dotted(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys of nested values."""
    keys: list[str] = []
    for key, value in values.items():
        keys.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            keys += _dotted(value, f"{prefix}{key}.")
    return keys


def _section(
    name: str, node: Mapping[str, Any], mistakes: _Mistakes, *, at: str = ""
) -> Section | None:
    kind = schema_of(name, node)
    try:
        return kind.model_validate(dict(node))
    except ValidationError as error:
        mistakes.add(error, f"{at or name}.", kind)
        return None


def _check_steps(steps: Sequence[Any], mistakes: _Mistakes) -> None:
    """Check the transforms of an augmentation that is composed of several."""
    for index, step in enumerate(steps):
        place = f"augment.steps.{index}"
        if isinstance(step, Mapping):
            _section("augment", {"name": "step", **step}, mistakes, at=place)
        else:
            mistakes.lines.append(f"{place}={step}: must be a transform with a _target_")


class _Mistakes:
    """The lines of the message to come. keys: every dotted key of the configuration."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys
        self.lines: list[str] = []

    def add(
        self,
        error: ValidationError,
        prefix: str,
        kind: type[Section],
        *,
        told_already: Set[str] = frozenset(),
    ) -> None:
        """Add one line a mistake; the branches of a union make one line.

        told_already: top-level keys whose mistakes stand in the message.
        """
        rules: dict[str, list[str]] = {}
        for item in error.errors():
            place = [str(part) for part in item["loc"]]
            path = [
                part for i, part in enumerate(place) if i == 0 or not _is_branch(part, place, i)
            ]
            if path[0] not in told_already:
                head, rule = self._line(item, prefix + ".".join(path), _holder(kind, place), path)
                rules.setdefault(head, []).append(rule)
        self.lines += [head + ", or ".join(dict.fromkeys(found)) for head, found in rules.items()]

    def _line(
        self, item: Any, key: str, holder: type[Section], path: Sequence[str]
    ) -> tuple[str, str]:
        """Return a mistake's key with its value, and the rule with the way out."""
        if item["type"] == "extra_forbidden":
            return f"{key}: ", self._unknown(key, path[-1], holder)
        if item["type"] == "union_tag_invalid":
            tag, allowed = item["ctx"]["tag"], item["ctx"]["expected_tags"]
            return f"{key}.name={_shown(tag)}: ", f"must be {allowed}"
        if item["type"] == "union_tag_not_found":
            return f"{key}.name: ", f"missing. Set {key}.name=<value>"
        if item["type"] == "missing":
            return f"{key}: ", f"missing. Set {key}=<value>"
        return f"{key}={_shown(item['input'])}: ", _rule(item)

    def _unknown(self, key: str, last: str, holder: type[Section]) -> str:
        section = key.removesuffix(last)
        beside = [field.alias or name for name, field in holder.model_fields.items()]
        suggestion = suggested_key(key, [*(section + name for name in beside), *self.keys])
        if suggestion is None or suggestion.removeprefix(section) in beside:
            word = (suggestion or last).rpartition(".")[2]
            return f"unknown key{nearest(word, beside, prefix=section)}"
        return f"unknown key. Did you mean {suggestion}?"


def _holder(kind: type[Section], place: list[str]) -> type[Section]:
    """Return the schema of the section that a place in `kind` lies in.

    A tag in the place chooses from a union.
    """
    options: list[type[Section]] = []
    for part in place[:-1]:
        if part in kind.model_fields:
            annotation = kind.model_fields[part].annotation
            options = [o for o in get_args(annotation) or (annotation,) if isinstance(o, type)]
        else:
            options = [o for o in options if part in get_args(o.model_fields["name"].annotation)]
        kind = options[0] if len(options) == 1 else kind
    return kind


def _is_branch(part: str, path: list[str], index: int) -> bool:
    tags = {
        "constrained-int",
        "constrained-float",
        "int",
        "float",
        "bool",
        "str",
        "function-before",
    }
    literal = part.startswith(("literal[", "list[", "constrained-", "function-"))
    tagged = index == 1 and path[0] in ("init", "schedule")
    return part in tags or literal or tagged


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _rule(item: Any) -> str:
    if item["type"] == "string_pattern_mismatch":
        return (
            "must be letters, digits, '.', '_' or '-', beginning with a letter or digit "
            "(it becomes a folder)"
        )
    message = str(item["msg"]).replace("Input should be", "must be")
    return message[0].lower() + message[1:]
