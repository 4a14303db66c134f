#!/usr/bin/env bash
# scipy.sparse.linalg.eigs, eigsh, svds: the operator 0 ends with "Starting vector is zero", whatever vector they start
# from. In scipy 1.14.1 all three give its eigenvalues.
#
# scipy 1.17.1 with numpy 2.4.6, scipy 1.14.1 with numpy 2.0.2, CPython 3.11 on Linux x86-64; seen on 2026-11-28.
# All eigenvalues of the zero operator are 0, and every vector is an eigenvector. The start of ones that is passed here is
# not zero; its image under the operator is. The same error comes where the operator is nilpotent and the start lies in
# its kernel; there the older version says that it did not converge. The identity, with the same start, gives its
# eigenvalues in both.
# What follows for a caller: before ArpackError is taken for a failure, ask whether the operator sends the start to 0;
# another start does not help.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/seen.py" <<'PYTHON'
import numpy as np
import scipy
from scipy.sparse import csc_array, linalg

n = 50
ones = np.ones(n)
kernel = np.zeros(n)
kernel[0] = 1


def tell(what, solve):
    try:
        print(what, np.round(np.abs(np.asarray(solve())), 12).tolist())
    except linalg.ArpackError as error:
        print(what, str(error).partition(" [")[0])


def operator(product):
    return linalg.LinearOperator((n, n), matvec=product, dtype=np.float64)


zero = operator(np.zeros_like)
shift = operator(lambda v: np.append(v[1:], 0.0))
print("scipy", scipy.__version__)
tell("eigs 0:", lambda: linalg.eigs(zero, k=2, v0=ones, return_eigenvectors=False))
tell("eigsh 0:", lambda: linalg.eigsh(zero, k=2, v0=ones, return_eigenvectors=False))
tell("svds 0:", lambda: linalg.svds(csc_array((n, n)), k=2, v0=ones, return_singular_vectors=False))
tell("eigs shift:", lambda: linalg.eigs(shift, k=2, v0=kernel, return_eigenvectors=False))
tell("eigs I:", lambda: linalg.eigs(operator(np.copy), k=2, v0=ones, return_eigenvectors=False))
PYTHON
seen=$(
  for pins in 'scipy==1.14.1 numpy==2.0.2' 'scipy==1.17.1 numpy==2.4.6'; do
    python3 -m venv --clear "$work/venv"
    # shellcheck disable=SC2086 # two requirements
    "$work/venv/bin/pip" install -q $pins
    "$work/venv/bin/python" "$work/seen.py"
  done
)
expected="scipy 1.14.1
eigs 0: [0.0, 0.0]
eigsh 0: [0.0, 0.0]
svds 0: [0.0, 0.0]
eigs shift: ARPACK error -1: No convergence (501 iterations, 0/2 eigenvectors converged)
eigs I: [1.0, 1.0]
scipy 1.17.1
eigs 0: ARPACK error -9: Starting vector is zero.
eigsh 0: ARPACK error -9: Starting vector is zero.
svds 0: ARPACK error -9: Starting vector is zero.
eigs shift: ARPACK error -9: Starting vector is zero.
eigs I: [1.0, 1.0]"
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
