"""The page in headless Chromium, before a real server: drawing, pictures, keyboard, faults."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from browsing import Sheet, browsing, strokes_of
from conftest import serving
from numpy.typing import NDArray
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from gurmukhi.client import DigitClient
from gurmukhi.synthetic import synthetic_digits
from server.page.embed import examples

pytestmark = pytest.mark.slow

IMAGES, LABELS = synthetic_digits(10, 1)


@dataclass(frozen=True, slots=True)
class PageServer:
    """A server with the page: where a browser finds it, and where a client does."""

    url: str
    target: str
    models: Path


@contextmanager
def page_serving(models: Path, *flags: str, port: int = 0) -> Iterator[PageServer]:
    """Serve the page and the models; the port is closed at the end."""
    all_flags = ("--front", "envoy", "--page", "--port", str(port), *flags)
    with serving(models, *all_flags) as running:
        yield PageServer(f"http://{running.target}/", running.target, models)


@pytest.fixture(scope="module")
def page_server(models: Path) -> Iterator[PageServer]:
    with page_serving(models) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Sheet]:
    with browsing() as sheet:
        yield sheet


@pytest.fixture
def sheet(browser: Sheet, page_server: PageServer) -> Iterator[Sheet]:
    """The page, freshly loaded; afterwards nothing was complained of or fetched from elsewhere."""
    browser.scheme("light")
    browser.open_ready(page_server.url)
    yield browser
    assert browser.complaints() == []
    home = urlsplit(page_server.url).netloc
    strangers = {
        url
        for url in browser.requested()
        if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != home
    }
    assert strangers == set()


def png(pixels: NDArray[np.uint8]) -> bytes:
    return encoded(pixels, "PNG")


def encoded(pixels: NDArray[np.uint8], kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def on_paper(digit: int, scale: int = 8) -> NDArray[np.uint8]:
    """A synthetic digit, enlarged, with a margin."""
    (image,) = IMAGES[digit == LABELS]
    return np.pad(image.repeat(scale, 0).repeat(scale, 1), 60, constant_values=255)


@pytest.mark.parametrize("digit", range(10))
def test_a_digit_drawn_with_the_mouse_is_read(sheet: Sheet, digit: int) -> None:
    sheet.draw(strokes_of(digit))
    assert sheet.answer() == digit


@pytest.mark.parametrize("kind", ["touch", "pen"])
def test_a_digit_drawn_with_finger_or_pen_is_read(sheet: Sheet, kind: str) -> None:
    sheet.draw(strokes_of(4), kind)
    assert sheet.answer() == 4


def test_every_model_shows_its_own_answer_and_the_chosen_one_its_bars(
    sheet: Sheet, page_server: PageServer
) -> None:
    sheet.one("#examples li:nth-child(7) button").click()
    sheet.until(sheet.at_rest)
    (image,) = IMAGES[LABELS == 6]
    rows = sheet.all("#models label")
    with DigitClient(page_server.target) as client:
        versions = client.list_models()
        assert len(rows) == len(versions)
        shown = {row.find_element("tag name", "input").get_attribute("value"): row for row in rows}
        for version in versions:
            row = shown[f"{version.name}:{version.version}"]
            answer = client.classify(image, model=version.name, version=version.version)
            assert row.find_element("css selector", ".read").text == str(answer.digit)
            row.click()
            assert sheet.answer() == answer.digit
            bars = [bar.text for bar in sheet.all("#bars .share")]
            if answer.probabilities:
                assert bars == [f"{share * 100:.1f} %" for share in answer.probabilities]
            else:
                assert [float(bar) for bar in bars] == pytest.approx(answer.scores, abs=0.0051)
            assert f"{version.name} {version.version}, in " in sheet.text("#who")


def test_the_image_that_the_model_saw_is_shown(sheet: Sheet) -> None:
    sheet.one("#examples li:nth-child(4) button").click()
    sheet.until(sheet.at_rest)
    dark = sheet.script(
        "return [...document.querySelector('#seen').getContext('2d')"
        ".getImageData(0, 0, 32, 32).data].filter((_, i) => i % 4 === 0).map((v) => v < 128)"
    )
    assert np.packbits(dark).tobytes() == examples()[3]


def test_answers_come_while_the_pen_moves(sheet: Sheet) -> None:
    points = strokes_of(7)
    box = sheet.script("return document.querySelector('#sheet').getBoundingClientRect().toJSON()")
    held = ActionChains(sheet.driver, duration=0)
    for count, (x, y) in enumerate(points):
        place = (round(box["left"] + x * box["width"]), round(box["top"] + y * box["height"]))
        held.w3c_actions.pointer_action.move_to_location(*place)
        if not count:
            held.w3c_actions.pointer_action.pointer_down()
    held.perform()
    assert sheet.answer() == 7  # and the button is still down
    held.w3c_actions.pointer_action.pointer_up()
    held.perform()


def test_undo_takes_back_a_stroke_a_picture_and_a_clearing(sheet: Sheet) -> None:
    undo, clear = sheet.one("#undo"), sheet.one("#clear")
    assert not undo.is_enabled()
    assert not clear.is_enabled()
    sheet.draw(strokes_of(0))
    assert sheet.answer() == 0
    first = sheet.ink()
    sheet.draw([(0.1, 0.1), (0.9, 0.9)])
    sheet.until(lambda: sheet.ink() > first)
    undo.click()
    assert sheet.answer() == 0
    assert sheet.ink() == first
    sheet.one("#examples li:nth-child(6) button").click()
    assert sheet.answer() == 5
    clear.click()
    sheet.until(sheet.is_blank)
    undo.click()
    assert sheet.answer() == 5
    undo.click()
    assert sheet.answer() == 0
    undo.click()
    sheet.until(sheet.is_blank)
    assert not undo.is_enabled()
    assert sheet.ink() == 0


def test_clear_empties_the_sheet_and_every_answer(sheet: Sheet) -> None:
    sheet.draw(strokes_of(2))
    sheet.until(sheet.at_rest)
    sheet.one("#clear").click()
    sheet.until(lambda: sheet.is_blank() and sheet.ink() == 0)
    assert sheet.text("#who") == "Nothing drawn yet"
    assert not any(bar.text for bar in sheet.all("#bars .share"))


def test_an_answer_that_comes_after_the_sheet_was_cleared_is_dropped(sheet: Sheet) -> None:
    conditions = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    sheet.cdp("Network.enable")
    try:
        sheet.cdp("Network.emulateNetworkConditions", latency=400, **conditions)
        sheet.draw(strokes_of(3))
        sheet.until(lambda: sheet.script("return rows.some((row) => row.stop)"))
        sheet.one("#clear").click()
        sheet.until(lambda: sheet.script("return underWay === 0"))
        sheet.wait(0.6)
        assert sheet.is_blank()
    finally:
        sheet.cdp("Network.emulateNetworkConditions", latency=0, **conditions)


def test_it_can_be_used_with_the_keyboard_alone(sheet: Sheet) -> None:
    def press(*keys: str) -> None:
        ActionChains(sheet.driver).send_keys(*keys).perform()

    def focused() -> str:
        return str(sheet.script("return document.activeElement.id || document.activeElement.name"))

    press(Keys.TAB)
    assert focused() == "sheet"
    press("4")
    assert sheet.answer() == 4
    press(Keys.DELETE)
    sheet.until(sheet.is_blank)
    press(Keys.SPACE, *[Keys.ARROW_DOWN] * 8, Keys.SPACE, *[Keys.ARROW_UP] * 3)
    sheet.until(sheet.at_rest)
    drawn = sheet.ink()
    assert 0.01 < drawn < 0.05  # a line down, and none back
    ActionChains(sheet.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    sheet.until(lambda: sheet.ink() == 0)
    press("7")
    assert sheet.answer() == 7
    seen: list[str] = []
    while len(seen) < 40 and "model" not in seen:
        press(Keys.TAB)
        seen.append(focused())
        assert sheet.script(
            "const e = document.activeElement; return [e, e.closest('label') ?? e].some("
            "(one) => getComputedStyle(one).outlineStyle !== 'none')"
        ), f"{seen[-1]} has the focus and does not show it"
    assert seen[:2] == ["undo", "clear"]
    before = sheet.text("#who").split(",")[0]
    press(Keys.ARROW_DOWN)
    assert sheet.answer() == 7
    assert sheet.text("#who").split(",")[0] != before


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_that_is_dropped_or_pasted_is_read(sheet: Sheet, event: str) -> None:
    sheet.give(event, "nine.png", png(on_paper(9)), "image/png")
    assert sheet.answer() == 9
    assert sheet.text("#warnings") == ""


def test_a_picture_that_is_opened_is_read(sheet: Sheet, tmp_path: Path) -> None:
    file = tmp_path / "five.jpg"
    file.write_bytes(encoded(on_paper(5, 60), "JPEG"))
    for chooser in ("#file", "#camera"):
        sheet.one(chooser).send_keys(str(file))
        assert sheet.answer() == 5
        sheet.one("#clear").click()
        sheet.until(sheet.is_blank)


def test_a_photograph_of_megabytes_is_made_smaller_and_read(sheet: Sheet, tmp_path: Path) -> None:
    paper = np.random.default_rng(0).integers(190, 230, (1500, 2000)).astype(np.uint8)
    digit = on_paper(5, 30)
    paper[200 : 200 + digit.shape[0], 500 : 500 + digit.shape[1]][digit == 0] = 40
    file = tmp_path / "photo.png"
    file.write_bytes(png(paper))
    assert file.stat().st_size > 1 << 20  # which no server takes
    sheet.one("#camera").send_keys(str(file))
    assert sheet.answer() == 5


def test_a_file_too_large_to_send_is_said_to_be(sheet: Sheet, tmp_path: Path) -> None:
    file = tmp_path / "scan.tiff"
    file.write_bytes(bytes(2_000_000))
    sheet.one("#file").send_keys(str(file))
    sheet.until(lambda: sheet.text("#problem") == "scan.tiff is too large to send: 2000 kB.")
    sheet.draw(strokes_of(4))
    assert sheet.answer() == 4
    assert not sheet.one("#problem").is_displayed()


def test_a_picture_that_the_browser_cannot_show_is_read_all_the_same(sheet: Sheet) -> None:
    sheet.give("drop", "eight.tiff", encoded(on_paper(8), "TIFF"), "image/tiff")
    assert sheet.answer() == 8
    assert "eight.tiff" in sheet.text("#hint")


def test_a_light_digit_on_dark_is_warned_of_and_seen_upright(sheet: Sheet) -> None:
    sheet.give("drop", "slate.png", png(255 - on_paper(2)), "image/png")
    assert sheet.answer() == 2
    assert "Light on dark" in sheet.text("#warnings")
    sheet.until(lambda: "Light on dark" in sheet.text("#spoken"))
    dark = sheet.script(
        "return [...document.querySelector('#seen').getContext('2d')"
        ".getImageData(0, 0, 32, 32).data].filter((_, i) => i % 4 === 0).map((v) => v < 128)"
    )
    assert np.packbits(dark).tobytes() == examples()[2]


def test_what_is_no_picture_is_said_to_be_none(browser: Sheet, page_server: PageServer) -> None:
    browser.open_ready(page_server.url)
    browser.give("drop", "letter.png", b"no picture at all", "image/png")
    browser.until(lambda: browser.text("#who").startswith("Not a PNG"))
    assert browser.text("#number") == ""


def test_the_answer_is_spoken_once_it_is_at_rest(sheet: Sheet) -> None:
    assert sheet.one("#spoken").get_attribute("aria-live") == "polite"
    sheet.draw(strokes_of(4))
    sheet.until(lambda: sheet.text("#spoken").startswith("mlp 1 reads 4, "))


def test_everything_that_can_be_used_has_a_name_and_is_large_enough(sheet: Sheet) -> None:
    sheet.draw(strokes_of(4))
    sheet.until(sheet.at_rest)
    usable = sheet.all("button, input, [role], fieldset, section, ul, ol")
    nameless = [
        one.get_attribute("outerHTML")
        for one in usable
        if one.is_displayed() and one.get_attribute("role") != "alert" and not one.accessible_name
    ]
    assert nameless == []
    sizes = sheet.script(
        "return [...document.querySelectorAll('button, #models label')].filter(e => e.offsetParent)"
        ".map(e => Math.min(e.offsetWidth, e.offsetHeight))"
    )
    assert min(sizes) >= 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(sheet: Sheet, scheme: str) -> None:
    sheet.scheme(scheme)
    sheet.give("drop", "slate.png", png(255 - on_paper(2)), "image/png")
    assert sheet.answer() == 2
    assert sheet.text("#warnings")
    sheet.script("tell('A message.', 'server'); document.querySelector('#access').hidden = false;")
    found = sheet.script(CONTRASTS)
    assert len(found) > 30
    assert {text: ratio for text, ratio in found if ratio < 4.5} == {}
    light = sheet.script("return getComputedStyle(document.documentElement).backgroundColor")
    assert (light == "rgb(244, 245, 247)") == (scheme == "light")


# [[text, its contrast with what lies behind it]…] of all text that is shown.
CONTRASTS = """
const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
};
return [...document.querySelectorAll("body *")]
  .filter((e) => e.checkVisibility() && !e.closest("script, .unseen"))
  .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
  .map((e) => {
    const [one, other] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    return [e.textContent.trim(), (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)];
  });
