"""The shipped pictures of the spiral networks are those that the shipped weights give."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from resnet_diffeo_probe.references.catalogue import shipped_references
from resnet_diffeo_probe.references.pictures import FLOW_STEPS, draw_pictures, shipped_pictures


@pytest.fixture(scope="module")
def drawn():
    return draw_pictures()


def pixels(picture):
    image = Image.open(io.BytesIO(base64.b64decode(picture["png"])))
    assert image.size == (picture["width"], picture["height"])
    return np.asarray(image.convert("RGB")).astype(float)


def all_of(network):
    return [network["regions"], network["determinant"], *network["flow"]]


def test_what_is_shipped_is_what_the_weights_give(drawn):
    shipped = shipped_pictures()
    assert shipped.keys() == drawn.keys()
    for letter in "abcd":
        for key in ("growth", "least", "greatest", "share_not_positive", "boundary_length"):
            assert shipped[letter][key] == pytest.approx(drawn[letter][key], rel=1e-6)
        for one, other in zip(all_of(shipped[letter]), all_of(drawn[letter]), strict=True):
            # another release of matplotlib may place a mark half a pixel away
            assert np.abs(pixels(one) - pixels(other)).mean() < 3


def test_the_seed_drawn_has_the_numbers_of_the_references():
    for letter in "abcd":
        shipped, reference = shipped_pictures()[letter], shipped_references()["networks"][letter]
        assert shipped["seed"] in reference["good_seeds"]
        (numbers,) = (m for m in reference["maps"] if m["seed"] == shipped["seed"])
        assert shipped["boundary_length"] == numbers["boundary_length"]
        # the picture's grid is finer than that of the references: its extremes lie a little farther out
        assert shipped["least"] == pytest.approx(numbers["determinant_least"], rel=0.1)


def test_a_network_whose_map_folds_has_its_dark_region(drawn):
    for letter in "abcd":
        dark = (pixels(drawn[letter]["determinant"]).max(axis=2) < 60).mean()
        share = drawn[letter]["share_not_positive"]
        assert dark == pytest.approx(share, abs=0.03) if share else dark < 0.08
    assert drawn["a"]["share_not_positive"] > 0 == drawn["d"]["share_not_positive"]


def test_every_picture_is_small(drawn):
    for letter in "abcd":
        assert [step["step"] for step in drawn[letter]["flow"]] == list(FLOW_STEPS)
        assert all(len(picture["png"]) < 20_000 for picture in all_of(drawn[letter]))
