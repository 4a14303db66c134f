"""Folders: found by content, sorted, labelled, thinned out evenly."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resnet_diffeo_probe.inputs.folder import evenly_spaced, find_images


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(path, format="PNG")


def test_class_folders_are_sorted_and_deep(tmp_path):
    for name in ("dog/1.png", "cat/b/2.png", "cat/a.png", "Ant/9.png"):
        image(tmp_path / name)
    (tmp_path / "empty").mkdir()
    found = find_images(tmp_path)
    assert found.names == ("Ant/9.png", "cat/a.png", "cat/b/2.png", "dog/1.png")
    assert found.classes == ("Ant", "cat", "dog")
    assert found.skipped == ()


def test_one_image_outside_means_no_classes(tmp_path):
    image(tmp_path / "cat/a.png")
    image(tmp_path / "a.png")
    assert find_images(tmp_path).classes is None


def test_content_counts_not_the_suffix(tmp_path):
    image(tmp_path / "photo")
    image(tmp_path / "photo.dat")
    (tmp_path / "fake.png").write_text("no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    found = find_images(tmp_path)
    assert found.names == ("photo", "photo.dat")
    assert dict(found.skipped) == {"fake.png": "not an image", "empty.jpg": "empty file"}


def test_hidden_folders_are_left_out(tmp_path):
    image(tmp_path / ".git/a.png")
    image(tmp_path / "a.png")
    assert find_images(tmp_path).names == ("a.png",)


def test_pipes_links_and_loops(tmp_path):
    image(tmp_path / "real/a.png")
    os.mkfifo(tmp_path / "real/pipe")
    (tmp_path / "real/broken").symlink_to("nowhere")
    (tmp_path / "real/loop").symlink_to(tmp_path)
    (tmp_path / "far").mkdir()
    image(tmp_path.parent / f"{tmp_path.name}-elsewhere/b.png")
    (tmp_path / "linked").symlink_to(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    found = find_images(tmp_path)
    assert found.names == ("linked/b.png", "real/a.png")
    assert dict(found.skipped) == {"real/broken": "not a regular file", "real/pipe": "not a regular file"}


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_image(tmp_path):
    image(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    assert "permission" in dict(find_images(tmp_path).skipped)["a.png"]


def test_names_stay_as_they_are(tmp_path):
    for name in ("<script>alert(1)</script>".replace("/", "_") + ".png", "a\nb.png", "ü 🙂.png", "-rf.png"):
        image(tmp_path / name)
    assert set(find_images(tmp_path).names) == {p.name for p in tmp_path.iterdir()}


@given(total=st.integers(0, 500), count=st.none() | st.integers(1, 600))
def test_evenly_spaced(total, count):
    index = evenly_spaced(total, count)
    assert len(index) == (total if count is None else min(total, count))
    assert sorted(set(index)) == index
    assert all(0 <= i < total for i in index)
    if count is not None and count <= total:
        assert index == [int(np.floor(i * total / count)) for i in range(count)]
        gaps = np.diff([*index, total])
        assert gaps.max() - gaps.min() <= 1
