"""The page: every number in its place, nothing fetched, everything escaped."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from drawn import EVALUATION, HISTORY, PLOTS, ROWS, SPACE, VERIFICATION, draw_mistakes
from pipeline.diagnosis.proof import Healing, Round
from pipeline.diagnosis.record import Condition, Diagnosis, Finding, NotRun, Remedy
from pipeline.errors import DataError
from pipeline.evaluation import flatten
from pipeline.reporting import sentences
from pipeline.reporting.html import render_report
from pipeline.reporting.model_report import ModelReport
from pipeline.reporting.style import png_bytes


class Page(HTMLParser):
    """What a browser would load from a page, and the elements and texts on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.texts: list[str] = []
        self.alternatives: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key in ("src", "href") and value:
                self.loads.append(value)
            if key == "alt":
                self.alternatives.append(value or "")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def finding(verdict: str, *conditions: Condition, remedies: int = 0) -> Finding:
    return Finding(
        verdict=verdict,
        probability=0.874,
        what="The <penalty> wins.",
        harm="It stays <weak>.",
        conditions=conditions,
        remedies=tuple(Remedy(f"way_{i}", (f"way={i}",), "<why>") for i in range(remedies)),
    )


FINITE = Condition(
    what="share & rest", value=0.51234, low=0.4, high=0.6, unit="×", wanted="above", limit=0.3,
    probability=0.9, epochs=(2, 2),
)  # fmt: skip
INFINITE = Condition(
    what="slope", value=math.nan, low=math.nan, high=math.nan, wanted="below", limit=2.0,
    probability=0.9, epochs=(1, 3),
)  # fmt: skip
DIAGNOSIS = Diagnosis(
    name="cnn",
    verdict="over_regularized",
    confidence=0.874,
    ranked=("over_regularized",),
    findings=(finding("over_regularized", FINITE, INFINITE, remedies=5),),
    follow=(),
    undecided=(finding("label_noise"),),
    ruled_out=(),
    not_run=(NotRun("dead_units", "signals"),),
)
HEALING = Healing(
    name="cnn",
    steps=(Round("overfitting", 0.9, "more_data", ("data.fraction=<1>",), "20 %"),),
    end="2 rounds",
    verdict="healthy",
    experiment="<healed>",
)
DRAWN = {stem: png_bytes(draw()) for stem, draw in PLOTS.items() if stem != "comparison"}


def full(name: str = "cnn <script>alert(1)</script>") -> ModelReport:
    """A model with every part, and with text that would break a page."""
    size = {"model/num_parameters": 1234567.0, "train/epochs": 12.0}
    return ModelReport(
        name=name,
        metrics={**flatten(EVALUATION), **size},
        history=HISTORY,
        pictures=DRAWN | {"own_plot": png_bytes(draw_mistakes(1))},
        narrow_pictures={"confusion": DRAWN["confusion"]},
        confusions=[("<b>Coat</b>", "Bag", 7)],
        generalization=ROWS,
        settings={"optimizer.name": "<adam> & co"},
        commands=["pipeline train name='x' && echo \"<done>\""],
        diagnosis=DIAGNOSIS,
        remedy_commands={f"way_{i}": f"pipeline train way={i} <x>" for i in range(5)},
        verification=VERIFICATION,
        healing=HEALING,
    )


NOWHERE = Path("no project")  # so no picture is kept
FULL = full()
BETTER = ModelReport(
    "better", {"test/accuracy": 0.99, "test/accuracy_low": 0.98, "test/accuracy_high": 1.0}
)


def render(*models: ModelReport) -> str:
    return render_report(
        models, title="A & B <i>", generated_from={"commit": "<abc>"}, root=NOWHERE
    )


PAGE = Page(render(FULL))


def test_a_page_runs_nothing_and_takes_no_text_for_markup() -> None:
    tags = Page(render(FULL, full("other"))).tags
    assert not {"script", "link", "i", "b"} & set(tags)


def test_a_page_needs_nothing_from_outside() -> None:
    text = render(FULL, full("other"))
    page = Page(text)
    assert all(load.startswith(("data:image/png;base64,", "#model-")) for load in page.loads)
    assert not re.search(r"https?:|url\(|@import", text)
    assert page.tags.count("img") == 2 * len(FULL.pictures) + 1  # and the comparison of both


def test_the_verdict_leads_the_card_and_the_model_s_part() -> None:
    lead = (
        "Over regularized (confidence 0.87): the <penalty> wins; "
        f"proved to help: more data, test loss falls by 18{SPACE}% [12, 24]."
    )
    assert " ".join(PAGE.texts).count(lead) == 2


