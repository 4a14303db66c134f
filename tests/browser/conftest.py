"""Debian's Chromium, driven by Playwright, on pages that were rendered from stored analyses.

Where no Chromium is installed the tests skip with a reason, and fail instead of it where
`DIFFEO_PROBE_REQUIRE_BROWSER` is set.
"""

from __future__ import annotations

import copy
import functools
import importlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from resnet_diffeo_probe.analysis.comparing.compare import compare
from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.sections.compare import comparison_html
from tests.report import sample

ROOT = Path(__file__).parents[2]
# no service of its own, no sandbox (which a container does not allow), nothing fetched in the background
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


EVIL_NAMES = list(sample.EVIL_NAMES)


@functools.cache
def _results() -> dict[str, dict[str, Any]]:
    stored = json.loads((ROOT / "reports" / "demo" / "result.json").read_text(encoding="utf-8"))
    everything = (*sample.EVIDENCE, *sample.PICTURES)
    evil = {"units": 10, "inputs": 3, "unit_names": EVIL_NAMES, "input_names": EVIL_NAMES[:3]}
    return {
        "demo": stored,
        "typical": sample.make_result(parts=everything),
        "evil": sample.make_result(**evil, parts=sample.EVIDENCE),
        "fifty": sample.make_result(units=50, inputs=4),
        "failed": sample.make_result(units=6, inputs=4, states=("not_run",)),
    }


def _absent(reason: str) -> None:
    if os.environ.get("DIFFEO_PROBE_REQUIRE_BROWSER"):
        pytest.fail(f"the browser tests must run here: {reason}")
    pytest.skip(reason)


def _needed(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        return _absent(f"{package} is not installed (pip install {package})")


@pytest.fixture(scope="session")
def axe() -> Any:
    return _needed("axe_playwright_python.sync_playwright", "axe-playwright-python").Axe()


@pytest.fixture(scope="session")
def pypdf() -> Any:
    return _needed("pypdf", "pypdf")


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        _absent("Chromium is not installed (apt-get install chromium)")
    with _needed("playwright.sync_api", "playwright").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file of each rendered result."""
    folder = tmp_path_factory.mktemp("pages")
    results = _results()
    for name, result in results.items():
        (folder / f"{name}.html").write_text(render_html(result), encoding="utf-8")
    other = copy.deepcopy(results["evil"])
    for row in other["measurements"]:
        if row["quantity"] == "sign" and row["value"] is not None:
            row["value"] *= -1
    (folder / "compare.html").write_text(comparison_html(compare(results["evil"], other)), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in (*results, "compare")}


@pytest.fixture
def results() -> dict[str, dict[str, Any]]:
    return _results()


class Visit:
    """One page open in a fresh context, with all that it did besides showing itself."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.requests: list[str] = []
        self.console: list[str] = []
        self.dialogs: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("console", lambda m: self.console.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.console.append(f"error: {e}"))
        self.page.on("dialog", self._dialog)
        self.page.goto(path.as_uri())

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    @property
    def fetched(self) -> list[str]:
        """Requests beside the page itself; what is inline counts as nothing fetched."""
        return [url for url in self.requests[1:] if not url.startswith("data:")]


@pytest.fixture
def visit(chromium, pages):
    """A function that opens a page by name; its context is closed after the test."""
    open_visits: list[Visit] = []

    def open_page(name: str | Path, **options: Any) -> Visit:
        path = pages[name] if isinstance(name, str) else name
        open_visits.append(Visit(chromium, path, **options))
        return open_visits[-1]

    yield open_page
    for one in open_visits:
        one.context.close()
