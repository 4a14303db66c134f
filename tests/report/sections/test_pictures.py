"""Pictures in the page: their pixels are those that are stored, their words carry the numbers, nothing else gets in."""

import base64
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from resnet_diffeo_probe.analysis.result.schema import validate
from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.figures.raster import GREY, SIGNED, source_of
from resnet_diffeo_probe.report.text.escaping import number, percent


def pixels(source, mode="RGBA"):
    assert source.startswith("data:image/png;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
    assert image.format == "PNG"
    return np.asarray(image.convert(mode))


@pytest.fixture(scope="module")
def page(make_pictured, parse):
    result = make_pictured()
    vectors = [m for m in result["pictures"]["maps"] if m["kind"] == "singular_vector" and m["picture"]]
    vectors[0] |= {"picture": None, "numbers": {}, "reason": "not computed: too slow"}
    for pair in result["pictures"]["pairs"]:
        pair["share_shown"] = 0.83
    result["pictures"]["pixel_pair"]["outside"] = 0.02
    validate(result)
    return result, parse(render_html(result))


def test_an_image_keeps_its_pixels(stored_picture):
    levels = np.random.default_rng(1).integers(0, 256, (5, 7, 3))
    np.testing.assert_array_equal(pixels(source_of(stored_picture(levels)), "RGB"), levels)


def test_values_are_coloured_in_order_and_gaps_are_transparent(stored_picture):
    levels = np.array([[0, 127, 254, 255]])
    shown = pixels(source_of(stored_picture(levels, [-1.0, 1.0]), GREY))[0]
    assert list(shown[:, 3]) == [255, 255, 255, 0]
    assert shown[0, 0] == 0
    assert abs(int(shown[1, 0]) - 127) <= 1
    assert shown[2, 0] == 255
    low, zero, high = pixels(source_of(stored_picture(levels, [-1.0, 1.0]), SIGNED))[0, :3, :3].astype(int)
    assert low[2] > low[0], "the lower end is purple"
    assert high[0] > high[2], "the upper end is orange"
    assert zero.min() > 230, "zero is nearly white"


def chunk(kind, data):
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def bomb(side):
    header = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"not a picture",
        b"GIF89a" + bytes(30),
        bomb(60_000),
        bomb(8),
        b"\x89PNG\r\n\x1a\n",
        b"<svg onload=alert(1)>",
    ],
)
def test_what_is_no_picture_of_its_size_is_not_shown(make_pictured, parse, raw):
    stored = {
        "png": base64.b64encode(raw).decode(),
        "width": 8,
        "height": 8,
        "scale": None,
        "pooled_from": None,
    }
    assert source_of(stored) is None
    result = make_pictured(2, 2, states=("not_injective_proven",))
    result["pictures"]["inputs"][0]["picture"] = stored
    result["pictures"]["maps"][0]["picture"] = stored | {"scale": [0.0, 1.0]}
    document = parse(render_html(result))
    assert "cannot be read" in document.text
    assert base64.b64encode(raw).decode() not in document.html


def test_what_lies_behind_the_pixels_does_not_reach_the_page(stored_picture):
    picture = stored_picture(np.zeros((2, 2, 3)))
    raw = base64.b64decode(picture["png"])
    end = raw.index(b"IEND") - 4
    hostile = raw[:end] + chunk(b"tEXt", b"Comment\x00<script>alert(1)</script>") + raw[end:] + b"<script>"
    source = source_of(picture | {"png": base64.b64encode(hostile).decode()})
    assert b"script" not in base64.b64decode(source.split(",")[1])


def test_every_picture_has_an_alternative_with_its_numbers(page):
    result, document = page
    alts = [attrs["alt"] for attrs in document.all("img")]
    assert all(len(alt) > 15 for alt in alts)
    maps = [m for m in result["pictures"]["maps"] if m["picture"]]
    said = {
        "clipped": ("Share of channels clipped", lambda n: map(percent, (n["mean"], n["greatest"]))),
        "singular_vector": (
            "Where the direction that the sum map shrinks most",
            lambda n: (number(n["stretch"], 3), f"{n['positions_with_90_percent']} of {n['positions']}"),
        ),
        "fold_normal": ("Where the normal of the fold", lambda n: (f"hidden unit {n['hidden_index']} ",)),
    }
    for kind, (start, words) in said.items():
        mine = [m for m in maps if m["kind"] == kind]
        shown = [alt for alt in alts if alt.startswith(start)]
        assert len(shown) == len(mine) > 0
        for m in mine:
            assert any(
                f"of {m['unit']}" in alt and all(w in alt for w in words(m["numbers"])) for alt in shown
            )
    reach = number(result["pictures"]["pairs"][0]["difference"]["scale"][1], 3)
    assert any(f"−{reach} to {reach}" in alt for alt in alts if alt.startswith("x₂ − x₁"))


def test_every_mapped_unit_has_its_row_in_network_order(page):
    result, document = page
    mapped = dict.fromkeys(m["unit"] for m in result["pictures"]["maps"])
    labels = [
        value for value in document.values("aria-label") if " at " in value and not value.startswith("Where")
    ]
    rows = [
        unit
        for unit in mapped
        if any(value == f"{unit} at {result['inputs']['names'][0]}" for value in labels)
    ]
    assert rows == [unit["name"] for unit in result["units"] if unit["name"] in mapped]


def test_a_map_that_was_not_drawn_says_why(page):
    _, document = page
    assert "Not drawn: not computed: too slow." in document.text


def test_pairs_stand_with_their_proof(page):
    result, document = page
    assert document.text.count("83\u00a0% of the squared distance") == len(result["pictures"]["pairs"])
    assert "Two images with the same features" in document.text
    assert "2\u00a0% of its values lie outside" in document.text


def test_pictures_are_part_of_the_page_and_stored_once(page):
    result, document = page
    (data,) = [text for attrs, text in document.scripts if attrs.get("type") == "application/json"]
    assert "pictures" not in json.loads(data)
    assert len(document.all("img")) >= len(result["pictures"]["maps"])
    sources = [attrs["src"] for attrs in document.all("img")]
    assert all(len(source) < 150 * 1024 for source in sources)


@pytest.mark.parametrize(
    "stored", [None, {"inputs": [], "maps": [], "pairs": [], "pixel_pair": None, "left_out": 0}]
)
def test_without_pictures_there_is_no_screen_for_them(make_full, parse, stored):
    result = make_full(3, 2)
    result["pictures"] = stored
    validate(result)
    document = parse(render_html(result))
    assert "where" not in document.values("id")
    assert "#where" not in document.values("href")


def test_pictures_left_out_are_counted(make_pictured, parse):
    result = make_pictured(2, 2, states=("not_injective_proven",))
    result["pictures"]["left_out"] = 4
    assert "4 more pictures were left out" in parse(render_html(result)).text


def test_the_same_pictures_give_the_same_bytes(make_pictured):
    first, second = make_pictured(3, 2), make_pictured(3, 2)
    assert first == second
    assert render_html(first) == render_html(second)
