"""From a composed configuration to validated `Settings`, or one `ConfigError` with every mistake in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from pipeline.config import augment_schema as augment
from pipeline.config import schema
from pipeline.config.schema import Built, Section, Settings
from pipeline.errors import ConfigError

# Which schema a section has, by its `_target_`; a target that is not listed is a person's own class.
TARGETS: dict[str, dict[str, type[Built]]] = {
    "model": {
        "pipeline.models.MLP": schema.MLP,
        "pipeline.models.CNN": schema.CNN,
        "pipeline.models.RNN": schema.RNN,
        "pipeline.models.LSTM": schema.Recurrent,
        "pipeline.models.GRU": schema.Recurrent,
    },
    "activation": {
        **{f"torch.nn.{n}": schema.Activation for n in ("ReLU", "GELU", "SiLU", "SELU", "Tanh", "Sigmoid")},
        "torch.nn.LeakyReLU": schema.LeakyReLU,
    },
    "loss": {
        "pipeline.losses.MeanSquaredError": schema.PlainLoss,
        "pipeline.losses.FocalLoss": schema.Focal,
    },
    "augment": {
        f"pipeline.data.augment.{c.__name__}": c
        for c in (
            augment.Identity,
            augment.Shift,
            augment.Affine,
            augment.Erase,
            augment.Noise,
            augment.Flip,
            augment.Elastic,
            augment.Compose,
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
    mistakes: list[str] = []
    for name in ("augment", "model", "activation", "loss", "optimizer", "data"):
        node = values.get(name)
        if isinstance(node, Mapping):
            sections[name] = _section(name, node, mistakes)
    augmentation = sections.get("augment")
    if isinstance(augmentation, augment.Compose):
        for index, step in enumerate(augmentation.steps):
            if isinstance(step, Mapping):
                _section("augment", {"name": "step", **step}, mistakes, at=f"augment.steps.{index}")
            else:
                mistakes.append(f"augment.steps.{index}={step}: must be a transform with a _target_")
    settings = None
    try:
        settings = Settings.model_validate(sections)
    except ValidationError as error:
        broken = {name for name, value in sections.items() if value is None}
        mistakes += [m for m, key in _messages(error, "", Settings) if key not in broken]
    if mistakes or settings is None:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    return settings


def _section(name: str, node: Mapping[str, Any], mistakes: list[str], *, at: str = "") -> Section | None:
    kind = _schema_of(name, node)
    try:
        return kind.model_validate(dict(node))
    except ValidationError as error:
        mistakes += [message for message, _ in _messages(error, f"{at or name}.", kind)]
        return None


def _schema_of(section: str, node: Mapping[str, Any]) -> type[Section]:
    if section == "data":
        folder = node.get("name") == "image_folder" or ("path" in node and "mirror" not in node)
        return schema.ImageFolder if folder else schema.Idx
    target = str(node.get("_target_"))
    named = NAMED.get(section, {}).get((str(node.get("name")), target))
    if named is not None:
        return named
    if target in TARGETS.get(section, {}):
        return TARGETS[section][target]
    return schema.OwnOptimizer if section == "optimizer" else schema.Own


def _messages(error: ValidationError, prefix: str, kind: type[Section]) -> Iterable[tuple[str, str]]:
    """One line a mistake, with the top-level key it belongs to; branches of a union make one line."""
    rules: dict[str, list[str]] = {}
    tops: dict[str, str] = {}
    for item in error.errors():
        path = [str(part) for part in item["loc"]]
        # A tagged union puts its tag into the path, and any union the name of the branch it tried.
        path = [part for i, part in enumerate(path) if i == 0 or not _is_branch(part, path, i)]
        key = prefix + ".".join(path)
        if item["type"] == "extra_forbidden":
            holder = _holder(kind, [str(part) for part in item["loc"]])
            known = [f.alias or n for n, f in holder.model_fields.items()]
            at = key.removesuffix(path[-1])
            head, rule = f"{key}: ", f"unknown key{nearest(path[-1], known, prefix=at)}"
        elif item["type"] == "union_tag_invalid":
            head = f"{key}.name={_shown(item['ctx']['tag'])}: "
            rule = f"must be {item['ctx']['expected_tags']}"
        elif item["type"] == "union_tag_not_found":
            head, rule = f"{key}.name: ", f"missing. Set {key}.name=<value>"
        elif item["type"] == "missing":
            head, rule = f"{key}: ", f"missing. Set {key}=<value>"
        else:
            head, rule = f"{key}={_shown(item['input'])}: ", _rule(item)
        rules.setdefault(head, []).append(rule)
        tops[head] = path[0]
    for head, told in rules.items():
        yield head + ", or ".join(dict.fromkeys(told)), tops[head]


def _holder(kind: type[Section], place: list[str]) -> type[Section]:
    """The schema of the section that a place in `kind` lies in; a tag in the place chooses from a union."""
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
    tags = {"constrained-int", "constrained-float", "int", "float", "bool", "str", "function-before"}
    literal = part.startswith(("literal[", "list[", "constrained-", "function-"))
    tagged = index == 1 and path[0] in ("init", "schedule")
    return part in tags or literal or tagged


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _rule(item: Any) -> str:
    if item["type"] == "string_pattern_mismatch":
        return (
            "must be letters, digits, '.', '_' or '-', beginning with a letter or digit (it becomes a folder)"
        )
    message = str(item["msg"]).replace("Input should be", "must be")
    return message[0].lower() + message[1:]


def nearest(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return a sentence that suggests the nearest of the known names, and lists them, or the like of many."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f". Did you mean {prefix}{close[0]}?" if close else "."
    if len(names) > 40:
        return f"{hint} Alike: {', '.join(difflib.get_close_matches(word, names, n=8, cutoff=0.0))}, …"
    return f"{hint} Known: {', '.join(names)}" if names else hint
