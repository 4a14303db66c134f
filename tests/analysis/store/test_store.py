"""The store of measurements: to the bit, pair by pair, and clear about what it cannot use."""

import sqlite3
import subprocess
import sys

import pytest

from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.store.fingerprint import Conditions
from resnet_diffeo_probe.analysis.store.store import FILE, Store, StoreError
from resnet_diffeo_probe.finding import Evidence, Finding, Status

STUDY = Conditions("m", '{"dtype": "float64", "seed": 0}', "diffeo-probe 0")

# everything that a finding can hold, with the numbers that are lost first where something is not kept to the bit
FINDINGS = {
    "sign": Finding(-1, dtype="float64"),
    "logabsdet": Finding(0.1 + 0.2, error=5e-324, dtype="float32", seed=2**63 - 1),
    "sign_margin": Finding(-0.0),
    "sigma_min": Finding(1.0, Evidence.ESTIMATED, interval=(-0.0, 1.7976931348623157e308)),
    "sigma_max": Finding.missing(Status.INFINITE, "<b>\x1b[31m ‖x‖ \0 ' \" \ud800"),
    "residual_ratio": Finding(None, Evidence.NOT_APPLICABLE, Status.NOT_APPLICABLE),
}


def outcome(unit="u", name="a.png", findings=None, seconds=0.1):
    return Outcome(unit, name, FINDINGS if findings is None else findings, True, seconds)


def bits(findings):
    """The numbers as hexadecimal, their types, and the rest."""

    def exact(value):
        return (type(value).__name__, value.hex() if isinstance(value, float) else value)

    return {
        q: (exact(f.value), exact(f.error), f.interval and tuple(map(exact, f.interval)), f)
        for q, f in findings.items()
    }


def begun(folder, *, resume=False, study=STUDY):
    store = Store(folder, resume=resume)
    store.begin(study)
    return store


def test_what_is_kept_comes_back_to_the_bit_in_another_process_too(tmp_path):
    with begun(tmp_path) as store:
        store.keep(outcome(), "hash", 1e9)
    with begun(tmp_path, resume=True) as store:
        kept = store.find("u", "a.png")
    assert bits(kept.outcome.findings) == bits(FINDINGS)
    assert list(kept.outcome.findings) == list(FINDINGS), "in the order in which they were measured"
    assert (kept.outcome.nonnegative, kept.outcome.seconds) == (True, 0.1)
    assert (kept.input_sha256, kept.allowed_bytes) == ("hash", 1e9)


@pytest.mark.parametrize(
    "name", ["../../x", "a\0b", "not utf-8: \udcff", "", "x'); DROP TABLE pairs; --", "é"]
)
def test_names_are_text_whatever_they_are(tmp_path, name):
    with begun(tmp_path) as store:
        store.keep(outcome(name, name), "hash", 1.0)
        store.keep(outcome("another", name, {}), "hash", 1.0)
    with begun(tmp_path, resume=True) as store:
        assert store.find(name, name).outcome.findings.keys() == FINDINGS.keys()
        assert store.find(name, name + "x") is None


def test_a_pair_measured_again_takes_the_place_of_the_earlier(tmp_path):
    with begun(tmp_path) as store:
        store.keep(outcome(), "old", 1.0)
        store.keep(outcome(findings={"sign": Finding(1)}), "new", 2.0)
        kept = store.find("u", "a.png")
    assert kept.outcome.findings == {"sign": Finding(1)}
    assert kept.input_sha256 == "new"


def test_measurements_of_another_study_are_not_found_and_the_reason_is_said(tmp_path):
    with begun(tmp_path) as store:
        store.keep(outcome(), "hash", 1.0)
    with Store(tmp_path, resume=True) as store:
        reasons = store.begin(Conditions("m", '{"dtype": "float32", "seed": 0}', "diffeo-probe 0"))
        assert reasons == ["dtype was float64 and is float32"]
        assert store.find("u", "a.png") is None
    with Store(tmp_path, resume=True) as store:
        reasons = store.begin(Conditions("other", '{"dtype": "float64", "seed": 3}', "diffeo-probe 1"))
        assert reasons == [
            "the model has changed",
            "seed was 0 and is 3",
            "measured with diffeo-probe 0, this is diffeo-probe 1",
        ]
    with Store(tmp_path, resume=True) as store:
        assert store.begin(STUDY) == []
        assert store.find("u", "a.png") is not None


def test_rows_can_be_read_by_anybody_while_the_run_goes_on(tmp_path):
    with begun(tmp_path) as store:
        store.keep(outcome(), "hash", 1.0)
        connection = sqlite3.connect(tmp_path / FILE)
        found = connection.execute(
            "SELECT unit, input, value FROM measured WHERE quantity = 'sign'"
        ).fetchall()
        connection.close()
    assert found == [("u", "a.png", -1)]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".diffeo-probe.lock", FILE]


