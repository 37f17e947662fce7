"""The report in a real browser: on a wide and a narrow screen, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import Chromium, Scheme, Tab

WIDTHS = {"wide": 1280, "narrow": 390}
# WCAG 2.1, 1.4.3: 4.5 for text, 3 for large text (24 px, or 18.66 px and bold).
LOW_CONTRAST = """
(() => {
  const channels = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map(v => linear(v / 255));
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(channels(style.color)), light(behind(element))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (a + .05) / (b + .05);
    const text = element.textContent.trim().slice(0, 40);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${element.tagName} ${text}`);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def tab(browser: Chromium) -> Tab:
    return browser.tab()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", WIDTHS)
def test_the_report_is_whole_and_readable(
    screen: str, scheme: Scheme, project: Path, tab: Tab, tmp_path: Path
) -> None:
    tab.look(width=WIDTHS[screen], scheme=scheme)
    tab.open((project / "results" / "report.html").as_uri())
    (tmp_path / f"{screen}_{scheme}.png").write_bytes(tab.picture())
    for state in ("as it opens", "with everything unfolded"):
        width, inside = tab.script("[document.scrollingElement.scrollWidth, window.innerWidth]")
        assert width <= inside == WIDTHS[screen], f"{state}: scrolls sideways"
        assert tab.script(LOW_CONTRAST) == [], state
        tab.script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    images = tab.script(
        "[...document.images].map(i => [i.complete && i.naturalWidth, i.alt, i.clientWidth])"
    )
    assert len(images) > 15
    assert all(natural > 0 and alt and shown > 100 for natural, alt, shown in images)
    assert tab.complaints == []
    assert [r for r in tab.requests if not r.startswith(("file:", "data:"))] == []
    dark = tab.script("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    assert dark == (scheme == "dark")


def test_a_narrow_screen_shows_the_pictures_that_were_drawn_for_it(project: Path, tab: Tab) -> None:
    tab.look(width=390)
    tab.open((project / "results" / "report.html").as_uri())
    widths = tab.script(
        "[...document.images].filter(i => i.alt.startsWith('Learning curves'))"
        ".map(i => i.naturalWidth)"
    )
    assert widths == [576, 576]  # 4 inches at 144 dots


def test_one_click_selects_a_whole_command(project: Path, tab: Tab) -> None:
    tab.look(width=1280)
    tab.open((project / "results" / "report.html").as_uri())
    place = tab.script(
        "(() => { const c = document.querySelector('.ways .command');"
        " c.scrollIntoView({behavior: 'instant'}); const r = c.getBoundingClientRect();"
        " return [r.x + 60, r.y + r.height / 2, c.textContent] })()"
    )
    x, y, command = place
    for kind in ("mousePressed", "mouseReleased"):
        tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    assert tab.script("getSelection().toString().trim()") == command.strip()
    assert command.startswith("pipeline train name=")


def test_on_paper_it_is_light_and_nothing_is_cut(project: Path, tab: Tab) -> None:
    tab.look(width=1280, scheme="dark")
    tab.open((project / "results" / "report.html").as_uri())
    tab.call(
        "Emulation.setEmulatedMedia",
        media="print",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    try:
        assert tab.script("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert tab.script("getComputedStyle(document.querySelector('.sheet img')).filter") == "none"
        assert tab.script(LOW_CONTRAST) == []
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")
