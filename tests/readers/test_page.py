"""The page of a report in a real browser: at three widths, light, dark, on paper and without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from datacrumbs.commands.report import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType
    from typing import Any

pytestmark = [pytest.mark.readers, pytest.mark.slow]

WIDTHS = (375, 768, 1440)
WAYS = {"light": {}, "dark": {"dark": True}, "print": {"media": "print"}, "without scripts": {"scripts": False}}
LUMINANCE = """
(() => {
  const part = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = (text) => {
    const [red, green, blue, alpha = 1] = text.match(/[0-9.]+/g).map(Number);
    return [alpha, 0.2126 * part(red) + 0.7152 * part(green) + 0.0722 * part(blue)];
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [alpha, value] = light(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return value;
    }
    return 1;
  };
  let worst = 99;
  const texts = "p, h1, h2, h3, th, td, dt, dd, dd b, dd span, a, caption, summary, label";
  for (const element of document.querySelectorAll(texts)) {
    if (!element.checkVisibility() || !element.textContent.trim() || /shade/.test(element.className)) continue;
    const pair = [light(getComputedStyle(element).color)[1], behind(element)].sort((a, b) => b - a);
    worst = Math.min(worst, (pair[0] + 0.05) / (pair[1] + 0.05));
  }
  return worst;
})()
"""
"""The smallest contrast between a text and what is behind it; shades are translucent and measured by eye."""


@pytest.fixture(scope="module")
def browser(browsers: ModuleType) -> Iterator[Any]:
    with browsers.Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(trace_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page") / "run.html"
    assert COMMAND.run([str(min(trace_directory.glob("*.pfw.gz"))), "--html", str(place)]) == 0
    return place


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("way", WAYS)
def test_it_opens(browser, page: Path, tmp_path: Path, width: int, way: str) -> None:
    browser.open(page, width, **WAYS[way])
    assert browser.complaints() == []
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
    browser.send("Emulation.setScriptExecutionDisabled", value=False)
    # Nothing is wider than the screen, and what is written can be read.
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    figures = "[...document.querySelectorAll('.tiles b')].filter(each => each.scrollWidth > each.clientWidth).length"
    assert browser.evaluate(figures) == 0
    assert browser.evaluate(LUMINANCE) >= 4.5
    assert browser.evaluate("document.querySelectorAll('#operations-table tbody tr').length") > 5
    assert browser.evaluate("document.querySelector('#heat svg').getBoundingClientRect().width") > 200
    tools = browser.evaluate("getComputedStyle(document.querySelector('.tools')).display")
    assert tools == ("flex" if way in {"light", "dark"} else "none")


def test_tables_are_sorted_searched_and_saved(browser, page: Path) -> None:
    browser.open(page, 1440)
    cells = "[...document.querySelectorAll('#operations-table tbody tr')].map(row => row.cells[2].textContent)"
    calls = [int(cell.replace(",", "").lstrip("~").split(" ")[0]) for cell in browser.evaluate(cells)]
    head = "document.querySelector('#operations-table thead').rows[0].cells[2]"
    for order, reverse in (("descending", True), ("ascending", False)):
        browser.evaluate(f"{head}.firstChild.click()")
        sorted_calls = [int(cell.replace(",", "").lstrip("~").split(" ")[0]) for cell in browser.evaluate(cells)]
        assert sorted_calls == sorted(calls, reverse=reverse)
        assert browser.evaluate(f"{head}.getAttribute('aria-sort')") == order
    shown = "[...document.querySelectorAll('#operations-table tbody tr')].filter(row => row.checkVisibility()).length"
    browser.evaluate(
        "(() => { const field = document.querySelector('[data-of=operations]');"
        "field.value = 'PWRITE no such'; field.dispatchEvent(new Event('input')); })()"
    )
    assert browser.evaluate(shown) == 0
    saved = (
        "(async () => { let text; const make = URL.createObjectURL; HTMLAnchorElement.prototype.click = function () {};"
        "URL.createObjectURL = (blob) => { text = blob.text(); return 'blob:'; };"
        "document.querySelector('button.csv[data-of=files]').click();"
        "URL.createObjectURL = make; return await text; })()"
    )
    text = browser.evaluate(saved)
    assert text.startswith("file,layer,opens,calls,errors,bytes,time,")
    assert len(text.splitlines()) > 3


SLICES = "[...document.querySelectorAll('#canvas rect')]"
DRAWN = "document.getElementById('canvas').innerHTML"


def press(browser: Any, button: str) -> None:
    browser.evaluate(f"document.querySelector('[data-zoom={button}]').click()")


def test_the_timeline_zooms_where_the_wheel_turns(browser, page: Path) -> None:
    browser.open(page, 1440)
    slices, width = f"{SLICES}.length", "{}.map(each => each.getBoundingClientRect().width)".format
    widest = f"Math.max(...{width(SLICES)})"
    before = browser.evaluate(slices), browser.evaluate(widest)
    turn = (
        "(() => { const wide = each => each.getBoundingClientRect().width;"
        f"const box = {SLICES}.sort((a, b) => wide(b) - wide(a))[0].getBoundingClientRect();"
        "const at = {ctrlKey: true, deltaY: -1, clientX: box.left + box.width / 2, bubbles: true, cancelable: true};"
        "document.getElementById('canvas').dispatchEvent(new WheelEvent('wheel', at)); })()"
    )
    for _ in range(3):
        browser.evaluate(turn)
    assert browser.evaluate(slices) <= before[0]
    assert browser.evaluate(widest) >= before[1]
    press(browser, "all")
    assert (browser.evaluate(slices), browser.evaluate(widest)) == before
    assert browser.complaints() == []


def test_the_buttons_zoom_into_the_middle_and_out_again(browser, page: Path) -> None:
    browser.open(page, 1440)
    slices, first = f"{SLICES}.length", "document.querySelector('#canvas text.axis').textContent"
    calls, whole = browser.evaluate(slices), browser.evaluate(DRAWN)
    assert browser.evaluate(first) == "+0"
    # What is in the middle depends on when the recorded program ran, so that there may be nothing at all.
    for _ in range(3):
        press(browser, "in")
        assert browser.evaluate(slices) <= calls
        assert ("no calls here" in browser.evaluate(DRAWN)) == (browser.evaluate(slices) == 0)
    assert browser.evaluate(first) != "+0"
    for _ in range(3):
        press(browser, "out")
    assert browser.evaluate(DRAWN) == whole
    windows = "document.querySelectorAll('#window option').length"
    assert browser.evaluate(windows) == browser.evaluate("document.querySelectorAll('#windows-table tbody tr').length")
    assert browser.complaints() == []


def test_a_part_without_calls_says_so(browser, made: ModuleType, tmp_path: Path) -> None:
    calls = [made.call("open", "POSIX", begin, 5, fhash="aa") for begin in (0, 100_000)]
    trace = made.write(tmp_path / "a.pfw.gz", calls, {"aa": "/data/a"})
    assert COMMAND.run([str(trace), "--html", str(tmp_path / "a.html")]) == 0
    browser.open(tmp_path / "a.html", 1440)
    assert "no calls here" not in browser.evaluate(DRAWN)
    press(browser, "in")
    assert "no calls here" in browser.evaluate(DRAWN)
    press(browser, "all")
    assert "no calls here" not in browser.evaluate(DRAWN)


def test_code_in_a_name_does_not_run(browser, made: ModuleType, tmp_path: Path) -> None:
    code = '</script><script>window.owned = 1</script><img src=x onerror="window.owned = 1"><svg onload=window.owned=1>'
    calls = [
        made.call(code, code, 0, 7, fhash="aa", bytes=3),
        made.call("open", "POSIX", 9, 5, ret=-1, errno=2, fhash="aa"),
    ]
    before = [made.metadata("process_name", {"name": code}, 7)]
    trace = made.write(tmp_path / "a.pfw.gz", calls, {"aa": code}, host=code, user=code, before=before)
    assert COMMAND.run([str(trace), "--html", str(tmp_path / "a.html")]) == 0
    browser.open(tmp_path / "a.html", 1440)
    hover = "document.querySelector('#canvas rect').dispatchEvent(new PointerEvent('pointermove', {bubbles: true}))"
    browser.evaluate(hover)
    assert "<script>" in browser.evaluate("document.getElementById('slice-readout').textContent")
    assert browser.evaluate("window.owned ?? 0") == 0
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    assert browser.complaints() == []


def test_inserted_code_is_refused(browser, page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8").replace("</footer>", "</footer><script>window.owned = 1</script>")
    (tmp_path / "changed.html").write_text(text, "utf-8")
    browser.open(tmp_path / "changed.html", 1440)
    assert browser.evaluate("window.owned ?? 0") == 0
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())