def test_a_second_store_in_the_folder_is_refused_until_the_first_is_closed(tmp_path):
    with begun(tmp_path), pytest.raises(StoreError, match="another diffeo-probe is at work") as refused:
        begun(tmp_path, resume=True)
    assert refused.value.code == "folder-in-use"
    begun(tmp_path, resume=True).close()


def test_the_lock_dies_with_a_process_that_is_killed(tmp_path):
    code = (
        "import os, sys, pathlib; from resnet_diffeo_probe.analysis.store.store import Store; "
        "store = Store(pathlib.Path(sys.argv[1])); store.hold(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another diffeo-probe is at work"):
            begun(tmp_path)
        holder.kill()
        holder.wait()
        begun(tmp_path).close()


def test_nothing_to_go_on_with_and_something_that_was_not_expected(tmp_path):
    with pytest.raises(StoreError, match="nothing to go on with"):
        begun(tmp_path, resume=True)
    begun(tmp_path).close()
    with pytest.raises(StoreError, match="earlier analysis") as refused:
        begun(tmp_path)
    assert "--resume" in refused.value.fix


def test_rows_committed_before_the_disk_was_full_are_there(tmp_path):
    with begun(tmp_path) as store:
        store.keep(outcome(), "hash", 1.0)
        # SQLite's own limit gives the very error of a full disk
        pages = store._open.execute("PRAGMA page_count").fetchone()[0]
        store._open.execute(f"PRAGMA max_page_count = {pages}")
        long = {f"q{i}": Finding.missing(Status.ERROR, "x" * 3000) for i in range(20)}
        with pytest.raises(StoreError, match="cannot be written") as refused:
            store.keep(outcome(name="b.png", findings=long), "hash", 1.0)
        assert refused.value.code == "disk-full"
        assert "--resume" in refused.value.fix
    with begun(tmp_path, resume=True) as store:
        assert store.find("u", "a.png") is not None
        assert store.find("u", "b.png") is None
        store.keep(outcome(name="b.png", findings=long), "hash", 1.0)


def test_an_interrupt_in_the_middle_of_a_pair_leaves_none_of_it(tmp_path):
    class Interrupting(dict):
        def items(self):
            yield "sign", FINDINGS["sign"]
            raise KeyboardInterrupt

    with begun(tmp_path) as store:
        with pytest.raises(KeyboardInterrupt):
            store.keep(outcome(findings=Interrupting()), "hash", 1.0)
        assert store.find("u", "a.png") is None
        store.keep(outcome(), "hash", 1.0)


def damaged(folder, sql):
    with begun(folder) as store:
        store.keep(outcome(), "hash", 1.0)
    connection = sqlite3.connect(folder / FILE)
    connection.executescript(sql)
    connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE measurements SET quantity = 'hearsay' WHERE quantity = 'sign'",
        "UPDATE measurements SET evidence = 'hearsay'",
        "UPDATE measurements SET status = x'00ff'",
        "UPDATE measurements SET value = 'one'",
        "UPDATE measurements SET value = 9e999",
        "UPDATE measurements SET low = 1, high = 'x' WHERE quantity = 'sign'",
        "UPDATE measurements SET reason = x'ff00'",
        "UPDATE measurements SET seed = 1.5",
        "UPDATE measurements SET dtype = x'ff'",
        "UPDATE pairs SET seconds = 'long'",
        "UPDATE studies SET settings = 'not JSON', model = 'n'",
        "UPDATE studies SET settings = '[1]', model = 'n'",
        "DROP TABLE measurements",
        "CREATE TRIGGER t AFTER INSERT ON pairs BEGIN DELETE FROM pairs; END",
        "DROP VIEW measured; CREATE VIEW measured AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) "
        "SELECT x FROM n",
    ],
)
def test_a_file_edited_by_hand_is_a_clean_error_or_of_no_use(tmp_path, sql):
    damaged(tmp_path, sql)
    with Store(tmp_path, resume=True) as store, pytest.raises(StoreError) as refused:
        store.begin(STUDY)
        store.find("u", "a.png")
    assert refused.value.code == "store-unusable"
    assert "--overwrite" in refused.value.fix


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\0" + bytes(3000)])
def test_a_file_that_is_no_store_is_a_clean_error(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with Store(tmp_path, resume=True) as store, pytest.raises(StoreError, match=FILE):
        store.begin(STUDY)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / FILE).symlink_to(elsewhere)
    with pytest.raises(StoreError, match="not a plain file"):
        begun(tmp_path / "out")
    assert not elsewhere.exists()
