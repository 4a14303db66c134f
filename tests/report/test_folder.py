"""The folder that an analysis leaves, as command line and notebook write it."""

import pytest

from resnet_diffeo_probe.errors import OutputError
from resnet_diffeo_probe.report import render_html, units_csv, write_folder


def test_all_files_are_those_of_the_result(make, tmp_path):
    result = make(3, 2)
    folder = tmp_path / "new" / "folder"
    write_folder(result, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "result.json", "units.csv"]
    assert (folder / "units.csv").read_text() == units_csv(result)
    assert (folder / "report.html").read_text() == render_html(result)


def test_pairs_of_an_earlier_analysis_go_only_where_new_ones_come(make, tmp_path):
    pairs = tmp_path / "witnesses"
    pairs.mkdir()
    (pairs / "old.sum.npz").write_bytes(b"")
    (pairs / "notes.txt").write_bytes(b"")
    write_folder(make(1, 1), tmp_path)
    assert (pairs / "old.sum.npz").exists()
    write_folder(
        make(1, 1), tmp_path, save_witnesses=lambda folder: (folder / "new.sum.npz").write_bytes(b"")
    )
    assert sorted(path.name for path in pairs.iterdir()) == ["new.sum.npz", "notes.txt"]


def test_a_folder_that_cannot_be_is_the_users_to_mend(make, tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OutputError, match="taken") as problem:
        write_folder(make(1, 1), tmp_path / "taken")
    assert problem.value.fix
