"""The package as it is installed: version, typing, data, and what a wheel holds."""

import ast
import importlib.metadata
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import pytest

import resnet_diffeo_probe

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "resnet_diffeo_probe": ROOT / "resnet_diffeo_probe",
    "diffeo_probe": ROOT / "cli" / "diffeo_probe",
}


def test_the_version_is_that_of_the_metadata():
    assert importlib.metadata.version("resnet-diffeo-probe") == resnet_diffeo_probe.__version__


def test_the_command_is_installed():
    scripts = importlib.metadata.distribution("resnet-diffeo-probe").entry_points.select(
        group="console_scripts"
    )
    assert {script.name: script.value for script in scripts} == {"diffeo-probe": "diffeo_probe.main:main"}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_types_are_announced(package):
    assert resources.files(package).joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    "path", sorted(p for root in PACKAGES.values() for p in root.rglob("__init__.py")), ids=str
)
def test_every_package_says_what_it_is(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text
    assert not any(word in text.upper() for word in ("TODO", "FIXME", "XXX", "COMING LATER"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in a wheel built from this checkout, without a network."""
    pytest.importorskip("build", reason="the build front end is not installed")
    pytest.importorskip("hatchling", reason="the build back end is not installed")
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    assert path.name == f"resnet_diffeo_probe-{resnet_diffeo_probe.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return frozenset(archive.namelist())


def test_the_wheel_holds_every_tracked_file_of_the_packages(wheel):
    for package, folder in PACKAGES.items():
        files = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        for path in files:
            assert f"{package}/{path.relative_to(folder).as_posix()}" in wheel


def test_the_wheel_holds_what_the_commands_need_beside_code(wheel):
    assert "resnet_diffeo_probe/analysis/result/result.schema.json" in wheel
    assert "resnet_diffeo_probe/demo/digits_resnet.safetensors" in wheel
    assert "resnet_diffeo_probe/demo/digits.json" in wheel
    assert sum(name.startswith("resnet_diffeo_probe/demo/digits/") for name in wheel) == 32
    assert any(
        name.startswith("resnet_diffeo_probe/report/templates/") and name.endswith(".css") for name in wheel
    )
    assert any(name.startswith("resnet_diffeo_probe/references/data/") for name in wheel)
    assert {"resnet_diffeo_probe/py.typed", "diffeo_probe/py.typed"} <= wheel


def test_the_wheel_holds_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in wheel}
    assert tops == {*PACKAGES, f"resnet_diffeo_probe-{resnet_diffeo_probe.__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
