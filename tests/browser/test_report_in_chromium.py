"""The report in a real browser: it renders, says nothing in the console, asks the network for nothing, and fits.

Apart from `make test`, because it needs Chromium; `make browser` runs it. CHROMIUM names the program if it is not
called `chromium`. SCREENSHOTS names a folder where the pages are left as pictures, to be looked at.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright
from report.page_results import BEFORE, YARN, demo, entropy, extension, gate
from report.report_results import result

from ropewalk.report.html import html_page, write_page
from ropewalk.run.report import write_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
WIDTHS = (1280, 400)
SCHEMES = ("light", "dark")
SMALLEST = 9.0  # pixels of text in a chart at 400 pixels
# Every visible text that leaves the window without a box that scrolls it.
ESCAPED = """() => [...document.querySelectorAll('body *')].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 1 || box.left < -1) && !element.closest('.scroll');
}).map(element => element.outerHTML.slice(0, 80))"""
# Sizes of the texts of charts as drawn, in pixels.
CHART_TEXTS = """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const scale = chart.getBoundingClientRect().width / chart.viewBox.baseVal.width;
  return [...chart.querySelectorAll('text')].map(text => parseFloat(getComputedStyle(text).fontSize) * scale);
})"""
# Pairs of texts of one chart whose boxes meet.
OVERLAPS = """() => [...document.querySelectorAll('svg.chart')].flatMap(chart => {
  const texts = [...chart.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  return texts.flatMap(([name, box], i) => texts.slice(i + 1).filter(([, other]) => meet(box, other))
    .map(([other]) => `${name} / ${other}`));
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    assert program, "these checks need Chromium: install Debian's package 'chromium', or name a program with CHROMIUM="
    with sync_playwright() as playwright:
        # Containers run as root, where Chromium refuses its sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages that are looked at, by name."""
    folder = tmp_path_factory.mktemp("pages")
    long_name = "organisation/" + "a-model-with-a-very-long-name-" * 6
    model = BEFORE.model.model_copy(update={"name": long_name, "method": "<script>document.title = 'run'</script>"})
    made = {
        "everything": [
            demo(),
            result("linear, factor 8", (14.8, 14.4, 14.7, 14.9), (0.7, 0.6, 0.5, 0.4)),
            extension("linear, factor 8", gate=gate("FAIL")),
            extension("abf", gate=gate("SKIPPED")),
            entropy(),
            entropy(YARN),
        ],
        "hostile": [BEFORE.model_copy(update={"model": model}), extension(model=model, notes=(long_name,))],
    }
    for name, records in made.items():
        write_page(html_page(records), folder / f"{name}.html")
    write_report([ROOT / "results" / "demo"], folder / "demo.html")
    return {path.stem: path for path in folder.iterdir()}


class Visit:
    """One look at a page: what the browser heard, and the page itself."""

    def __init__(self, browser: Browser, path: Path, width: int, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page: Page = context.new_page()
        self.heard: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.heard.append(message.text))
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")


@pytest.fixture(params=["everything", "hostile", "demo"])
def path(request: pytest.FixtureRequest, pages: dict[str, Path]) -> Path:
    return pages[request.param]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_renders_in_silence_and_fits(browser: Browser, path: Path, width: int, scheme: str) -> None:
    visit = Visit(browser, path, width, scheme)
    assert visit.heard == []
    assert visit.requests == [path.as_uri()], "the page and nothing else"
    assert visit.page.title().startswith("Context extension report: ")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.page.evaluate(ESCAPED) == []
    assert visit.page.locator("svg.chart").first.bounding_box()["height"] > 150
    _leave_picture(visit.page, f"{path.stem}-{width}-{scheme}")


@pytest.mark.parametrize("width", WIDTHS)
def test_charts_stay_legible(browser: Browser, path: Path, width: int) -> None:
    page = Visit(browser, path, width).page
    assert min(page.evaluate(CHART_TEXTS)) >= SMALLEST
    assert page.evaluate(OVERLAPS) == []


def test_a_served_page_asks_for_nothing_more(browser: Browser, pages: dict[str, Path]) -> None:
    """By http a browser would ask for an icon too."""
    context = browser.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/*", lambda route: route.fulfill(path=str(pages["demo"]), content_type="text/html"))
    page.goto("http://report.invalid/report.html")
    assert asked == ["http://report.invalid/report.html"]


def test_the_checks_bite(browser: Browser, tmp_path: Path) -> None:
    """Bite: a page that is too wide, that loads, that writes to the console, whose labels meet."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<div style='width:2000px'>wide</div><img src='missing.png'><script>console.log('heard')</script>"
        "<svg class='chart' viewBox='0 0 480 10'><text x='0' y='9' font-size='5'>one</text>"
        "<text x='1' y='9' font-size='5'>two</text></svg>",
        "utf-8",
    )
    visit = Visit(browser, bad, 400)
    assert "heard" in visit.heard
    assert len(visit.requests) == 2
    assert visit.page.evaluate("document.documentElement.scrollWidth") > 400
    assert visit.page.evaluate(ESCAPED) != []
    assert visit.page.evaluate(OVERLAPS) == ["one / two"]
    assert min(visit.page.evaluate(CHART_TEXTS)) < SMALLEST


def _leave_picture(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.eval_on_selector_all("details", "all => all.forEach(one => one.open = false)")
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True, timeout=120_000)
