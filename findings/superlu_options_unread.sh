#!/usr/bin/env bash
# scipy.sparse.linalg.splu: Equil and IterRefine are accepted and change nothing, not one bit.
#
# scipy 1.17.1, numpy 2.4.6, CPython 3.11 on Linux x86-64; seen on 2026-11-28.
# The two names are taken from SuperLU's expert driver, which scales rows and columns before the factorisation and
# refines a solution after it. splu knows them, refuses a name that it does not know, and gives the same factors and
# the same solution for every value, on a matrix whose rows differ by twelve orders of magnitude: its L and U multiply
# to the matrix as it was given. Where a small pivot is taken from the diagonal, a solution is left at a relative
# residual of 4e-9 with either value of IterRefine; one step of refinement by hand lowers it to 2e-16.
# What follows for a caller: a determinant may be read off the diagonal of U without asking for scale factors, and who
# wants the matrix scaled or the solution refined does it beforehand or afterwards.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'scipy==1.17.1' 'numpy==2.4.6'

seen=$("$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy.sparse import csc_array, linalg

n = 40
random = np.random.default_rng(0)
scale = 2.0 ** np.arange(n)  # powers of two: twelve orders of magnitude
dense = random.standard_normal((n, n))
dense[0, 0] = 1e-8
matrix = csc_array(scale[:, None] * dense)
about = {"permc_spec": "NATURAL", "diag_pivot_thresh": 0.0}
b = random.standard_normal(n)


def residual(x):
    # each row's at the row's own scale
    return np.max(np.abs(matrix @ x - b) / (abs(matrix) @ np.abs(x) + np.abs(b)))


plain = linalg.splu(matrix, **about)
for options in ({"Equil": True}, {"Equil": False}, {"IterRefine": "SINGLE"}, {"IterRefine": "DOUBLE"}):
    lu = linalg.splu(matrix, **about, options=options)
    same = all(np.array_equal(getattr(lu, name).data, getattr(plain, name).data) for name in "LU")
    print(options, "same factors:", same, "same solution:", np.array_equal(lu.solve(b), plain.solve(b)))

rows = csc_array((np.ones(n), (plain.perm_r, np.arange(n))))
columns = csc_array((np.ones(n), (np.arange(n), plain.perm_c)))
product = rows.T @ (plain.L @ plain.U) @ columns.T
print("L U is the matrix unscaled:", bool(abs(product - matrix).max() <= 1e-6 * abs(matrix).max()))
x = plain.solve(b)
refined = x + plain.solve(b - matrix @ x)
print("residual above 1e-11:", bool(residual(x) > 1e-11))
print("after a step by hand below 1e-14:", bool(residual(refined) < 1e-14))
try:
    linalg.splu(matrix, **about, options={"Equilibrate": True})
except TypeError as error:
    print("another name:", error)
PYTHON
)
expected="{'Equil': True} same factors: True same solution: True
{'Equil': False} same factors: True same solution: True
{'IterRefine': 'SINGLE'} same factors: True same solution: True
{'IterRefine': 'DOUBLE'} same factors: True same solution: True
L U is the matrix unscaled: True
residual above 1e-11: True
after a step by hand below 1e-14: True
another name: 'Equilibrate' is an invalid keyword argument for this function"
printf '%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
