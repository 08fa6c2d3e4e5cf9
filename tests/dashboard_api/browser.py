"""Pages in a real browser: what they said, what they loaded, and whether they can be read. Fixtures: `browser`, `visit`."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.dashboard_api.server import Api

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENT_MS = 20_000
expect.set_options(timeout=PATIENT_MS)
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1366, "height": 900}}
_ARTEFACTS = Path(__file__).parents[1] / "artefacts"


def keep_screenshot(page: Page, name: str) -> None:
    """Keep a picture of the whole page in `tests/artefacts/`, for people to look at."""
    page.screenshot(path=_ARTEFACTS / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser_process = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser_process
        browser_process.close()


class Visit:
    """One page in a context of its own, and everything that it said or loaded."""

    def __init__(self, browser: Browser, api: Api, options: dict[str, Any]) -> None:
        self.context = browser.new_context(locale="en-GB", **options)
        self.context.set_default_timeout(PATIENT_MS)
        self.page: Page = self.context.new_page()
        self.url = api.url
        self.messages: list[str] = []
        self.requested_urls: list[str] = []
        self.page.on("console", self._record_message)
        self.page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requested_urls.append(request.url))

    def _record_message(self, message: ConsoleMessage) -> None:
        # A refused fetch is reported by the browser itself; the page can't keep it from doing so.
        if "the server responded with a status of" not in message.text and "ERR_INTERNET" not in message.text:
            self.messages.append(f"{message.type}: {message.text}")

    def open(self, token: str | None, path: str = "/") -> Page:
        self.page.goto(self.url + path + (f"#token={token}" if token else ""))
        return self.page

    def figures(self, token: str, path: str = "/") -> Page:
        self.open(token, path)
        expect(self.page.locator("body[data-view=figures] .tile .value").first).to_be_visible(timeout=PATIENT_MS)
        return self.page


@pytest.fixture
def visit(browser: Browser, api: Api) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def begin(*, of: Api = api, **options: Any) -> Visit:
        visits.append(Visit(browser, of, {**DESKTOP, **options}))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()
        assert one.messages == [], "the console stays silent"
        foreign = [url for url in one.requested_urls if not url.startswith((one.url, "data:", "blob:"))]
        assert foreign == [], "nothing leaves the host"
        assert not any("token" in url.partition("#")[0] for url in one.requested_urls), "no credential in a query"


# Contrast by WCAG 2.2, 1.4.3: relative luminance of text against the nearest opaque ground.
CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; })
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if ((c[3] ?? 1) > 0.99) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll('h1,h2,h3,p,span,b,button,label,td,th')].filter((e) => e.offsetParent && e.textContent.trim() && !e.children.length)
    .filter((e) => { const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05) < 4.5; })
    .map((e) => e.className + ': ' + e.textContent);
}"""
