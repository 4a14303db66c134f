"""Workers as Slurm jobs: the script that Slurm is given, and a run of it by a stand-in for sbatch."""

import gc
import stat
import sys
import textwrap

import cloudpickle
import pytest

from resnet_diffeo_probe.errors import ConfigurationError
from tests.analysis import networks, studied
from tests.analysis.studied import Study, rows

dask = pytest.importorskip("dask", reason="the extra 'cluster' is not installed")
pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
pytest.importorskip("dask_jobqueue", reason="the extra 'cluster' is not installed")

from resnet_diffeo_probe.analysis.measuring.executors.cluster import OnDask  # noqa: E402
from resnet_diffeo_probe.analysis.measuring.executors.slurm import SlurmJobs, slurm_cluster  # noqa: E402

# dask-jobqueue leaves the files that it writes certificates to for the collector to close
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _collected():
    """Let what is left of a cluster go while its warnings are expected."""
    yield
    gc.collect()


def test_the_job_script_asks_for_what_the_user_asked(tmp_path):
    asked = SlurmJobs(
        jobs=3, cores=4, memory=16, walltime="1-02:00:00", queue="long", account="maths", folder=tmp_path
    )
    with slurm_cluster(asked, submits=False) as cluster:
        script = cluster.job_script()
    for line in ("-p long", "-A maths", "--cpus-per-task=4", "--mem=16G", "-t 1-02:00:00", "-n 1"):
        assert f"#SBATCH {line}\n" in script
    worker = script.splitlines()[-1]
    assert "--nthreads 1" in worker and "--nworkers 4" in worker and "tls://" in worker
    assert "--tls-ca-file" in worker and str(tmp_path) in worker


def test_cores_are_shared_by_workers_of_several_threads_and_a_site_s_own_words_stay(tmp_path):
    asked = SlurmJobs(cores=6, threads_per_worker=3, folder=tmp_path)
    own = {"job-script-prologue": ["module load python"], "worker-extra-args": ["--lifetime", "50m"]}
    configured = dask.config.set({f"jobqueue.slurm.{key}": value for key, value in own.items()})
    with configured, slurm_cluster(asked, submits=False) as cluster:
        script = cluster.job_script()
    worker = script.splitlines()[-1]
    assert "--nworkers 2" in worker and "--cpus-per-task=6" in script
    assert worker.rindex("--nthreads 1") == worker.rindex("--nthreads")  # the last one counts
    assert "--lifetime 50m" in worker
    assert "\nmodule load python\n" in script


@pytest.mark.parametrize(
    "wrong",
    [
        {"jobs": 0},
        {"cores": 2, "threads_per_worker": 3},
        {"cores": 2, "threads_per_worker": 0},
        {"cores": 0},
        {"memory": float("nan")},
        {"walltime": "soon"},
        {"queue": "long\n#SBATCH --mail-user=someone"},
        {"account": "a b"},
        {"account": "-x"},
    ],
)
def test_what_makes_no_sense_never_gets_into_a_script(wrong):
    with pytest.raises(ConfigurationError):
        SlurmJobs(**wrong)


def test_without_slurm_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no sbatch on this machine"):
        slurm_cluster(SlurmJobs(folder=tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a stand-in written for a POSIX shell")
def test_jobs_measure_over_tls_to_the_bit(tmp_path, monkeypatch):
    """The stand-in runs the script that it is given, as a node would, and ends it when it is told to."""
    programs = {
        "sbatch": f"""
            cp "$1" {tmp_path}/job.sh
            setsid bash {tmp_path}/job.sh > {tmp_path}/job.log 2>&1 &
            echo $! > {tmp_path}/job.pid
            echo "Submitted batch job $!"
        """,
        "scancel": 'kill -- "-$1" 2>/dev/null; true',
    }
    (tmp_path / "bin").mkdir()
    for name, body in programs.items():
        program = tmp_path / "bin" / name
        program.write_text("#!/bin/bash\n" + textwrap.dedent(body))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    net = networks.seeded(lambda: networks.Net(networks.Block(2), networks.Block(2, 0.3)))
    study, told = Study(net, networks.images(2)), []
    for module in (networks, studied):
        cloudpickle.register_pickle_by_value(module)
    try:
        cluster = slurm_cluster(SlurmJobs(jobs=1, cores=2, memory=8, folder=tmp_path / "shared"))
        assert cluster.scheduler_address.startswith("tls://")
        with OnDask(cluster, study.specification, study.plan, patience=300, tell=told.append) as executor:
            assert rows(executor.run(study.tasks())) == study.in_threads()
        assert told == []  # nothing makes these workers slow
        assert not list((tmp_path / "shared").glob("run-*"))
    finally:
        for module in (networks, studied):
            cloudpickle.unregister_pickle_by_value(module)
