"""The page to draw on, as a file: what is embedded in it, and how it is served."""

import base64
import hashlib
import re

from server.page import load_page
from server.page.embed import INDEX, embed

HTML = INDEX.read_text(encoding="utf-8")


def test_the_embedded_examples_and_glyphs_are_what_the_generator_draws() -> None:
    assert embed(HTML) == HTML, "python -m server.page.embed"


def test_the_page_is_one_file_that_names_no_other() -> None:
    names = re.findall(r"""\b(?:src|href|srcset)=["']?([^"'\s>]+)""", HTML)
    assert names
    assert all(name.startswith("data:") for name in names), names
    assert not re.search(r"url\(|@import|\bimport\b", HTML)
    assert set(re.findall(r"https?://[\w./]+", HTML)) == {"http://www.w3.org/2000/svg"}
    assert load_page().body == INDEX.read_bytes()


def test_its_policy_allows_its_own_script_and_style_and_no_more() -> None:
    policy = dict(load_page().headers)["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for kind in ("script", "style"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", HTML, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert "unsafe" not in policy
    assert " style=" not in HTML  # an attribute has no hash
    assert not re.search(r"<[^>]* on[a-z]+=", HTML)


def test_it_is_asked_for_again_only_when_it_has_changed() -> None:
    page = load_page()
    headers = dict(page.headers)
    assert headers["etag"] == page.etag
    assert headers["cache-control"] == "no-cache"
    assert page.is_current(page.etag)
    assert page.is_current(f'"other", W/{page.etag}')
    assert not page.is_current("")
    assert not page.is_current('"other"')


def test_browsers_are_told_what_it_is_and_to_tell_nobody_where_it_was() -> None:
    headers = dict(load_page().headers)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