def test_the_parts_lead_from_evidence_to_proof() -> None:
    headings = ["Why", "What to do about it", "Tried and judged", "Healed, round by round"]
    places = [PAGE.texts.index(heading) for heading in headings]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "expected",
    [
        "0.512×",
        "above 0.3× counts; 95 % interval 0.4× to 0.6×; epoch 2",
        "not finite",
        "below 2 counts; epochs 1-3",
        "It stays <weak>.",
        "Undecided: label noise.",
        "Not judged: dead units, which needs signals.",
    ],
)
def test_the_evidence_is_shown(expected: str) -> None:
    assert expected in PAGE.text


def test_every_remedy_is_a_command_and_the_later_ones_are_folded() -> None:
    assert {f"pipeline train way={i} <x>" for i in range(5)} <= set(PAGE.texts)
    assert "2 more" in PAGE.texts


def test_the_command_that_verifies_stands_where_nothing_is_verified() -> None:
    command = 'pipeline verify name=cnn "remedies=[way_0,way_1]" stop=early'
    open_page = Page(
        render(
            ModelReport("cnn", diagnosis=DIAGNOSIS, remedy_commands=FULL.remedy_commands),
        )
    )
    assert command in open_page.texts and command not in PAGE.texts


def test_a_model_without_a_verdict_shows_what_is_worth_a_try_and_its_proof() -> None:
    longer = Remedy("more_epochs", ("trainer.max_epochs=12",), "the loss was still falling")
    diagnosis = replace(
        DIAGNOSIS, verdict="undetermined", reason="too near", findings=(), remedies=(longer,)
    )
    train = "pipeline train trainer.max_epochs=12"
    page = Page(
        render(ModelReport("cnn", diagnosis=diagnosis, remedy_commands={"more_epochs": train}))
    )
    proof = 'pipeline verify name=cnn "remedies=[more_epochs]" stop=early'
    assert {train, proof} <= set(page.texts)


@pytest.mark.parametrize(
    "expected",
    [
        "<proof>",
        "pipeline train experiment=<e>",
        "<l2>",
        "about 40 seeds would decide",
        f"0{SPACE}% [-2, 1]",
        "25%",
        "control: random search",
    ],
)
def test_the_verification_is_shown(expected: str) -> None:
    assert expected in PAGE.texts


@pytest.mark.parametrize(
    "expected",
    [
        "adopted more data data.fraction=<1>",
        "test loss falls by 20 %",
        "as it is now; ended: 2 rounds",
        "pipeline train experiment=<healed>",
    ],
)
def test_the_healing_is_shown(expected: str) -> None:
    assert expected in PAGE.text


@pytest.mark.parametrize(
    "expected",
    [
        "A & B <i>",
        "<abc>",
        "<adam> & co",
        "cnn <script>alert(1)</script>",
        "1,234,567",
        '&& echo "<done>"',
        "Own plot",
        *(sentences.percent(row.accuracy.low) for row in ROWS),
    ],
)
def test_names_numbers_and_settings_are_shown(expected: str) -> None:
    assert expected in " ".join(PAGE.texts)


def test_every_picture_has_words_of_its_own() -> None:
    page = Page(render(FULL, full("other")))
    assert len(page.alternatives) == page.tags.count("img")
    assert all(page.alternatives)
    assert len(set(page.alternatives)) == len(page.alternatives)


def test_a_narrow_screen_gets_its_own_picture_where_there_is_one() -> None:
    source = '<source media="(max-width: 40rem)" srcset="data:image/png;base64,'
    assert render(FULL).count(source) == 1


def test_the_best_model_comes_first_in_whatever_order_models_are_given() -> None:
    page = render(FULL, BETTER)
    assert page == render(BETTER, FULL)
    assert Page(page).loads[0] == "#model-1"
    assert page.index(">better</a>") < page.index(">cnn &lt;script&gt;alert(1)&lt;/script&gt;</a>")


def test_missing_parts_are_left_out() -> None:
    page = Page(render(ModelReport("bare")))
    assert "It has no test results yet." in page.text
    assert not {"img", "details"} & set(page.tags)
    assert "Generalisation" not in page.text and "None" not in page.text


@pytest.mark.parametrize(
    ("models", "message"),
    [
        pytest.param([], "0 models", id="none"),
        pytest.param([ModelReport("a"), ModelReport("a")], "named 'a'", id="same_name"),
        pytest.param(
            [ModelReport("a", pictures={"confusion": b"GIF89a"})], "must be a PNG", id="no_png"
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(models: list[ModelReport], message: str) -> None:
    with pytest.raises(DataError, match=message):
        render(*models)
