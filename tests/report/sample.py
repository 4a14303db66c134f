"""Realistic stored analyses of any size and state, made from a seed without torch."""

import math
import random
from typing import Any

EVIL_UNIT = '<script>alert("unit")</script>'
EVIL_NAMES = [
    EVIL_UNIT,
    "quote\" onload='x' & amp;",
    "\x1b[31mred\x1b[0m",
    "abc\u202egnp.exe",
    '=HYPERLINK("http://evil.example","x")',
    "$\\frac{1}{0}$",
    "</script><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "lone \ud800 surrogate",
    "名前\u200b",
]
STATES = (
    "not_injective_proven",
    "no_violation_found",
    "certified_injective",
    "undetermined",
    "not_applicable",
    "not_run",
)
SENTENCES = {
    "certified_injective": "Lip(F) is at most 0.93, so x + F(x) is a bijection of the whole space.",
    "not_injective_proven": "det J > 0 at {p} inputs and < 0 at {m}: x + F(x) folds between them.",
    "no_violation_found": "All {n} determinants have one sign; no certificate covers a region of inputs.",
    "undetermined": "At {u} of {n} inputs det J is within rounding of zero.",
    "not_applicable": "The unit changes the dimension from {a} to {b}: it cannot be a bijection.",
    "not_run": "Not run: {reason}",
}
QUANTITIES = (
    "sign",
    "logabsdet",
    "sigma_min",
    "sigma_max",
    "critical_step",
    "leftmost_real_eigenvalue",
    "real_eigenvalues_below_minus_one",
    "residual_ratio",
    "clipped_fraction",
    "sign_margin",
    "clipped_depth",
    "inverse_error",
)
PLAN = {"method": "block_lu", "cut": "relu 1", "width": 64, "memory_bytes": 734_003_200}
OUT_OF_MEMORY = "out of memory: 41 GB needed, 12 GB allowed; --units 'layer[2-4]*' would fit"


def make_result(
    units: int = 16,
    inputs: int = 8,
    *,
    states: tuple[str, ...] | None = None,
    seed: int = 0,
    labels: bool = True,
    unit_names: list[str] | None = None,
    input_names: list[str] | None = None,
) -> dict[str, Any]:
    """Return a valid result; `states[i % len(states)]` is the verdict of unit i on its sum map."""
    chance = random.Random(seed)  # noqa: S311
    names = input_names or [f"{('airplane', 'cat', 'truck')[i % 3]}/{i:04d}.jpg" for i in range(inputs)]
    chosen = states or (
        "not_applicable", "no_violation_found", "not_injective_proven", "not_injective_proven",
        "not_applicable", "undetermined", "no_violation_found", "not_injective_proven",
    )  # fmt: skip
    result: dict[str, Any] = {
        "schema_version": "1.0",
        "tool": {
            "name": "diffeo-probe",
            "version": "0.1.0",
            "command": "diffeo-probe analyze resnet34.pth --inputs images/ -n 8 --seed 0 --dtype float64",
            "started": "2025-03-14T09:26:53Z",
            "seconds": 812.4,
            "seed": 0,
            "dtype": "float64",
            "device": "cpu",
            "configuration": {
                "budget": "standard",
                "measures": ["sign", "logabsdet", "sigma_min", "critical_step"],
                "max_memory_gb": 12,
                "fail_on": "never",
                "resume": False,
                "units": None,
            },
            "environment": {
                "python": "3.12.3",
                "torch": "2.9.1+cpu",
                "platform": "Linux-6.8-x86_64",
                "threads": 2,
            },
        },
        "model": {
            "file": "resnet34-b627a593.pth",
            "sha256": "b627a593" + "0123456789abcdef" * 3 + "01234567",
            "format": "state dict (torch.save)",
            "architecture": "torchvision.models.resnet34",
            "architecture_assumed": True,
            "parameters": 21_797_672,
            "num_classes": 1000,
            "notes": ["The architecture was inferred from names and shapes of 218 tensors."],
            "rejected_sums": [{"name": "fpn.add", "reason": "upsampling on one path"}],
        },
        "inputs": {
            "source": "images/",
            "kind": "images",
            "count": len(names),
            "shape": [3, 224, 224],
            "names": names,
            "labels": [name.split("/", maxsplit=1)[0] for name in names] if labels else None,
            "preprocessing": {
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
                "size": [224, 224],
                "preset": "imagenet",
            },
            "seed": 0,
            "accuracy": {"correct": math.ceil(0.7 * len(names)), "total": len(names)} if labels else None,
            "skipped": [{"name": "broken.jpg", "reason": "cannot be decoded: truncated file"}],
        },
        "units": [],
        "measurements": [],
        "verdicts": [],
    }
    for index in range(units):
        name = unit_names[index] if unit_names else f"layer{1 + 4 * index // max(units, 1)}.{index}"
        _add_unit(result, index, name, chosen[index % len(chosen)], chance)
    _add_network_verdicts(result)
    return result


