"""A slip is met with what was meant, or with nothing: a wrong offer is worse than none."""

from pathlib import Path

import pytest

from resnet_diffeo_probe.nearest import near_files, nearest, why_not_found


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("sgin", "sign"),
        ("Sign", "sign"),
        ("sigma_mni", "sigma_min"),
        ("layre1", "layer1.0"),
        ("nothing like it", None),
        ("", None),
    ],
)
def test_the_first_of_the_most_like_is_meant(word, meant):
    assert nearest(word, ["layer2.0", "layer1.0", "layer1.1", "sign", "sigma_min", "sigma_max"]) == meant


def test_files_are_near_by_their_stem_and_not_by_their_ending(tmp_path):
    for name in ("nope.pth", "text.pt", "notes.txt", "a.safetensors", "zzz.safetensors", "nope.pt.bak"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    assert near_files(tmp_path / "nope.pt")[0] == tmp_path / "nope.pth"
    assert {path.name for path in near_files(tmp_path / "nope.pt")} <= {"nope.pth", "nope.pt.bak"}
    assert near_files(tmp_path / "b.safetensors") == []
    assert near_files(tmp_path / "none" / "nope.pt") == []
    assert near_files(tmp_path / "nope.toml", ending=".txt") == [tmp_path / "notes.txt"]


def test_files_of_one_stem_come_with_the_same_ending_first(tmp_path):
    for name in ("model.json", "model.pt", "model.toml"):
        (tmp_path / name).touch()
    assert [path.name for path in near_files(tmp_path / "modle.toml")] == [
        "model.toml",
        "model.json",
        "model.pt",
    ]


def test_an_address_is_not_called_a_folder_that_is_missing(tmp_path):
    assert "nothing is downloaded" in why_not_found(Path("https://example.org/resnet.pt"), "-")[0]
    why, fix = why_not_found(tmp_path / "no" / "a.pt", "-")
    assert str(tmp_path / "no") in why
    assert "typing error" in fix
    assert why_not_found(tmp_path / "a.pt", "another way")[1] == "another way"
