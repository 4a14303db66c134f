#!/usr/bin/env bash
# distributed: a LocalCluster leaves MALLOC_TRIM_THRESHOLD_ and OMP_NUM_THREADS in the environment of the process that
# started it. They outlive the cluster, and a later one that is configured without them has them all the same.
#
# distributed 2026.8.0, numpy 2.4.6, CPython 3.11, glibc on Linux x86-64; seen on 2026-11-28.
# The nanny of a worker sets the variables for it. What it sets stays in os.environ of the parent after the cluster has
# closed, and every process started later inherits it. With any malloc threshold set, glibc no longer adapts the size
# from which it maps a block of memory by itself: an array of 1 MiB is then mapped anew each time it is made, and all of
# its 256 pages are faulted in. Seen here, page faults an array: 0 in a worker without the variable, 257 in one with it,
# and 257 in a cluster that is configured without it but was started after one with it.
# What follows for a caller: who measures time or sets threads in one process takes a fresh one, or removes the variables.
set -euo pipefail
if ! getconf GNU_LIBC_VERSION >/dev/null 2>&1; then
  echo "needs glibc" >&2
  exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'distributed==2026.8.0' 'dask==2026.8.0' 'numpy==2.4.6'

cat >"$work/seen.py" <<'PYTHON'
import os
import resource

import dask
from distributed import Client, LocalCluster

NAMES = ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS")
WITHOUT = {f"distributed.nanny.pre-spawn-environ.{name}": None for name in NAMES}


def faults():
    import numpy as np

    def once():
        return np.empty(1 << 17).fill(1.0)

    for _ in range(20):
        once()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        once()
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 200)


def run(what):
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        count = client.submit(faults).result()
    kept = {name: os.environ.get(name) for name in NAMES}
    print(what, "all pages faulted in:", count >= 256, "almost none:", count <= 8)
    print("  afterwards in the parent:", kept)


if __name__ == "__main__":
    with dask.config.set(WITHOUT):
        run("configured without,")
    run("by default,")
    with dask.config.set(WITHOUT):
        run("configured without, after that,")
PYTHON
seen=$(cd "$work" && env -u MALLOC_TRIM_THRESHOLD_ -u OMP_NUM_THREADS venv/bin/python seen.py)
expected="configured without, all pages faulted in: False almost none: True
  afterwards in the parent: {'MALLOC_TRIM_THRESHOLD_': None, 'OMP_NUM_THREADS': None}
by default, all pages faulted in: True almost none: False
  afterwards in the parent: {'MALLOC_TRIM_THRESHOLD_': '65536', 'OMP_NUM_THREADS': '1'}
configured without, after that, all pages faulted in: True almost none: False
  afterwards in the parent: {'MALLOC_TRIM_THRESHOLD_': '65536', 'OMP_NUM_THREADS': '1'}"
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
