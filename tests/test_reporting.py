"""Pictures and the page: same input same bytes, every number in its place, nothing fetched, all escaped."""

from __future__ import annotations

import json
import re
import struct
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.diagnosis.history import Context, History
from pipeline.errors import DataError
from pipeline.evaluation import evaluate, flatten
from pipeline.evaluation.intervals import wilson
from pipeline.records import EpochRecord, Estimate, SignalRecord
from pipeline.reporting import (
    comparison,
    confusion,
    evidence_curves,
    forest,
    generalization,
    layer_maps,
    learning_curves,
    mistakes,
    per_class,
    reliability,
    sentences,
)
from pipeline.reporting.html import render_report
from pipeline.reporting.model_report import (
    ArmRow,
    Evidence,
    GeneralizationRow,
    HealingReport,
    HealingStep,
    ModelReport,
    ProofReport,
    VerdictReport,
    WayOut,
)
from pipeline.reporting.style import PHONE, WIDE, png_bytes, save_png

NAMES = ["T-shirt/top", "<b>Coat</b>", "Bag"]
GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(3, size=80)
EVALUATION = evaluate(GENERATOR.normal(size=(80, 3)) + 2 * np.eye(3)[LABELS], LABELS, class_names=NAMES)
HISTORY = [
    EpochRecord(
        epoch=i,
        step=10 * i,
        metrics={"train/loss": 1 / (i + 1), "val/loss": loss, "train/accuracy": 0.9, "val/accuracy": 0.8},
    )
    for i, loss in enumerate([1.0, 0.4, 0.6])
]
ROWS = [
    GeneralizationRow("test", 0, wilson(90, 100)),
    GeneralizationRow("shift", 1, wilson(80, 100)),
    GeneralizationRow("shift", 3, wilson(50, 100)),
    GeneralizationRow("digits", None, wilson(60, 100)),
]


SIGNALS = SignalRecord(
    arrays={
        "epochs": np.array([-1, 0, 1, 2]),
        "layers/num_weights": np.array([4, 100]),
        "layers/gradient_norm": np.array([[2.0, 10.0], [0.2, np.nan], [0.02, 1.0], [0.0, 1.0]]),
        "units/dead": np.array([[0.0], [0.25], [0.5], [0.5]]),
        "train/loss_per_example": np.array([[1.0, 3.0], [0.9, 1.1], [0.5, 0.5], [0.3, 0.4]]),
        "val/correct": np.array([[0, 1], [1, 1], [1, 0], [1, 1]], dtype=bool),
    },
    metadata={
        "layers": json.dumps(["first", "output"]),
        "activations": json.dumps([{"name": "act", "kind": "relu", "layer": "first"}]),
    },
)
ARMS = [
    ArmRow("more_data", Estimate(0.2, 0.1, 0.3, 5), "confirmed", 0.01, 0.0),
    ArmRow("<l2>", Estimate(-0.004, -0.02, 0.01, 5), "not confirmed", 0.5, 1.0, 40),
    ArmRow("control: reseeded", Estimate(0.0, -0.1, 0.1, 5), "control"),
]


def draw_curves(width: float = WIDE) -> Figure:
    told = History.of(HISTORY, SIGNALS, Context(num_classes=3), name="x")
    return evidence_curves.plot(told, decided=[(1, 3), (3, 3), (3, 3)], width=width)


def draw_forest(width: float = WIDE) -> Figure:
    return forest.plot([forest.Row(a.name, a.change, a.verdict) for a in ARMS], title="t", width=width)


def draw_gradients() -> Figure:
    found = layer_maps.gradient_map(SIGNALS)
    assert found is not None
    return layer_maps.plot(found, width=WIDE)


def draw_mistakes(count: int = 7, *, channels: int = 1) -> Figure:
    images = np.random.default_rng(0).integers(256, size=(count, channels, 28, 28)).astype(np.uint8)
    zeros, ones = np.zeros(count, int), np.ones(count, int)
    return mistakes.plot(
        images, zeros, predictions=ones, confidences=np.full(count, 0.99997), class_names=NAMES
    )


PLOTS = {
    "learning_curves": lambda: learning_curves.plot(HISTORY),
    "confusion": lambda: confusion.plot(EVALUATION.confusion, class_names=NAMES),
    "reliability": lambda: reliability.plot(EVALUATION.calibration_bins),
    "mistakes": draw_mistakes,
    "per_class": lambda: per_class.plot(EVALUATION),
    "generalization": lambda: generalization.plot(ROWS),
    "comparison": lambda: comparison.plot([("a", wilson(90, 100)), ("b", wilson(95, 100))]),
    "evidence_curves": draw_curves,
    "gradient_flow": draw_gradients,
    "verification": draw_forest,
}


