"""Settings from conf/ and a command line: what is refused, with which words, and what composes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import BaseModel

from pipeline.config import Settings, augment_schema, compose, schema
from pipeline.errors import ConfigError
from pipeline.models.build import Architecture, build_network

ROOT = Path(__file__).parents[2]
OPTIONS = sorted(path.relative_to(ROOT / "conf") for path in (ROOT / "conf").glob("*/*.yaml"))
FOLDER = "must be letters, digits"  # the rule of a name that becomes a folder


def _settings(line: str) -> Settings:
    return compose(line.split(" ") if line else [], root=ROOT)[0]


# id: (a bad command line, the words its message must hold, a healthy twin one change away)
BAD: dict[str, tuple[str, list[str], str]] = {
    "two_ways_to_balance": (
        "loss.class_weights=balanced data.sampling=balanced",
        ["loss.class_weights=balanced", "data.sampling=balanced", "Choose one"],
        "loss.class_weights=balanced",
    ),
    "unknown_view": (
        "evaluation.tta=[flop]",
        ["evaluation.tta", "flop", "flip"],
        "evaluation.tta=[flip,shift,rotation]",
    ),
    # keys, groups and options
    "unknown_key": (
        "model.widht=3",
        ["model.widht", "unknown key", "mean model.width?"],
        "model.width=3",
    ),
    "unknown_new_key": (
        "+model.widht=3",
        ["model.widht", "unknown key", "mean model.width?"],
        "++model.width=3",
    ),
    "unknown_key_of_a_schedule": (
        "schedule=cosine +schedule.final_facto=0.1",
        ["schedule.final_facto", "unknown key", "mean schedule.final_factor?", "warmup_epochs"],
        "schedule=cosine schedule.final_factor=0.1",
    ),
    "unknown_key_of_an_init": (
        "+init.gian=2.0",
        ["init.gian", "unknown key", "mean init.gain?", "distribution"],
        "init.gain=2.0",
    ),
    "unknown_key_of_the_trainer": (
        "+trainer.max_epoch=3",
        ["trainer.max_epoch", "unknown key", "mean trainer.max_epochs?"],
        "trainer.max_epochs=3",
    ),
    "key_of_another_kind_of_data": (
        "+data.path=x",
        ["data.path", "unknown key", "mirror"],
        "data=image_folder data.path=x",
    ),
    "unknown_group": ("modle=cnn", ["modle", "unknown key", "mean model=?"], "model=cnn"),
    "unknown_option": ("model=cn", ["model=cn:", "unknown option", "mean model=cnn?"], "model=cnn"),
    "option_of_no_group": (
        "model=/etc",
        ["model=etc", "unknown option", "Known: cnn"],
        "model=gru",
    ),
    "unknown_experiment": (
        "experiment=tutorial_cn",
        ["experiment=tutorial_cn", "unknown option", "mean experiment=tutorial_cnn?"],
        "experiment=tutorial_cnn",
    ),
    "group_null": (
        "model=null",
        ["model=null", "name of one of its options", "Known: cnn"],
        "model=mlp",
    ),
    "group_a_mapping": (
        "model={widht:3}",
        ["model={widht:3}", "unknown", "model.<key>="],
        "model={width:3}",
    ),
    "group_removed": ("~model", ["name", "Leave ~model out"], "name=mine"),
    "section_removed": ("~init", ["init: missing", "Set init=<value>"], "init=default"),
    "tag_unknown": (
        "schedule.name=ramp",
        ["schedule.name=ramp", "must be", "'cosine'"],
        "schedule=cosine",
    ),
    "tag_removed": (
        "~schedule.name",
        ["schedule.name: missing", "Set schedule.name="],
        "schedule=constant",
    ),
    "key_removed": ("~model.width", ["model.width: missing", "Set model.width="], "model.width=3"),
    "reference_to_nothing": (
        "name=${nope}",
        ["name", "'nope' not found", "that exists"],
        "name=${model.name}",
    ),
    "several_values_without_m": (
        "model.width=1,2",
        ["model.width=1,2", "--multirun"],
        "model.width=1",
    ),
    "path_missing": (
        "data=image_folder",
        ["data.path: missing", "data.path="],
        "data=image_folder data.path=x",
    ),
    "bad_value_beside_a_path": (
        "data=image_folder data.path=x data.batch_size=0",
        ["data.batch_size=0", "greater than or equal to 1", "conf/ has data.batch_size=128"],
        "data=image_folder data.path=x data.batch_size=1",
    ),
    "target_of_a_stranger": (
        "model._target_=os.system",
        ["model._target_=os.system", "outside the allowed packages", "allow_targets=[os]"],
        "allow_targets=[mynet] model._target_=mynet.Net",
    ),
    # types and ranges
    "text_for_a_number": ("seed=x", ["seed=x", "valid integer", "conf/ has seed=0"], "seed=1"),
    "fraction_of_an_epoch": (
        "trainer.max_epochs=1.5",
        ["trainer.max_epochs=1.5", "valid integer", "conf/ has trainer.max_epochs=10"],
        "trainer.max_epochs=2",
    ),
    "truth_for_a_number": (
        "data.fraction=true",
        ["data.fraction=True", "number"],
        "data.fraction=1",
    ),
    "text_for_a_list": (
        "allow_targets=x",
        ["allow_targets=x", "list", "has allow_targets=[]"],
        "allow_targets=[x]",
    ),
    "rate_nan": (
        "optimizer.learning_rate=nan",
        ["optimizer.learning_rate=nan", "finite", "conf/ has optimizer.learning_rate=0.001"],
        "optimizer.learning_rate=0.1",
    ),
    "rate_inf": (
        "optimizer.learning_rate=inf",
        ["optimizer.learning_rate=inf", "finite", "conf/ has optimizer.learning_rate=0.001"],
        "optimizer.learning_rate=100",
    ),
    "rate_negative": (
        "optimizer.learning_rate=-0.1",
        [
            "optimizer.learning_rate=-0.1",
            "greater than 0",
            "conf/ has optimizer.learning_rate=0.001",
        ],
        "optimizer.learning_rate=0.1",
    ),
    "dropout_1": (
        "model.dropout=1.0",
        ["model.dropout=1.0", "less than 1", "has model.dropout=0.2"],
        "model.dropout=0.99",
    ),
    "dropout_negative": (
        "model.dropout=-0.1",
        ["model.dropout=-0.1", "greater than or equal to 0", "has model.dropout=0.2"],
        "model.dropout=0",
    ),
    "batch_0": (
        "data.batch_size=0",
        ["data.batch_size=0", "equal to 1, or must be 'all'", "=128"],
        "data.batch_size=1",
    ),
    "batch_al": (
        "data.batch_size=al",
        ["data.batch_size=al", "integer, or must be 'all'", "=128"],
        "data.batch_size=all",
    ),
    "one_beta": (
        "optimizer.betas=[0.9]",
        ["optimizer.betas=[0.9]", "at least 2", "conf/ has optimizer.betas=[0.9, 0.999]"],
        "optimizer.betas=[0.8,0.9]",
    ),
    "severity_7": (
        "evaluation.severities=[7]",
        ["evaluation.severities.0=7", "equal to 5"],
        "evaluation.severities=[5]",
    ),
    "step_with_a_bad_value": (
        "augment=affine_erase augment.steps.0.degrees=400",
        ["augment.steps.0.degrees=400", "less than or equal to 180"],
        "augment=affine_erase augment.steps.0.degrees=40",
    ),
    "step_with_an_unknown_key": (
        "augment=affine_erase +augment.steps.0.degree=4",
        ["augment.steps.0.degree", "unknown key", "mean augment.steps.0.degrees?"],
        "augment=affine_erase augment.steps.0.scale=0.2",
    ),
    "step_that_is_none": (
        "augment=affine_erase augment.steps=[3]",
        ["augment.steps.0=3", "a transform with a _target_"],
        "augment=affine_erase",
    ),
    # names that become folders
    "name_upwards": ("name=../x", ["name=../x", FOLDER], "name=x"),
    "name_absolute": ("name=/abs", ["name=/abs", FOLDER], "name=abs"),
    "name_with_a_slash": ("name=a/b", ["name=a/b", FOLDER], "name=a_b"),
    "name_hidden": ("name=.hidden", ["name=.hidden", FOLDER], "name=v1.2"),
    "name_empty": ("name=", ["name=", FOLDER], "name=v1"),
    "data_name_upwards": (
        "data.name=../x tracking.experiment=x",
        ["data.name=../x", FOLDER],
        "data.name=x",
    ),
    # across fields
    "float16_on_the_processor": (
        "trainer=cpu precision=fp16",
        ["trainer.precision=16", "needs a GPU", "Use precision=bf16"],
        "trainer=gpu precision=fp16",
    ),
    "warm_up_too_long": (
        "trainer.max_epochs=5 schedule.warmup_epochs=5",
        [
            "schedule.warmup_epochs=5",
            "less than trainer.max_epochs=5",
            "Lower the one or raise the other",
        ],
        "trainer.max_epochs=5 schedule.warmup_epochs=4.5",
    ),
    "step_never_comes": (
        "schedule=step schedule.every_epochs=10",
        ["schedule.every_epochs=10", "less than trainer.max_epochs=10", "schedule=constant"],
        "schedule=step schedule.every_epochs=9",
    ),
    "accumulation_that_changes_under_a_schedule": (
        "schedule=cosine +callbacks.more={_target_:pytorch_lightning.callbacks."
        "GradientAccumulationScheduler,scheduling:{0:4}}",
        ["callbacks.more", "schedule=cosine counts", "accumulate_grad_batches"],
        "schedule=constant +callbacks.more={_target_:pytorch_lightning.callbacks."
        "GradientAccumulationScheduler,scheduling:{0:4}}",
    ),
    "batch_norm_of_one_image": (
        "model.normalization=batch data.batch_size=1",
        ["data.batch_size=1", "at least two images", "Use a larger batch"],
        "model.normalization=batch data.batch_size=2",
    ),
    "erase_min_over_max": (
        "augment=erase augment.min_area=0.5",
        ["augment.min_area=0.5", "at most augment.max_area=0.15", "Exchange"],
        "augment=erase augment.min_area=0.15",
    ),
    "erase_min_over_max_in_a_step": (
        "augment=affine_erase augment.steps.1.min_area=0.5",
        ["augment.steps.1.min_area=0.5", "at most augment.steps.1.max_area=0.15", "Exchange"],
        "augment=affine_erase augment.steps.1.min_area=0.15",
    ),
    "no_steps": (
        "augment=affine_erase augment.steps=[]",
        ["augment.steps=[]", "Use augment=none"],
        "augment=none",
    ),
    # without effect
    "activation_of_an_lstm": (
        "model=lstm activation=gelu",
        ["activation", "no effect", "Leave it out"],
        "model=cnn activation=gelu",
    ),
    "activation_value_of_an_lstm": (
        "model=lstm activation=leaky_relu activation.negative_slope=0.1",
        ["activation", "no effect", "Leave it out"],
        "activation=leaky_relu activation.negative_slope=0.1",
    ),
    "width_without_layers": (
        "model.depth=0 model.width=9",
        ["model.width", "no effect", "model.depth=0"],
        "model.depth=1 model.width=9",
    ),
    "fraction_while_overfitting": (
        "debug=overfit_batch data.fraction=0.5",
        ["data.fraction", "no effect", "trainer.overfit_batches"],
        "debug=fast data.fraction=0.5",
    ),
    "uri_without_tracking": (
        "tracking=none tracking.uri=sqlite:///x.db",
        ["tracking.uri", "no effect", "tracking=none records nothing"],
        "tracking=mlflow tracking.uri=sqlite:///x.db",
    ),
    "best_of_one_epoch": (
        "trainer.keep=best trainer.max_epochs=1",
        ["trainer.keep", "no effect", "with one epoch"],
        "trainer.keep=best trainer.max_epochs=2",
    ),
    "severities_without_corruptions": (
        "evaluation.corruptions=[] evaluation.severities=[1]",
        ["evaluation.severities", "no effect", "evaluation.corruptions is empty"],
        "evaluation.corruptions=[blur] evaluation.severities=[1]",
    ),
}


@pytest.mark.parametrize(
    ("line", "words"), [pytest.param(b, w, id=i) for i, (b, w, _) in BAD.items()]
)
def test_bad_input_is_refused_with_key_value_rule_and_way_out(line: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        _settings(line)
    message = str(refused.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message, "one mistake is one line"


@pytest.mark.parametrize(
    "line", [pytest.param(twin, id=name) for name, (_, _, twin) in BAD.items()]
)
def test_its_healthy_twin_composes(line: str) -> None:
    assert isinstance(_settings(line), Settings)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        _settings("model.dropout=2 seed=-1 optimizer.eps=0")
    assert sorted(line.split("=")[0] for line in str(refused.value).splitlines()) == [
        "model.dropout",
        "optimizer.eps",
        "seed",
    ]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        pytest.param(b"# @package _global_\nname: [1,\n", "not valid YAML", id="broken_yaml"),
        pytest.param(b"name: \xff\xfe\n", "not UTF-8", id="not_text"),
    ],
)
def test_a_broken_file_of_conf_is_told_in_one_message(
    project: Path, content: bytes, word: str
) -> None:
    (project / "conf" / "experiment" / "mine.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=word):
        compose(["experiment=mine"], root=project)


def test_dropout_of_a_cnn_without_a_dense_layer_acts() -> None:
    settings = _settings("model=cnn model.dense=0 model.dropout=0.3")
    architecture = Architecture(
        model=settings.model,
        activation=settings.activation,
        init=settings.init,
        input_shape=(1, 28, 28),
        num_classes=10,
    )
    network = build_network(architecture, seed=0).train()
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == [0.3]
    images = torch.ones(1, 1, 28, 28)
    assert not torch.equal(network(images), network(images))


# --- conf/ ---


def test_every_group_is_found() -> None:
    assert {str(path.parent) for path in OPTIONS} >= {
        "model",
        "schedule",
        "experiment",
        "debug",
        "precision",
    }


# What a person adds to an option that is not whole by itself.
NEEDED = {
    "data=image_folder": "data.path=image_folder",
    "data=table": "data.path=table data.target=kind",
    "data=datamodule": "data.name=datamodule data._target_=pytorch_lightning.LightningDataModule "
    "allow_targets=[pytorch_lightning]",
    "schedule=own": "schedule._target_=torch.optim.lr_scheduler.ConstantLR",
    "precision=fp16": "trainer=gpu",
}


@pytest.mark.parametrize("option", OPTIONS, ids=[str(path.with_suffix("")) for path in OPTIONS])
def test_every_option_of_conf_composes_and_is_valid(option: Path) -> None:
    chosen = f"{option.parent}={option.stem}"
    settings = _settings(f"{chosen} {NEEDED.get(chosen, '')}".strip())
    section = getattr(settings, str(option.parent), None)
    if section is not None and hasattr(section, "name"):
        assert section.name == option.stem


def _sections(kind: type[BaseModel]) -> set[type[BaseModel]]:
    return {kind}.union(*(_sections(sub) for sub in kind.__subclasses__()))


# Models that were trained before there were these settings are read too.
LATER = {
    schema.Settings: {"callbacks", "metrics", "logger", "initial_weights"},
    schema.Trainer: {"extra"},
    schema.EvaluationSettings: {"tta"},
    schema.Tracking: {"system_metrics"},
    **{key: {"class_weights"} for key in _sections(schema.OurLoss)},
    **{key: {"sampling"} for key in _sections(schema.DataSection)},
}


@pytest.mark.parametrize("section", sorted(_sections(schema.Section), key=str))
def test_no_section_of_the_schema_has_a_default(section: type[BaseModel]) -> None:
    optional = {name for name, field in section.model_fields.items() if not field.is_required()}
    assert optional <= LATER.get(section, set())


def test_the_sections_above_include_those_of_the_augmentations() -> None:
    assert augment_schema.EraseSettings in _sections(schema.Section)


@pytest.mark.parametrize("value", ["32", "'32'"])
def test_precision_is_the_same_as_a_number_and_as_text(value: str) -> None:
    assert _settings(f"trainer.precision={value}").trainer.precision == "32"


def test_names_follow_the_model_until_they_are_set() -> None:
    assert _settings("model=gru").name == "gru"
    assert _settings("model=gru name=mine").name == "mine"
    assert _settings("data=kmnist").tracking.experiment == "kmnist"
