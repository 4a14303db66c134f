"""TorchScript: a program, opened with consent only."""

from __future__ import annotations

import pytest
import torch

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.models import load

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*")


@pytest.fixture
def script(tmp_path, small):
    path = tmp_path / "model.ts"
    torch.jit.save(torch.jit.trace(small, torch.randn(1, 3, 8, 8)), str(path))
    return path


def test_refused_without_consent(script):
    with pytest.raises(LoadError) as caught:
        load(script)
    assert caught.value.code == "torchscript-not-trusted"
    assert "state_dict()" in caught.value.fix
    assert "--trust-pickle" in caught.value.fix


def test_with_consent_the_weights_go_into_an_ordinary_module(script, small):
    loaded = load(script, trust_pickle=True)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(loaded.module(x), small(x))
    assert loaded.format == "state dict (TorchScript archive)"
    assert loaded.architecture == "cifar_resnet8 (option A)"
    assert loaded.architecture_assumed
    assert not isinstance(loaded.module, torch.jit.ScriptModule)


def test_damaged_archive(tmp_path, script):
    import zipfile

    with zipfile.ZipFile(script) as old, zipfile.ZipFile(tmp_path / "bad.ts", "w") as new:
        for name in old.namelist():
            new.writestr(name, b"" if name.endswith("data.pkl") else old.read(name))
    with pytest.raises(LoadError) as caught:
        load(tmp_path / "bad.ts", trust_pickle=True)
    assert caught.value.code == "torchscript-unreadable"