"""


@pytest.mark.parametrize("width", [320, 390, 768, 1024])
def test_nothing_is_cut_off_at_the_side(
    browser: Sheet, page_server: PageServer, width: int
) -> None:
    browser.open_ready(page_server.url, width=width, height=800, phone=width < 500)
    browser.draw(strokes_of(4), "touch" if width < 500 else "mouse")
    assert browser.answer() == 4
    widths = browser.script("return [document.documentElement.scrollWidth, innerWidth]")
    assert widths == [width, width]
    over = browser.script(
        "return [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility()"
        " && !e.closest('.unseen') && e.getBoundingClientRect().right > innerWidth + 0.5)"
        ".map((e) => e.outerHTML.slice(0, 80))"
    )
    assert over == []


def test_a_server_that_has_gone_is_said_to_be_and_asked_again(browser: Sheet, models: Path) -> None:
    with page_serving(models) as running:
        port = urlsplit(running.url).port
        browser.open_ready(running.url)
        browser.draw(strokes_of(7))
        assert browser.answer() == 7
    browser.one("#examples li:nth-child(5) button").click()
    browser.until(lambda: browser.one("#problem").is_displayed())
    assert browser.text("#problem") == "The server does not answer. Trying again…"
    browser.until(browser.is_blank)
    browser.requested()
    browser.wait(1)
    assert len(browser.requested()) < 8  # it asks patiently
    assert port
    with page_serving(models, port=port):
        browser.until(lambda: not browser.one("#problem").is_displayed())
        assert browser.answer() == 4


def test_a_server_that_wants_a_token_is_given_one(
    browser: Sheet, models: Path, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("the-right-one-of-some-length\n")
    with page_serving(models, "--token-file", str(tokens)) as running:
        browser.open(running.url)
        browser.until(lambda: browser.one("#access").is_displayed())
        field = browser.driver.switch_to.active_element
        assert field.get_attribute("id") == "token"
        field.send_keys("a-wrong-one" + Keys.ENTER)
        browser.until(lambda: "does not accept" in browser.text("#problem"))
        field.clear()
        field.send_keys("the-right-one-of-some-length" + Keys.ENTER)
        browser.until(lambda: browser.all("#models label"))
        assert not browser.one("#access").is_displayed()
        assert not browser.one("#problem").is_displayed()
        browser.draw(strokes_of(4))
        assert browser.answer() == 4
        assert browser.script("return [localStorage.length, sessionStorage.length]") == [0, 0]
        assert browser.driver.get_cookies() == []
