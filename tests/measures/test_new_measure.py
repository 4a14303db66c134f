"""A new measure is one file and its line in the registry: in a copy of the house it is found wherever measures are."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import diffeo_probe
import pytest

import resnet_diffeo_probe
from resnet_diffeo_probe.demo import demo_paths

FILE = '''
"""How much J stretches the input itself."""

from markupsafe import Markup

from resnet_diffeo_probe.finding import Finding
from resnet_diffeo_probe.measures.record.criterion import Criterion
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.measures.record.measure import Budget, Measure, Of, Shown


def found(site):
    image = site.lin.apply(site.lin.x)
    return {"stretch": Finding(float((image**2).sum() / (site.lin.x**2).sum()) ** 0.5, dtype="float64")}


STRETCH = Measure(
    key="stretch",
    symbol=Markup("‖<i>Jx</i>‖/‖<i>x</i>‖"),
    words="stretch of the input",
    of=Of.JACOBIAN,
    function=f"{__name__}:found",
    budget=Budget.QUICK,
    shown=Shown.TABLE | Shown.CSV,
    criterion=Criterion(
        key="stretch",
        quantities=("stretch",),
        title="Stretch of the input",
        definition=Markup("How much longer <i>J</i> makes the input."),
        threshold="None.",
        origin="Made up for a test.",
        normal="Around one.",
        causes="Anything.",
        advice="Leave it alone.",
    ),
    limits=(Limit("max_stretch", "stretch", "largest", 1000.0, "a thousandfold is much"),),
)
'''


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Return a folder in which the package is as it is, but for one new file and its line in the registry."""
    folder = tmp_path_factory.mktemp("house")
    package = folder / "resnet_diffeo_probe"
    package.mkdir()
    ours = Path(resnet_diffeo_probe.__file__).parent
    for entry in ours.iterdir():
        if entry.name not in ("measures", "__pycache__"):
            (package / entry.name).symlink_to(entry)
    shutil.copytree(ours / "measures", package / "measures", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "measures" / "stretch.py").write_text(FILE, encoding="utf-8")
    registry = package / "measures" / "registry.py"
    text = registry.read_text(encoding="utf-8")
    for last, line in (
        ("    singular_values,\n", "    stretch,\n"),  # the import
        ("    certified_radius.CERTIFIED_RADIUS_LINF,\n", "    stretch.STRETCH,\n"),
    ):
        assert text.count(last) == 1
        text = text.replace(last, last + line)
    registry.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def command(house):
    def run(*words):
        path = os.pathsep.join((str(house), str(Path(diffeo_probe.__file__).parents[1])))
        return subprocess.run(
            [sys.executable, "-m", "diffeo_probe", *map(str, words)],
            check=False,
            env=os.environ | {"PYTHONPATH": path},
            cwd=house,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="module")
def analysed(house, command):
    demo, out = demo_paths(), house / "out"
    numbers = [f"--{word}={','.join(map(str, getattr(demo, word)))}" for word in ("mean", "std")]
    measures = "--measures=sign,sigma_min,sigma_max,stretch"
    done = command(
        "analyze",
        demo.model,
        "--inputs",
        demo.inputs,
        "-n",
        2,
        *numbers,
        measures,
        "--workers=1",
        "--out",
        out,
    )
    assert done.returncode in (0, 4), done.stderr
    return out


def test_it_is_in_the_rows_of_the_result_and_true(analysed):
    result = json.loads((analysed / "result.json").read_text(encoding="utf-8"))
    rows = {}
    for row in result["measurements"]:
        rows.setdefault((row["unit"], row["input"]), {})[row["quantity"]] = row["value"]
    measured = [row for row in rows.values() if row["sigma_min"] is not None]
    assert measured
    for row in measured:
        assert list(row)[-1] == "stretch"
        assert row["sigma_min"] * (1 - 1e-9) <= row["stretch"] <= row["sigma_max"] * (1 + 1e-9)
    assert "max_stretch" in {threshold["key"] for threshold in result["thresholds"]}


def test_it_is_in_the_report_s_tables_and_criteria(analysed):
    page = (analysed / "report.html").read_text(encoding="utf-8")
    tables = page.split("<table")
    assert sum("‖<i>Jx</i>‖/‖<i>x</i>‖" in table for table in tables[1:]) > 1
    assert any('id="unit-table"' in table and "<i>Jx</i>" in table for table in tables)
    assert 'id="criterion-stretch"' in page
    assert "How much longer <i>J</i> makes the input." in page
    heads, first = (analysed / "units.csv").read_text(encoding="utf-8").splitlines()[:2]
    assert float(first.split(",")[heads.split(",").index("stretch_median")]) > 0


def test_it_is_explained(command):
    assert "How much longer J makes the input." in command("explain", "stretch").stdout
    assert "a thousandfold is much" in command("explain", "max_stretch").stdout
    assert "did you mean stretch?" in command("analyze", "x", "--measures", "stretsh").stderr
