"""A cluster behind certificates, made by the very commands that the documents give."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from resnet_diffeo_probe.errors import ConfigurationError
from tests.analysis import networks, studied
from tests.analysis.local_cluster import local_cluster
from tests.analysis.studied import Study, rows

dask = pytest.importorskip("dask", reason="the extra 'cluster' is not installed")
distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
cloudpickle = pytest.importorskip("cloudpickle")
pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl here to make certificates"
)

from resnet_diffeo_probe.analysis.measuring.executors.cluster import OnDask  # noqa: E402

PAGE = Path(__file__).parents[3] / "docs" / "cluster.md"


def test_documented_certificates_let_those_in_who_have_them_and_nobody_else(tmp_path):
    commands = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("openssl ")]
    assert len(commands) == 3
    for command in commands:
        # a smaller key takes less of the test's time
        words = shlex.split(command.replace("rsa:4096", "rsa:2048"))
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    pair = {"cert": str(tmp_path / "node.pem"), "key": str(tmp_path / "node.key")}
    places = {"ca-file": str(tmp_path / "ca.pem"), "scheduler": pair, "worker": pair, "client": pair}
    tls = {f"distributed.comm.tls.{place}": where for place, where in places.items()}
    none = dict.fromkeys(("cert", "key"))
    without = dict.fromkeys(tls, none) | {"distributed.comm.tls.ca-file": None}
    net = networks.seeded(lambda: networks.Net(networks.Block(2)))
    study = Study(net, networks.images(2))
    for module in (networks, studied):
        cloudpickle.register_pickle_by_value(module)
    try:
        with (
            dask.config.set({**tls, "distributed.comm.require-encryption": True}),
            local_cluster(processes=False, protocol="tls://", security=distributed.Security()) as cluster,
        ):
            address = cluster.scheduler_address
            assert address.startswith("tls://")
            with OnDask(address, study.specification, study.plan) as executor:
                assert rows(executor.run(study.tasks())) == study.in_threads()
            with dask.config.set({**without, "distributed.comm.require-encryption": False}):
                for stranger in (address, address.replace("tls://", "tcp://")):
                    with (
                        dask.config.set({"distributed.comm.timeouts.connect": "3s"}),
                        pytest.raises(ConfigurationError, match="cannot be reached"),
                        OnDask(stranger, study.specification, study.plan),
                    ):
                        pass
    finally:
        for module in (networks, studied):
            cloudpickle.unregister_pickle_by_value(module)
