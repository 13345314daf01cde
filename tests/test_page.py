"""The page to draw on, as a file: what is embedded in it, and how it is served."""

import base64
import hashlib
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import run_command, serving

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
    for known in (page.etag, f'"other", W/{page.etag}'):
        assert page.answer(known).status == 304
        assert not page.answer(known).body
    for unknown in ("", '"other"'):
        assert page.answer(unknown).status == 200
        assert page.answer(unknown).body == page.body


def test_browsers_are_told_what_it_is_and_to_tell_nobody_where_it_was() -> None:
    answer = load_page().answer()
    headers = dict(answer.headers)
    assert answer.content_type == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_it_is_served_at_the_root_to_whom_lacks_it(models: Path) -> None:
    with serving(models, "--front", "envoy", "--page") as running:
        url = f"http://{running.target}/"
        with urllib.request.urlopen(url, timeout=10) as reply:
            assert reply.read() == INDEX.read_bytes()
            given = {name.lower(): value for name, value in reply.headers.items()}
        assert dict(load_page().headers).items() <= given.items()
        again = urllib.request.Request(url, headers={"If-None-Match": given["etag"]})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(again, timeout=10)
        with caught.value:
            assert caught.value.code == 304


def test_it_is_not_served_where_it_was_not_asked_for(models: Path) -> None:
    with serving(models, "--front", "envoy") as running:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{running.target}/", timeout=10)
        with caught.value:
            assert caught.value.code == 404


def test_the_front_that_browsers_cannot_call_refuses_the_flag() -> None:
    done = run_command("server", "--page")
    assert done.returncode == 64
    assert "--page needs --front envoy" in done.stderr