def _add_unit(result: dict[str, Any], index: int, name: str, state: str, chance: random.Random) -> None:
    names = result["inputs"]["names"]
    n = 200_704 // 2 ** (index % 4)
    side = int(math.sqrt(n / 64))
    ran = state not in ("not_run", "not_applicable") and bool(names)
    partial = ran and index % 7 == 6 and len(names) > 1
    done = (len(names) - 1 if partial else len(names)) if ran else 0
    result["units"].append(
        {
            "name": name,
            "index": index,
            "shortcut": "projection" if state == "not_applicable" else "identity",
            "activation": "relu",
            "input_shape": [64, side, side],
            "output_shape": [128, side // 2, side // 2] if state == "not_applicable" else [64, side, side],
            "dimension": n,
            "status": "not_applicable" if state == "not_applicable" else "not_run" if not ran else
            "partial" if partial else "complete",
            "reason": "the time budget was used up" if partial else
            None if ran or state == "not_applicable" else OUT_OF_MEMORY,
            "plan": dict(PLAN) if ran else None,
            "seconds": round(2.0 + 40 * chance.random(), 2) if ran else None,
            "planned": 0 if state == "not_applicable" else len(names),
            "done": done,
        }
    )  # fmt: skip
    counts = dict.fromkeys(("positive", "negative", "zero", "undetermined", "not_run"), 0)
    for position, image in enumerate(names if ran else []):
        if position >= done:
            counts["not_run"] += 1
            row = {
                "value": None,
                "evidence": "failed",
                "status": "not_run",
                "reason": "the time budget was used up",
            }
            result["measurements"].append({"unit": name, "input": image, "quantity": "sign", **row})
            continue
        counts[_measure(result, name, n, image, state, position, chance)] += 1
    words = {
        "p": counts["positive"], "m": counts["negative"], "n": done, "u": counts["undetermined"],
        "a": n, "b": n // 2, "reason": OUT_OF_MEMORY,
    }  # fmt: skip
    for which in ("sum", "unit"):
        here = state if which == "sum" or not ran else "not_injective_proven"
        sentence = SENTENCES[here].format(**words) if which == "sum" or not ran else (
            "A coordinate is clipped to 0 at every input, which explicit pairs with one output prove."
        )  # fmt: skip
        verdict: dict[str, Any] = {
            "unit": name,
            "map": which,
            "state": here,
            "domain": "a neighbourhood of the segments between the inputs" if ran else None,
            "arithmetic": "float64, numerical" if ran else None,
            "sentence": sentence,
            "counts": dict(counts) if ran and which == "sum" else None,
            "violating_share_upper_95": 1 - 0.05 ** (1 / done)
            if here == "no_violation_found" and done
            else None,
            "evidence": {"inputs": names[:2], "condition_number": 31.5}
            if here == "not_injective_proven"
            else None,
        }
        result["verdicts"].append(verdict)


def _measure(
    result: dict[str, Any], unit: str, n: int, image: str, state: str, position: int, chance: random.Random
) -> str:
    def add(
        quantity: str, value: float | None, status: str = "ok", evidence: str = "exact", **extra: Any
    ) -> None:
        row = {"unit": unit, "input": image, "quantity": quantity, "value": value}
        result["measurements"].append(
            {**row, "evidence": evidence, "status": status, "dtype": "float64", **extra}
        )

    negative = state == "not_injective_proven" and position % 3 == 0
    outcome = "negative" if negative else "positive"
    if state == "undetermined" and position % 4 == 0:
        outcome = "undetermined" if position % 8 == 0 else "zero"
    sign = {"positive": 1, "negative": -1, "zero": 0, "undetermined": None}[outcome]
    density = chance.gauss(-0.02, 0.05)
    if outcome == "undetermined":
        add(
            "sign",
            None,
            "undetermined",
            "failed",
            reason="sigma_min is below the backward error of the elimination",
        )
    else:
        add("sign", sign, "singular" if sign == 0 else "ok")
    if sign == 0:
        add("logabsdet", None, "singular")
    else:
        add("logabsdet", density * n, error=1e-9 * n)
    leftmost = chance.uniform(-2.0, -1.05) if negative else chance.uniform(-0.9, 0.3)
    add(
        "sigma_min",
        0.0 if sign == 0 else 10 ** chance.uniform(-4, -0.5),
        "ok",
        "estimated",
        error=1e-7,
        seed=0,
    )
    add("sigma_max", chance.uniform(2, 8), "ok", "estimated", interval=[1.9, 8.1], seed=0)
    if leftmost < 0:
        add("critical_step", -1 / leftmost, "ok", "estimated")
    else:
        add("critical_step", None, "infinite", "estimated")
    add("leftmost_real_eigenvalue", leftmost, "ok" if position % 5 else "not_converged", "estimated")
    add("real_eigenvalues_below_minus_one", int(negative))
    add("residual_ratio", chance.uniform(0.2, 1.4))
    add("clipped_fraction", chance.uniform(0.1, 0.6))
    add("sign_margin", 10 ** chance.uniform(-12, -6), "ok", "estimated")
    add("clipped_depth", chance.uniform(0.1, 1.0))
    if position % 6 == 5:
        add(
            "inverse_error",
            None,
            "not_converged",
            "failed",
            reason="the fixed point did not converge in 100 steps",
        )
    else:
        add("inverse_error", 10 ** chance.uniform(-14, -9))
    return outcome


def _add_network_verdicts(result: dict[str, Any]) -> None:
    for which in ("sum", "unit"):
        states = [v["state"] for v in result["verdicts"] if v["map"] == which]
        folding = states.count("not_injective_proven")
        state = "not_injective_proven" if folding else next((s for s in STATES if s in states), "not_run")
        sentence = (
            f"{folding} of {len(states)} units fold; each of those is not injective on its domain."
            if folding
            else "No unit was shown to fold; see the units for what is certain and what is not."
        )
        verdict: dict[str, Any] = {
            "unit": None,
            "map": which,
            "state": state,
            "domain": "the activations of the inputs" if states else None,
            "arithmetic": "float64, numerical" if states else None,
            "sentence": sentence,
            "counts": None,
            "violating_share_upper_95": None,
            "evidence": None,
        }
        result["verdicts"].append(verdict)
