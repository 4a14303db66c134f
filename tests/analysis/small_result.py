"""The smallest result that has everything which must be there, the optional parts, and what JSON may hold."""

from hypothesis import strategies as st

SMALL = {
    "schema_version": "1.0",
    "tool": {
        "name": "diffeo-probe",
        "version": "0.1.0",
        "command": "diffeo-probe analyze model.pth",
        "started": "2025-03-14T09:26:53.25+00:00",
        "seconds": 1.5,
        "seed": None,
        "dtype": "float64",
        "device": "cpu",
        "configuration": {"units": None, "measures": ["sign", "logabsdet"], "n": 1},
        "environment": {"python": "3.12.3", "threads": 2},
    },
    "model": {
        "file": "model.pth",
        "sha256": None,
        "format": "state dict",
        "architecture": "resnet20",
        "architecture_assumed": False,
        "parameters": 0,
        "num_classes": None,
        "notes": [],
        "rejected_sums": [{"name": "add_7", "reason": "no common dominator"}],
    },
    "inputs": {
        "source": "synthetic",
        "kind": "synthetic",
        "count": 1,
        "shape": [3, 8, 8],
        "names": ["synthetic-0"],
        "labels": None,
        "preprocessing": {"mean": None, "std": None, "size": 8, "preset": None},
        "seed": 0,
        "accuracy": None,
        "skipped": [],
    },
    "units": [
        {
            "name": "layer1.0",
            "index": 0,
            "shortcut": "identity",
            "activation": None,
            "input_shape": [4, 8, 8],
            "output_shape": [4, 8, 8],
            "dimension": 256,
            "status": "complete",
            "reason": None,
            "plan": {"method": "dense", "cut": None, "memory_bytes": 524288},
            "seconds": 0.25,
            "planned": 1,
            "done": 1,
        }
    ],
    "measurements": [
        {"unit": "layer1.0", "input": "synthetic-0", "quantity": "sign", "value": 1, "evidence": "exact",
         "status": "ok"},
        {
            "unit": "layer1.0",
            "input": None,
            "quantity": "lipschitz_bound",
            "value": 0.9,
            "evidence": "certified",
            "status": "ok",
            "interval": [0.0, 0.9],
        },
    ],
    "verdicts": [
        {
            "unit": None,
            "map": "sum",
            "state": "no_violation_found",
            "domain": None,
            "arithmetic": None,
            "sentence": "One sign at one input.",
            "counts": {"positive": 1, "negative": 0, "zero": 0, "undetermined": 0, "not_run": 0},
            "violating_share_upper_95": 0.95,
            "evidence": {"inputs": ["synthetic-0"], "anything": {"nested": True}},
        }
    ],
}  # fmt: skip


EVIDENCE = {
    "witnesses": [
        {
            "unit": "layer1.0",
            "map": "sum",
            "kind": "fold",
            "is_proof": True,
            "distance": 0.5,
            "relative_distance": 0.01,
            "gap": 1e-15,
            "domain": "the non-negative orthant",
            "in_orthant": True,
            "checked_by": ["the network's own module"],
            "file": "layer1.0.sum.npz",
            "inputs": ["synthetic-0"],
            "first_distance": 1e-4,
        }
    ],
    "certificates": [
        {
            "unit": "layer1.0",
            "scope": "global",
            "input": None,
            "holds": True,
            "lipschitz_upper": 0.9,
            "lipschitz_lower": None,
            "layers": [{"name": "conv1", "upper": 0.9, "lower": None, "method": "torus"}],
        },
        {"unit": "layer1.0", "scope": "local", "input": "synthetic-0", "holds": True, "norm": "l2",
         "radius": None},
    ],
    "references": [
        {
            "unit": "layer1.0",
            "nearest": "d",
            "percentiles": {"d": {"sigma_min": 99.5}},
            "distances": {"d": 0.25},
            "summaries": {"sigma_min": 0.75},
        }
    ],
    "refinement": [
        {"unit": None, "scheme": "euler", "steps": 2, "inputs": 1, "agreement": 1, "logit_change": 0.1,
         "accuracy": None, "accuracy_before": None},
        {"unit": "layer1.0", "scheme": "rk4", "steps": 1, "inputs": 1, "agreement": 0.0, "logit_change": None,
         "accuracy": 0.0, "accuracy_before": 1.0},
    ],
}  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
