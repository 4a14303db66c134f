"""What a worker must have in common with the analysis that sends it work."""

from dataclasses import replace

import pytest

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.version import __version__, program
from tests.analysis import networks
from tests.analysis.studied import Study


def test_a_worker_of_the_same_version_and_another_source_is_refused():
    net = networks.seeded(lambda: networks.Net(networks.Block(2)))
    study = Study(net, networks.images(1))
    assert study.specification.program == program()
    study.specification.worker()
    stranger = replace(study.specification, program=f"diffeo-probe {__version__}, source 0123456789abcdef")
    with pytest.raises(ConfigurationError, match="other source") as refused:
        stranger.worker()
    assert program() in str(refused.value.why)
    assert "0123456789abcdef" in str(refused.value.why)
