"""The style sheet: contrast in light, dark and print; the pictures use its variables."""

import re
from importlib import resources

import pytest

from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.figures import svg

CSS = (resources.files("resnet_diffeo_probe.report") / "templates" / "report.css").read_text(encoding="utf-8")
TEXT_ON = [
    *((text, ground) for text in ("ink", "muted", "link", "mark-blue", "mark-red", "mark-orange", "hollow")
      for ground in ("page", "surface")),
    ("ink", "sunken"), ("muted", "sunken"), ("link", "sunken"), ("muted", "grid"),
    ("ink", "notice"), ("link", "notice"),
]  # fmt: skip
EDGES_ON = [(edge, "surface") for edge in ("proven-edge", "hollow", "muted", "focus", "notice-line")]


def themes():
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    light, dark, printed = (dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in blocks)
    return {"light": light, "dark": {**light, **dark}, "print": {**light, **dark, **printed}}


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_contrast(theme):
    colours = themes()[theme]
    for text, ground in TEXT_ON:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for edge, ground in EDGES_ON:
        assert contrast(colours[edge], colours[ground]) >= 3 or edge == "notice-line", (edge, ground)
    for fill in ("certified", "proven"):
        assert contrast("#ffffff", colours[fill]) >= 4.5
    for fill in ("unsure", "none"):
        assert contrast("#1a1d21", colours[fill]) >= 4.5


def test_verdict_fills_are_those_of_the_design():
    light = themes()["light"]
    fills = [light[name].upper() for name in ("certified", "unsure", "proven", "none")]
    assert fills == ["#2166AC", "#E69F00", "#7F0000", "#D0D0D0"]


def test_pictures_use_variables_that_the_page_defines():
    used = set(re.findall(r"var\(--([\w-]+),", " ".join(svg._VARIABLES.values())))
    assert used == {"ink", "muted", "grid", "mark-blue", "mark-red", "mark-orange", "mark-grey"}
    assert all(used <= set(theme) for theme in themes().values())


def test_pictures_have_no_colour_of_their_own(make):
    html = render_html(make(3, 3, states=("not_injective_proven", "undetermined", "not_run")))
    pictures = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    stripped = re.sub(r"var\([^)]*\)", "", pictures)
    assert not re.findall(r"#[0-9a-f]{6}\b|(?:fill|stroke): (?:white|black)", stripped)
