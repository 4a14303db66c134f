"""A small analysis for executors, and workers whose units misbehave at inputs of certain names."""

import ctypes
import os
import resource
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from resnet_diffeo_probe.analysis.measuring.executors import InThreads
from resnet_diffeo_probe.analysis.measuring.specification import ModelInMemory, Specification
from resnet_diffeo_probe.analysis.measuring.tasks import Task
from resnet_diffeo_probe.analysis.planning.plan import make_plan, prepared
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.units import discover

QUANTITIES = ("sign", "logabsdet", "sign_margin", "sigma_min", "residual_ratio", "clipped_fraction")


class Study:
    """A network with its plan and inputs.

    Args:
        net: the module.
        x: (N, 3, H, W) float32.
        model: how it is sent; None: in memory.
    """

    def __init__(self, net, x, *, model=None, settings=None):
        self.net, self.x = net, x
        settings = settings or Settings(workers=2, measures=QUANTITIES)
        self.discovery = discover(net, x[:1]).to(dtype=torch.float64)
        self.plan = prepared(make_plan(self.discovery, settings))
        self.specification = Specification.of(model or ModelInMemory(net), x[:1], self.plan)
        self.units = [p.unit.name for p in self.plan.units]

    def tasks(self, names=None):
        """Yield every unit at every input, input by input."""
        for index, name in enumerate(names or [f"input[{i}]" for i in range(len(self.x))]):
            for unit in self.units:
                yield Task(unit, name, self.x[index : index + 1].double())

    def in_threads(self, names=None, workers=1):
        """Return the rows that threads of this process find."""
        with InThreads(self.discovery, self.plan, workers=workers) as executor:
            return rows(executor.run(self.tasks(names)))


def rows(outcomes):
    """Return what was found by unit and input; every pair once."""
    found = {}
    for outcome in outcomes:
        assert (outcome.unit, outcome.input) not in found
        found[outcome.unit, outcome.input] = outcome.findings, outcome.nonnegative
    return found


@dataclass(frozen=True, eq=False)
class Treacherous(Specification):
    """Workers whose first unit misbehaves at inputs that are called after what it does."""

    def worker(self, *, threads=1, max_bytes=None):
        """Build the worker, and put the fault into its first unit."""
        worker = super().worker(threads=threads, max_bytes=max_bytes)
        name = worker.plan.units[0].unit.name
        faulty = replace(worker._units[name], jacobian=Faulty(worker._units[name].unit))
        worker._units[name] = faulty
        honest = worker.begin

        def begin(task):
            faulty.jacobian.deed = task.input
            return honest(task)

        worker.begin = begin
        return worker


class Faulty(UnitJacobian):
    """A unit that does what the name of the input says."""

    deed = ""

    def at(self, x):
        """Misbehave, or linearise."""
        deed = self.deed.split(":")[0]
        if deed == "sleeps":
            time.sleep(600)
        elif deed == "segfaults":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            ctypes.string_at(0)
        elif deed == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif deed == "is killed once":
            mark = Path(self.deed.split(":", 1)[1])
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        elif deed == "allocates":
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), hard))
            try:
                kept = []
                while True:
                    kept.append(torch.ones(4 << 20))
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        elif deed == "gives NaN":
            return super().at(x * float("nan"))
        return super().at(x)
