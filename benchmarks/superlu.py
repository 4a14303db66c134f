"""Block elimination against scipy's SuperLU and dense LU on the same reduced matrices, on one thread and on all.

    python benchmarks/superlu.py --weights resnet20.th --images cifar10/ --out benchmarks/results/superlu.json

For every identity unit of the network and several images: seconds of the elimination of `jacobian/`, with and without
gathering its blocks; of `scipy.sparse.linalg.splu` on the same matrix as CSC, in its default ordering and in the best
of three; and of `torch.linalg.slogdet` on it as a dense matrix, up to an order of 4,000. Each time is the smallest of
a few runs. The matrix is assembled for SuperLU and for the dense way before the clock starts; for block elimination
it is not, where the figure says so. SuperLU has one thread whatever is allowed; the others use those of the BLAS.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.sparse.csgraph
import torch
from environment import environment, gemm_seconds, least_seconds, publish
from networks import network_options, trained
from scipy.sparse.linalg import splu
from threadpoolctl import threadpool_limits
from torch import Tensor

from resnet_diffeo_probe.jacobian import UnitJacobian
from resnet_diffeo_probe.jacobian.elimination.block_system import BlockSystem
from resnet_diffeo_probe.jacobian.elimination.rows import factorize

# A dense LU of more than this takes minutes and has nothing to tell.
DENSE_ORDER = 4000
ORDERINGS = ("COLAMD", "MMD_AT_PLUS_A", "NATURAL")


def assembled(system: BlockSystem) -> BlockSystem:
    """Return the same system with its blocks gathered beforehand."""
    blocks: dict[tuple[int, int], Tensor] = {}
    for i, neighbours in enumerate(system.coupled):
        for a, b in ((i, i), *((i, j) for j in neighbours), *((j, i) for j in neighbours)):
            blocks[a, b] = torch.zeros(system.sizes[a], system.sizes[b], dtype=system.dtype)
            system.add_block(blocks[a, b], a, b)
    return replace(system, add_block=lambda out, i, j: out.add_(blocks[i, j]))


def compare(jacobian: UnitJacobian, x: Tensor, repeats: int) -> dict[str, Any]:
    """Time the three ways on the reduced matrix of one unit at one input."""
    reduced = jacobian.at(x).reduced
    given = assembled(reduced.system())
    dense = given.dense()
    sparse = scipy.sparse.csc_matrix(dense.numpy())
    # an ordering that fills the matrix is not run many times
    by_ordering = {spec: least_seconds(lambda s=spec: splu(sparse, permc_spec=s), 3) for spec in ORDERINGS}
    best = min(by_ordering, key=by_ordering.__getitem__)
    eliminated = least_seconds(lambda: factorize(given), repeats)
    with_gathering = least_seconds(lambda: factorize(reduced.system()), repeats)
    found = factorize(given)
    if given.order <= DENSE_ORDER:
        dense_seconds = least_seconds(lambda: torch.linalg.slogdet(dense), repeats)
        oracle = "dense"
        sign, logabsdet = (float(part) for part in torch.linalg.slogdet(dense))
    else:
        dense_seconds = None
        oracle = "superlu"
        sign, logabsdet = superlu_slogdet(splu(sparse, permc_spec=best))
    return {
        "unit": jacobian.name,
        "threads": torch.get_num_threads(),
        "n": x.numel(),
        "order": given.order,
        "nonzeros_a_row": sparse.nnz / max(1, given.order),
        "elimination_seconds": eliminated,
        "elimination_with_gathering_seconds": with_gathering,
        "superlu_seconds": by_ordering,
        "dense_seconds": dense_seconds,
        "default_superlu_over_elimination": by_ordering["COLAMD"] / eliminated,
        "best_superlu_over_elimination": by_ordering[best] / eliminated,
        "best_superlu_over_elimination_with_gathering": by_ordering[best] / with_gathering,
        "dense_over_elimination": None if dense_seconds is None else dense_seconds / eliminated,
        "oracle": oracle,
        "signs_agree": found.sign == int(sign),
        "relative_difference_of_logabsdet": abs(found.logabsdet - logabsdet) / max(1.0, abs(logabsdet)),
    }


def superlu_slogdet(factors: Any) -> tuple[float, float]:
    """Return sign and log|det| from SuperLU's factors."""
    pivots = factors.U.diagonal()
    odd = sum(_is_odd(permutation) for permutation in (factors.perm_r, factors.perm_c)) + (pivots < 0).sum()
    return (-1.0 if odd % 2 else 1.0), float(np.log(np.abs(pivots)).sum())


def _is_odd(permutation: npt.NDArray[np.intc]) -> bool:
    cycles, _ = scipy.sparse.csgraph.connected_components(
        scipy.sparse.coo_array(
            (np.ones(permutation.size), (np.arange(permutation.size), permutation)),
            shape=(permutation.size, permutation.size),
        ),
        directed=False,
    )
    return bool((permutation.size - cycles) % 2)


def medians(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the medians of the ratios for each n and number of threads."""
    kinds = sorted({(row["n"], row["threads"]) for row in rows})
    return [
        {"n": n, "threads": threads}
        | {
            key: statistics.median(values)
            for key in rows[0]
            if "_over_" in key
            and None not in (values := [r[key] for r in rows if (r["n"], r["threads"]) == (n, threads)])
        }
        for n, threads in kinds
    ]


def main() -> None:
    """Compare all identity units at several images and print JSON."""
    parser = network_options(__doc__, count=3)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    network = trained(options)
    jacobians = [UnitJacobian(unit) for unit in network.units]
    around, rows, gemm = environment(), [], {}
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        gemm[threads] = gemm_seconds()
        with threadpool_limits(threads):
            for name, at in network.unit_inputs():
                rows += [
                    {"image": name} | compare(jacobian, at[jacobian.name], options.repeats)
                    for jacobian in jacobians
                ]
    result = {
        "environment": around,
        "gemm_4096_float64_seconds": gemm,
        "medians": medians(rows),
        "rows": rows,
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