def words(figure: Figure) -> list[str]:
    return [
        text.get_text() for axes in figure.axes for text in axes.findobj(mpl.text.Text) if text.get_text()
    ]


@pytest.mark.parametrize("name", PLOTS)
def test_same_input_same_bytes_and_nothing_global_changes(name: str) -> None:
    before = dict(mpl.rcParams)
    first, second = png_bytes(PLOTS[name]()), png_bytes(PLOTS[name]())
    assert first == second
    assert dict(mpl.rcParams) == before
    kinds, at = [], 8
    while at < len(first):  # the chunks of a PNG: length, kind, content, checksum
        length, kind = struct.unpack_from(">I4s", first, at)
        kinds.append(kind)
        at += 12 + length
    assert set(kinds) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}  # no text, no time


def test_save_png_replaces_in_one_step(tmp_path: Path) -> None:
    figure = PLOTS["comparison"]()
    save_png(figure, tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").read_bytes() == png_bytes(figure)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


def test_learning_curves_mark_the_lowest_validation_loss() -> None:
    figure = learning_curves.plot(HISTORY)
    assert len(figure.axes) == 2
    assert "best epoch 2: 0.4" in words(figure)
    curves = [line.get_ydata() for line in figure.axes[0].lines]
    assert any(np.array_equal(curve, [1.0, 0.4, 0.6]) for curve in curves)


def test_learning_curves_show_what_is_there() -> None:
    rates = [EpochRecord(epoch=i, step=i, metrics={"learning_rate": 0.1, "val/loss": 1.0}) for i in range(2)]
    assert [axes.get_title(loc="left") for axes in learning_curves.plot(rates).axes] == [
        "Loss (nats)",
        "Learning rate",
    ]
    broken = [EpochRecord(epoch=0, step=1, metrics={"train/loss": float("nan"), "val/loss": float("inf")})]
    assert learning_curves.best_epoch(broken) is None
    assert png_bytes(learning_curves.plot(broken))


@pytest.mark.parametrize(("width", "columns"), [(WIDE, 2), (PHONE, 1)], ids=["wide", "phone"])
def test_curves_shade_the_epochs_that_decided_and_have_bands(width: float, columns: int) -> None:
    figure = draw_curves(width)
    loss, accuracy = figure.axes
    assert loss.get_gridspec().ncols == columns
    assert sorted(p.get_x() + 0.5 for p in loss.patches) == [1, 3]  # each span once
    (band,) = loss.collections  # of the training part alone: no losses of validation examples were kept
    points = band.get_paths()[0].vertices
    # Epoch 1: losses 0.9 and 1.1, mean 1, standard deviation 0.1, standard error 0.1 / √2.
    assert points[points[:, 0] == 1, 1].max() == pytest.approx(1 + 1.96 * 0.1 / 2**0.5)
    assert len(accuracy.collections) == 1 and accuracy.get_ylim()[1] <= 1.005


def test_maps_hold_gradients_per_root_of_the_weights_and_shares_of_dead_units() -> None:
    gradients, dead = layer_maps.gradient_map(SIGNALS), layer_maps.dead_unit_map(SIGNALS)
    assert gradients is not None and dead is not None
    assert gradients.names == ["first", "output"] and gradients.epochs.tolist() == [0, 1, 2, 3]
    assert gradients.values[0] == pytest.approx([1.0, 0.1, 0.01, 0.0])
    assert gradients.values[1] == pytest.approx([1.0, np.nan, 0.1, 0.1], nan_ok=True)
    assert dead.values.tolist() == [[0.0, 0.25, 0.5, 0.5]]
    shown = draw_gradients().axes[0].collections[0].get_array()
    assert np.ma.getmaskarray(shown).tolist() == [[False, False, False, True], [False, True, False, False]]


@pytest.mark.parametrize("width", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_forest_names_every_arm_with_its_numbers(width: float) -> None:
    told = " | ".join(words(draw_forest(width)))
    for expected in ("more data", "20\N{NO-BREAK SPACE}% [10, 30]", "0\N{NO-BREAK SPACE}% [-2, 1]"):
        assert expected in told
    assert "-0" not in told


@pytest.mark.parametrize("k", [2, 10, 26])
def test_confusion_writes_every_count(k: int) -> None:
    matrix = np.arange(1, k * k + 1).reshape(k, k)
    figure = confusion.plot(matrix, class_names=[f"c{i}" for i in range(k)])
    assert sorted(t.get_text() for t in figure.axes[0].texts) == sorted(map(str, matrix.ravel().tolist()))


def test_confusion_leaves_zero_blank() -> None:
    figure = confusion.plot(np.array([[3, 0], [0, 0]]), class_names=["a", "b"])
    assert [t.get_text() for t in figure.axes[0].texts] == ["3"]


def test_per_class_puts_the_weakest_on_top() -> None:
    labels = [label.get_text() for label in per_class.plot(EVALUATION).axes[0].get_yticklabels()]
    weakest = min(EVALUATION.per_class, key=lambda each: each.f1.value)
    assert labels[-1] == f"{weakest.name}  (n = {weakest.support})"


def test_mistakes_name_truth_and_prediction_and_never_round_to_certainty() -> None:
    found = words(draw_mistakes(2))
    assert found.count("<b>Coat</b>") == 2 and found.count("is T-shirt/top") == 2
    assert found.count(">\N{NO-BREAK SPACE}99.9\N{NO-BREAK SPACE}%") == 2


@pytest.mark.parametrize(("count", "channels"), [(0, 1), (1, 3), (6, 2)], ids=str)
def test_mistakes_of_any_number_and_colour(count: int, channels: int) -> None:
    figure = draw_mistakes(count, channels=channels)
    assert png_bytes(figure) and sum(len(axes.images) for axes in figure.axes) == count


@pytest.mark.parametrize(
    "rows", [ROWS[:1], ROWS[1:3], ROWS[3:], ROWS[::3]], ids=["clean", "corrupt", "other", "two"]
)
def test_generalization_draws_what_is_there(rows: list[GeneralizationRow]) -> None:
    assert png_bytes(generalization.plot(rows))


@pytest.mark.parametrize("draw", [learning_curves.plot, generalization.plot, comparison.plot])
def test_nothing_to_draw_is_refused(draw: object) -> None:
    assert callable(draw)
    with pytest.raises(DataError, match="0 "):
        draw([])


class Page(HTMLParser):
    """What a browser would load from a page, and which elements and texts it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.texts: list[str] = []
        self.alternatives: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key in ("src", "href") and value:
                self.loads.append(value)
            if key == "alt":
                self.alternatives.append(value or "")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def full(name: str = "cnn <script>alert(1)</script>") -> ModelReport:
    return ModelReport(
        name=name,
        metrics={**flatten(EVALUATION), "model/num_parameters": 1234567.0, "train/duration_s": 75.3},
        history=HISTORY,
        pictures={stem: png_bytes(draw()) for stem, draw in PLOTS.items() if stem != "comparison"}
        | {"own_plot": png_bytes(draw_mistakes(1))},
        narrow_pictures={"confusion": png_bytes(PLOTS["confusion"]())},
        confusions=[("<b>Coat</b>", "Bag", 7)],
        generalization=ROWS,
        settings={"optimizer.name": "<adam> & co"},
        commands=["pipeline train name='x' && echo \"<done>\""],
        diagnosis=VerdictReport(
            "over_regularized",
            0.874,
            what="The <penalty> wins.",
            harm="It stays <weak>.",
            evidence=[
                Evidence("share & rest", 0.51234, 0.4, 0.6, 0.3, "above", "×", (2, 2)),
                Evidence("slope", None, None, None, 2.0, "below", "", (1, 3)),
            ],
            ways=[WayOut(f"way_{i}", "<why>", f"pipeline train way={i} <x>") for i in range(5)],
            verify="pipeline verify name=<x>",
            undecided=["label_noise"],
            not_run={"dead_units": "signals"},
        ),
        proof=ProofReport("<proof>", ARMS, "more data", "pipeline train experiment=<e>"),
        healing=HealingReport(
            [HealingStep("overfitting", 0.9, "more_data", "data.fraction=<1>", "20 %")], "2 rounds", "healthy"
        ),
    )


FULL = full()


def render(*models: ModelReport) -> str:
    return render_report(models, title="A & B <i>", generated_from={"commit": "<abc>"})


def test_page_needs_nothing_from_outside_and_runs_nothing() -> None:
    text = render(FULL, full("other"))
    page = Page(text)
    assert (
        "script" not in page.tags
        and "link" not in page.tags
        and "i" not in page.tags
        and "b" not in page.tags
    )
    assert all(load.startswith(("data:image/png;base64,", "#model-")) for load in page.loads)
    assert not re.search(r"https?:|url\(|@import", text)
    assert page.tags.count("img") == 2 * len(FULL.pictures) + 1  # and the comparison of both


def test_page_leads_from_the_verdict_to_the_commands() -> None:
    text = render(FULL)
    page = Page(text)
    joined = " ".join(page.texts)
    lead = "Over regularized (confidence 0.87): the <penalty> wins; proved to help: more data."
    assert joined.count(lead) == 2  # on the card on top, and over the model's part
    assert (
        page.texts.index("Why")
        < page.texts.index("What to do about it")
        < page.texts.index("Tried and judged")
    )
    for expected in ("0.512×", "interval 0.4 … 0.6; the rule asks for above 0.3×; epoch 2", "not finite"):
        assert expected in joined
    for command in (*(f"pipeline train way={i} <x>" for i in range(5)), "pipeline verify name=<x>"):
        assert command in page.texts
    for expected in ("<proof>", "pipeline train experiment=<e>", "<l2>", "about 40 seeds would decide"):
        assert expected in page.texts
    for expected in ("adopted", "data.fraction=<1>", "as it is now; ended: 2 rounds", "2 more"):
        assert expected in joined
    assert "Undecided: label noise." in joined and "Not judged: dead units, which needs signals." in joined


def test_every_picture_is_told_in_words() -> None:
    page = Page(render(FULL, full("other")))
    assert len(page.alternatives) == page.tags.count("img") and all(page.alternatives)
    told = " | ".join(page.alternatives)
    assert "training loss goes from 1 to 0.333" in told
    assert "<b>Coat</b> taken for Bag (7)" in told
    assert "more data 20\N{NO-BREAK SPACE}% [10, 30], confirmed" in told
    assert len(set(page.alternatives)) == len(page.alternatives)


def test_a_narrow_screen_gets_its_own_picture_where_there_is_one() -> None:
    assert render(FULL).count('<source media="(max-width: 40rem)" srcset="data:image/png;base64,') == 1


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (VerdictReport("healthy", 0.9), "Healthy (confidence 0.90): no rule finds a fault in its training."),
        (
            VerdictReport("undetermined", 0.5, reason="x is missing."),
            "Undetermined (confidence 0.50): x is missing.",
        ),
    ],
)
def test_a_verdict_without_a_fault_is_one_sentence(verdict: VerdictReport, expected: str) -> None:
    assert sentences.of_verdict(verdict, None) == expected


def test_page_says_everything() -> None:
    page = Page(render(FULL))
    joined = " ".join(page.texts)
    for expected in ("A & B <i>", "<abc>", "<adam> & co", "cnn <script>alert(1)</script>", "1,234,567"):
        assert expected in joined
    for expected in ("1\N{NO-BREAK SPACE}min 15\N{NO-BREAK SPACE}s", '&& echo "<done>"', "Own plot"):
        assert expected in joined
    for row in ROWS:
        assert sentences.percent(row.accuracy.low) in joined


def test_page_is_the_same_for_the_same_models_in_any_order() -> None:
    better = ModelReport(
        "better", {"test/accuracy": 0.99, "test/accuracy_low": 0.98, "test/accuracy_high": 1.0}
    )
    assert render(FULL, better) == render(better, FULL)
    assert Page(render(FULL, better)).loads[0] == "#model-1"
    page = render(FULL, better)
    assert page.index(">better</a>") < page.index(">cnn &lt;script&gt;alert(1)&lt;/script&gt;</a>")


def test_page_degrades_when_things_are_missing() -> None:
    page = Page(render(ModelReport("bare")))
    joined = " ".join(page.texts)
    assert "It has no test results yet." in joined and "img" not in page.tags and "details" not in page.tags
    assert "Generalisation" not in joined and "None" not in joined


def test_verdict_tells_a_lead_from_chance() -> None:
    def model(name: str, hits: int) -> ModelReport:
        e = wilson(hits, 1000)
        keys = ("test/accuracy", "test/accuracy_low", "test/accuracy_high")
        return ModelReport(name, dict(zip(keys, (e.value, e.low, e.high), strict=True)))

    assert "no other model's interval reaches" in sentences.of_all([model("a", 990), model("b", 900)])
    assert "interval of b overlaps" in sentences.of_all([model("a", 905), model("b", 900), model("c", 700)])
    assert sentences.of_all([model("a", 900)]).startswith("a reaches a test accuracy of 90.00")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "–"),
        (0.25, "0.2 s"),
        (59.96, "60.0 s"),
        (75.3, "1 min 15 s"),
        (119.7, "2 min 0 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations(seconds: float | None, expected: str) -> None:
    assert sentences.duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == expected


@pytest.mark.parametrize(
    ("models", "message"),
    [
        pytest.param([], "0 models", id="none"),
        pytest.param([ModelReport("a"), ModelReport("a")], "named 'a'", id="same name"),
        pytest.param([ModelReport("a", pictures={"confusion": b"GIF89a"})], "must be a PNG", id="no png"),
    ],
)
def test_page_refuses(models: list[ModelReport], message: str) -> None:
    with pytest.raises(DataError, match=message):
        render(*models)
