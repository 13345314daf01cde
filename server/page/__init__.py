"""The page to draw on: one file, and the headers that it is served with."""

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from server.web import HttpResponse

# As the element's content is written, byte for byte: that is what a browser hashes.
_INLINE: Final = {
    kind: re.compile(rf"<{kind}>(.*?)</{kind}>", re.DOTALL) for kind in ("script", "style")
}


@dataclass(frozen=True, slots=True)
class Page:
    """What a GET of the page is answered with."""

    body: bytes
    headers: tuple[tuple[str, str], ...]
    etag: str

    def answer(self, if_none_match: str = "") -> HttpResponse:
        """The page; without a body where the caller's copy, by its If-None-Match, is this one."""
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        if "*" in tags or self.etag in tags:
            return HttpResponse(304, "", b"", self.headers)
        return HttpResponse(200, "text/html; charset=utf-8", self.body, self.headers)


def load_page() -> Page:
    """Read the page and allow it its own script and style, calls to where it came from, and no
    more."""
    html = files(__package__).joinpath("index.html").read_text(encoding="utf-8")
    body = html.encode()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hashes(html, 'script')}",
            f"style-src {_hashes(html, 'style')}",
            "img-src data: blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = (
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
        ("etag", etag),
    )
    return Page(body, headers, etag)


def _hashes(html: str, kind: str) -> str:
    """The sources of a Content-Security-Policy that allow the inline elements of this kind."""
    digests = [hashlib.sha256(text.encode()).digest() for text in _INLINE[kind].findall(html)]
    if not digests:
        raise ValueError(f"index.html has no <{kind}> without attributes; expected one at least")
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
