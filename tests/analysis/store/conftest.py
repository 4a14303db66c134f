"""One analysis and its store, from which each test goes on in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_diffeo_probe.analysis.analyze import Analysis, analyze
from resnet_diffeo_probe.analysis.store.store import FILE, Store
from tests.analysis.executed import executed

from .going_on import FULL, folding, some


@pytest.fixture(scope="session")
def whole() -> Analysis:
    """Without a store."""
    return analyze(folding(), some(), FULL)


@pytest.fixture(scope="session")
def computed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The store of an analysis in the full budget."""
    folder = tmp_path_factory.mktemp("computed")
    with Store(folder) as store:
        analyze(folding(), some(), FULL, execution=executed(store=store))
    return (folder / FILE).read_bytes()


@pytest.fixture
def folder(tmp_path: Path, computed: bytes) -> Path:
    (tmp_path / FILE).write_bytes(computed)
    return tmp_path
