"""The review screen driven by keyboard in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_review import ATTACK, NOTES

from radrag.cli.review_server import ReviewServer
from radrag.labelling.loop import read_decisions

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no chromium with its chromedriver"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    downloads = tmp_path_factory.mktemp("downloads")
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900"):
        options.add_argument(argument)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # chromium has no sandbox for the superuser, as in a container
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.downloads = downloads
    yield driver
    driver.quit()


SLOW = """const fetched = fetch;
window.fetch = async (...sent) => {
  await new Promise((go) => setTimeout(go, 300));
  return fetched(...sent);
};"""


class Screen:
    """What a reviewer sees and presses."""

    def __init__(self, browser: Any, server: ReviewServer) -> None:
        self.browser = browser
        browser.get("about:blank")  # a change of the fragment alone would load nothing
        browser.get(server.url)
        self.until(lambda: self.title().startswith("Note"))

    def until(self, true: Callable[[], bool]) -> None:
        WebDriverWait(self.browser, 10, 0.02).until(lambda _: true())

    def text(self, name: str) -> str:
        return str(self.browser.find_element(By.ID, name).text)

    def title(self) -> str:
        return self.text("note-title")

    def press(self, *keys: str) -> None:
        self.browser.switch_to.active_element.send_keys(*keys)

    def press_and_wait(self, key: str, said: str) -> None:
        self.press(key)
        self.until(lambda: said in self.text("said"))
        self.until(lambda: not self.browser.find_elements(By.CSS_SELECTOR, "body[aria-busy]"))

    def options(self) -> list[str]:
        return [one.text.split("\n")[1] for one in self.browser.find_elements(By.CLASS_NAME, "option")]

    def shown(self) -> str:
        return str(self.browser.find_element(By.ID, "note").get_property("textContent"))


@pytest.fixture
def screen(browser: Any, server: ReviewServer) -> Screen:
    return Screen(browser, server)


def test_a_whole_review_by_keyboard(screen: Screen, server: ReviewServer, decisions: Path) -> None:
    order = [row["id"] for row in server.session.state()["order"]]
    by_id = {note.id: note.text for note in NOTES}
    assert screen.title() == "Note 1 of 3"
    assert screen.shown() == by_id[order[0]]
    assert "#" not in screen.browser.current_url  # the key is not left in the address
    assert screen.text("reviewer") == "Dr. Ada"
    first = server.session.note(order[0])
    marks = [mark.text for mark in screen.browser.find_elements(By.CSS_SELECTOR, "#note mark")]
    assert marks == [piece["text"] for piece in first["pieces"] if piece["mark"]]
    assert screen.text("quote").strip("“”") == first["guideline"]["quote"]
    assert "suggested" in screen.options()[0]
    screen.press("r")
    screen.press("agreed with Bo, a", Keys.ESCAPE)  # letters in a field are letters
    screen.press_and_wait("a", "1 of 3 done")
    screen.until(lambda: screen.title() == "Note 2 of 3")
    screen.press_and_wait("2", "2 of 3 done")
    screen.until(lambda: screen.title() == "Note 3 of 3")
    screen.press("/")
    screen.press("radiograph")
    assert screen.text("found") == "Chest radiograph xr-chest"
    screen.press(Keys.ENTER)
    screen.until(lambda: screen.text("finished-title") == "Every note is done")
    screen.press_and_wait("z", "Undone")
    screen.until(lambda: screen.title() == "Note 3 of 3")
    screen.press_and_wait("u", "unsure")
    screen.until(lambda: screen.text("finished-title") != "")
    made = read_decisions(decisions)
    assert [(one.note_id, one.action.value) for one in made] == [
        (order[0], "accept"),
        (order[1], "correct"),
        (order[2], "correct"),
        (order[2], "undo"),
        (order[2], "unsure"),
    ]
    assert made[0].reason == "agreed with Bo, a"
    assert made[1].right == server.session.note(order[1])["rivals"][1][0]
    assert made[2].right == "xr-chest"


def test_a_reload_and_a_new_window_go_on_where_it_was_left(
    screen: Screen, server: ReviewServer, decisions: Path
) -> None:
    screen.press_and_wait("k", "1 of 3 done")
    screen.browser.refresh()
    screen.until(lambda: screen.title() == "Note 2 of 3")
    assert "Resumed: 1 of 3" in screen.text("said")
    screen.press(Keys.ARROW_LEFT)
    screen.until(lambda: screen.title() == "Note 1 of 3")
    chosen = screen.browser.find_elements(By.CSS_SELECTOR, ".option[aria-pressed=true]")
    assert [one.get_attribute("data-label") for one in chosen] == [read_decisions(decisions)[0].right]
    assert "You chose" in screen.text("decided")


def test_skipped_notes_come_again_at_the_end(screen: Screen, server: ReviewServer) -> None:
    screen.press_and_wait("s", "skipped")
    screen.until(lambda: screen.title() == "Note 2 of 3")
    screen.press_and_wait("a", "1 of 3 done")
    screen.until(lambda: screen.title() == "Note 3 of 3")
    screen.press_and_wait("a", "2 of 3 done")
    screen.until(lambda: screen.title() == "Note 1 of 3")
    screen.press_and_wait("k", "3 of 3 done")


def test_markup_in_notes_and_guidelines_is_text(screen: Screen, server: ReviewServer) -> None:
    order = [row["id"] for row in server.session.state()["order"]]
    for _ in range(order.index("n2")):
        before = screen.title()
        screen.press(Keys.ARROW_RIGHT)
        screen.until(lambda seen=before: screen.title() != seen)
    assert ATTACK in screen.shown()
    assert ATTACK in screen.text("quote")
    assert screen.browser.title == "Review labels"
    assert screen.browser.find_elements(By.CSS_SELECTOR, "main script, main img") == []


def test_keys_can_be_shown_and_switched_off(screen: Screen, server: ReviewServer, decisions: Path) -> None:
    screen.press("?")
    screen.until(lambda: screen.browser.find_element(By.ID, "keys").get_property("open"))
    assert "accept the suggested label" in screen.text("keys")
    screen.press("a")  # the dialogue lies over the note
    screen.browser.find_element(By.ID, "keys-on").click()
    screen.press(Keys.ESCAPE)
    screen.until(lambda: not screen.browser.find_element(By.ID, "keys").get_property("open"))
    screen.press("a")
    assert not decisions.exists()
    screen.browser.find_element(By.ID, "accept").click()
    screen.until(lambda: "1 of 3 done" in screen.text("said"))


def test_what_is_wrong_is_shown_and_the_note_stays(screen: Screen, server: ReviewServer, decisions: Path) -> None:
    decisions.mkdir()  # nothing can be appended to a folder
    screen.press("a")
    screen.until(lambda: "not kept" in screen.text("failed"))
    assert screen.title() == "Note 1 of 3"
    decisions.rmdir()
    screen.press_and_wait("a", "1 of 3 done")
    assert not screen.browser.find_element(By.ID, "failed").is_displayed()
    screen.browser.get_log("browser")  # the failure is in the console, as it should be


def test_the_export_is_what_stands_also_asked_for_while_saving(screen: Screen, server: ReviewServer) -> None:
    screen.browser.execute_script(SLOW)
    screen.press("a")
    screen.until(lambda: screen.browser.find_elements(By.CSS_SELECTOR, "body[aria-busy]"))
    screen.browser.find_element(By.ID, "export").click()
    file = screen.browser.downloads / "decisions-Dr-Ada.jsonl"
    screen.until(file.is_file)
    assert file.read_text(encoding="utf-8").count('"accept"') == 1


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_it_fits_and_can_be_read(screen: Screen, width: int, scheme: str) -> None:
    emulate = screen.browser.execute_cdp_cmd
    emulate("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    emulate("Emulation.setDeviceMetricsOverride", size)
    try:
        wide, seen = screen.browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= seen
        worst = screen.browser.execute_script(CONTRAST)
        assert worst, "no text was measured"
        assert min(ratio for ratio, _ in worst) >= 4.5, sorted(worst)[:3]
        small = screen.browser.execute_script(
            "return [...document.querySelectorAll('main button')].filter(b => b.offsetHeight && b.offsetHeight < 40)"
            ".map(b => b.id)"
        )
        assert small == []
    finally:
        emulate("Emulation.clearDeviceMetricsOverride", {})


def test_the_console_stays_empty(screen: Screen) -> None:
    """A file that the policy blocks, or an error, would stand there."""
    screen.browser.get_log("browser")
    screen.press_and_wait("a", "1 of 3 done")
    assert screen.browser.get_log("browser") == []


# WCAG 2.1, 1.4.3: contrast of every text that is shown and not switched off against the first background behind it.
CONTRAST = """
const light = (c) => {
  const f = c.map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
  return .2126 * f[0] + .7152 * f[1] + .0722 * f[2]; };
const read = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const found = [];
for (const e of document.querySelectorAll('body *')) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.checkVisibility() || e.closest(':disabled') || e.closest('.jump')) continue;
  let b = e, back = [0, 0, 0, 0];
  for (; b && back.length === 4 && back[3] === 0; b = b.parentElement) back = read(getComputedStyle(b).backgroundColor);
  const one = light(read(getComputedStyle(e).color)), two = light(back);
  found.push([(Math.max(one, two) + .05) / (Math.min(one, two) + .05), e.tagName + ' ' + e.textContent.slice(0, 30)]);
}
return found;
"""
