"""What a user may import: this list, each with a docstring; all else may move without notice (docs/policy.md)."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import resnet_diffeo_probe

ROOT = Path(__file__).parents[1]
PUBLIC = {
    "": """
        Demo DiffeoProbeError Discovery Evidence Finding Inputs LoadedModel Options Preprocessing Progress Proofs
        ResidualUnit Settings Status Study Threshold UnitJacobian Verdict Witness __version__ analyze demo_paths
        determinant discover load measure prove read read_inputs read_thresholds
    """,
    ".analysis": """
        Progress SCHEMA_VERSION Settings Threshold read_result read_thresholds validate write_result
    """,
    ".attribution": """
        Ablation Agreement Baseline Conductance Fold NotAttributableError PathAttribution PixelMap Relevance
        SingularTriple TappedNetwork ablations agreement baseline_input clipped_energy_map conductance
        log_sigma_min_map narrow_direction_map relevance smallest_triple
    """,
    ".bijectivity": """
        GlobalCertificate Inverse LocalCertificate PROOF_QUANTITIES Proofs State Verdict Witness global_certificate
        invert local_certificate network_verdicts prove unit_verdicts
    """,
    ".demo": "Demo demo_paths",
    ".errors": """
        ConfigurationError DiffeoProbeError InputsError LoadError NoUnitError OutputError UnsupportedUnitError
    """,
    ".finding": "ErrorKind Evidence Finding IntervalKind Status",
    ".inputs": "Inputs Preprocessing TensorRows accuracy read_inputs",
    ".jacobian": """
        Determinant JacobianAt JacobianFactorization Linearization QUANTITIES UnitJacobian determinant
        largest_singular_value leftmost_real_eigenvalues measure smallest_singular_value
    """,
    ".models": "CifarResNet LoadedModel load",
    ".notebook": "Options Study analyze read",
    ".references": "CALIBRATION_NOTE Place UnitMeasures compare",
    ".report": "render render_html units_csv write_folder",
    ".units": "Discovery RecordingError RejectedSum ResidualUnit UnitActivations discover",
}
NAMES = [(place, name) for place, names in PUBLIC.items() for name in names.split()]


def module(place: str):
    return importlib.import_module(f"resnet_diffeo_probe{place}")


@pytest.mark.parametrize("place", PUBLIC)
def test_a_room_exports_what_is_public_and_nothing_else(place: str) -> None:
    assert set(module(place).__all__) == set(PUBLIC[place].split())
    assert set(module(place).__all__) <= set(dir(module(place)))


@pytest.mark.parametrize(("place", "name"), NAMES, ids=lambda part: part or "rdp")
def test_a_public_name_is_there_and_says_what_it_is(place: str, name: str) -> None:
    found = getattr(module(place), name)
    if not (inspect.isclass(found) or callable(found)):
        assert isinstance(found, str | tuple | frozenset)  # a constant, which its comment explains
        return
    own = found.__dict__.get("__doc__") if inspect.isclass(found) else found.__doc__
    assert own
    # a dataclass without words has its signature for a docstring
    assert not own.startswith(f"{name}(")


def test_what_the_package_announces_is_what_its_rooms_hold() -> None:
    for name in PUBLIC[""].split():
        rooms = [place for place, other in NAMES if other == name and place]
        assert rooms or name == "__version__", name
        for place in rooms:
            assert getattr(resnet_diffeo_probe, name) is getattr(module(place), name)


def test_there_is_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        resnet_diffeo_probe.analyse  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Setting'"):
        module(".analysis").Setting  # noqa: B018


def public_paths() -> set[str]:
    paths = {f"resnet_diffeo_probe{place}" for place in PUBLIC}
    return paths | {f"resnet_diffeo_probe{place}.{name}" for place, name in NAMES}


def test_the_reference_stands_on_public_names_and_has_every_one_of_the_package() -> None:
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\.\. auto\w+:: (\S+)$", text, flags=re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) <= public_paths()
    # those of the modules that are documented as a whole stand there too
    whole = re.findall(r"^\.\. automodule:: (\S+)$", text, flags=re.MULTILINE)
    there = {path.rpartition(".")[2] for path in documented}
    there |= {name for place, name in NAMES if f"resnet_diffeo_probe{place}" in whole}
    assert set(PUBLIC[""].split()) - there == {"__version__"}


def python_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE))


SHOWN = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.py"))]


@pytest.mark.parametrize("path", SHOWN, ids=lambda p: p.name)
def test_what_users_are_shown_imports_public_names(path: Path) -> None:
    for node in ast.walk(ast.parse(python_of(path))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            assert not name.startswith("resnet_diffeo_probe") or name in public_paths(), name
