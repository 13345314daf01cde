"""Take the pictures of the page: `make screenshots`, with models fitted before.

A synthetic digit is drawn on the page in headless Chromium with pointer events, as the tests do.
"""

import argparse
import io
from pathlib import Path

from browsing import Sheet, browsing, strokes_of
from PIL import Image
from test_page_in_browser import page_serving

DOCS = Path(__file__).parent


def take(sheet: Sheet, url: str, path: Path, *, width: int, phone: bool, digit: int) -> None:
    """Draw a digit and picture the whole page, as wide as said and as high as it is."""
    sheet.open_ready(url, width=width, height=800, phone=phone)
    for _ in range(2):  # the first answers pay for connections
        sheet.draw(strokes_of(digit), "touch" if phone else "mouse")
        sheet.answer()
        sheet.one("#clear").click()
    sheet.draw(strokes_of(digit), "touch" if phone else "mouse")
    sheet.answer()
    sheet.script("document.activeElement.blur()")
    height = sheet.script("return document.documentElement.getBoundingClientRect().height")
    metrics = {"width": width, "height": int(height), "deviceScaleFactor": 2}
    sheet.cdp("Emulation.setDeviceMetricsOverride", **metrics, mobile=phone)
    sheet.at_rest()
    picture = Image.open(io.BytesIO(sheet.driver.get_screenshot_as_png())).convert("RGB")
    few = picture.quantize(
        64, dither=Image.Dither.NONE
    )  # it has few colours, and the file is small
    few.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, default=DOCS)
    flags = parser.parse_args()
    with page_serving(flags.models) as server, browsing() as sheet:
        sheet.scheme("light")
        take(sheet, server.url, flags.out / "page-desktop.png", width=1200, phone=False, digit=3)
        sheet.scheme("dark")
        take(sheet, server.url, flags.out / "page-phone.png", width=390, phone=True, digit=4)


if __name__ == "__main__":
    main()
