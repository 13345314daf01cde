"""A headless Chromium at the page to draw on, and the hand that draws on it."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from gurmukhi.skeletons import DIGITS
from gurmukhi.strokes import read_families

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # which root may not have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)

Points = Sequence[tuple[float, float]]


def strokes_of(digit: int, hand: int = 0) -> Points:
    """A digit's hand as points in a square from 0 to 1, as a pen would pass them."""
    strokes = read_families(DIGITS[digit].hands, 30)[0]
    control = strokes.hands[hand : hand + 1]
    path = strokes.trace(control, np.full((1, 1, 1), 0.5, np.float32))[0]
    path[:, 0] *= DIGITS[digit].aspect
    return [(0.5 + 0.38 * float(x), 0.5 + 0.38 * float(y)) for x, y in path]


class Sheet:
    """The page in a browser: what a person does with it, and what it shows."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, *, width: int = 1280, height: int = 900, phone: bool = False) -> None:
        """Load the page anew and wait until it knows the models."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1}
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics, mobile=phone)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(url)

    def open_ready(self, url: str, **screen: Any) -> None:
        self.open(url, **screen)
        self.until(lambda: self.all("#models label"))

    def cdp(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)

    def scheme(self, name: str) -> None:
        """Have the system be light or dark."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.cdp("Emulation.setEmulatedMedia", features=[feature])

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def script(self, text: str, *arguments: Any) -> Any:
        return self.driver.execute_script(text, *arguments)

    def until(self, holds: Callable[[], Any], seconds: float = 15) -> Any:
        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: holds())

    def wait(self, seconds: float) -> None:
        """Wait by the page's own clock."""
        self.script(
            "window.waited = false; setTimeout(() => { waited = true; }, arguments[0])",
            seconds * 1000,
        )
        self.until(lambda: self.script("return waited"))

    def draw(self, points: Points, kind: str = "mouse") -> None:
        """Draw one stroke on the sheet, of points from 0 to 1, with a mouse, pen or finger."""
        box = self.script(
            "return document.querySelector('#sheet').getBoundingClientRect().toJSON()"
        )
        actions = ActionBuilder(self.driver, PointerInput(kind, f"the {kind}"), duration=0)
        places = [
            (round(box["left"] + x * box["width"]), round(box["top"] + y * box["height"]))
            for x, y in points
        ]
        actions.pointer_action.move_to_location(*places[0])
        actions.pointer_action.pointer_down()
        for place in places[1:]:
            actions.pointer_action.move_to_location(*place)
        actions.pointer_action.pointer_up()
        actions.perform()

    def at_rest(self) -> bool:
        """Whether every model has answered, or failed to, what is on the sheet now."""
        return bool(
            self.script(
                "return rows.length > 0 && !timer && rows.every((row) => !row.stop"
                " && row.asked === question.serial && question.serial === serial)"
            )
        )

    def answer(self) -> int:
        """The digit that is shown at large, once all have answered."""
        self.until(lambda: self.text("#number") and self.at_rest())
        return int(self.text("#number"))

    def text(self, selector: str) -> str:
        return str(self.script("return document.querySelector(arguments[0]).textContent", selector))

    def is_blank(self) -> bool:
        """Whether no answer is shown, neither at large nor in a row."""
        return not self.text("#number") and not any(
            self.script(
                "return [...document.querySelectorAll('#models .read')].map(e => e.textContent)"
            )
        )

    def ink(self) -> float:
        """The share of the sheet that is inked, in the light scheme."""
        return float(
            self.script(
                "const c = document.createElement('canvas'), s = document.querySelector('#sheet');"
                "c.width = c.height = s.width;"
                "const to = c.getContext('2d', {willReadFrequently: true});"
                "to.drawImage(s, 0, 0); const d = to.getImageData(0, 0, c.width, c.height).data;"
                "let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] < 128;"
                "return n / (d.length / 4)"
            )
        )

    def give(self, event: str, name: str, data: bytes, kind: str) -> None:
        """Drop or paste a file."""
        self.script(
            """
            const [event, name, bytes, type] = arguments;
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, {type}));
            const options = {bubbles: true, cancelable: true};
            document.querySelector("#sheet").dispatchEvent(event === "paste"
                ? new ClipboardEvent("paste", {...options, clipboardData: transfer})
                : new DragEvent("drop", {...options, dataTransfer: transfer}));
            """,
            event,
            name,
            list(data),
            kind,
        )

    def complaints(self) -> list[str]:
        """What the console has had to say since the page was loaded."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requested(self) -> list[str]:
        """The URLs that were asked for since the page was loaded, or since this was asked."""
        messages = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent]


@contextmanager
def browsing() -> Iterator[Sheet]:
    """A browser of its own profile; skips where Debian's chromium-driver is not installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Sheet(started)
    finally:
        started.quit()
