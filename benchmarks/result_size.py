"""A result of millions of numbers: what it takes to hold, write, read, check, compare and render it.

    python benchmarks/result_size.py --folder /tmp/large        # writes benchmarks/results/result_size.json

The rows are those of reports/resnet20/result.json, unit by unit and input by input in turn, under new names and with
every measured number moved a little, so that their text is as long as that of real ones and no two are equal. They go
through what a run keeps its findings in. Each step is a process of its own; its peak memory is that of the process, and
no less than that of the one that starts it, some 0.7 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from environment import environment
from environment import write_result as write_figures

from resnet_diffeo_probe.analysis.measuring.held_once import HeldOnce
from resnet_diffeo_probe.analysis.measuring.run import Measured
from resnet_diffeo_probe.analysis.planning.quantities import DETAILED, RECTANGULAR
from resnet_diffeo_probe.analysis.result.schema import read_result, write_result
from resnet_diffeo_probe.analysis.steps.result_parts import rows_json
from resnet_diffeo_probe.finding import Evidence, Finding, Status

HERE = Path(__file__).resolve().parent
PATTERN = HERE.parent / "reports" / "resnet20" / "result.json"
RESULTS = HERE / "results" / "result_size.json"
ABSENT = Finding.missing(
    Status.NOT_APPLICABLE,
    "the unit keeps the dimension: its Jacobian is square",
    Evidence.NOT_APPLICABLE,
)


def finding(row: dict[str, Any]) -> Finding:
    """Return the finding of a stored row."""
    known = {key: row[key] for key in ("error", "dtype", "seed", "reason") if key in row}
    interval = tuple(row["interval"]) if "interval" in row else None
    return Finding(row["value"], Evidence(row["evidence"]), Status(row["status"]), interval=interval, **known)


def moved(found: Finding, chance: random.Random) -> Finding:
    """Return a finding with another number, where its number is a measured one."""
    if not isinstance(found.value, float):
        return found
    value = found.value * (1 + 1e-3 * chance.random())
    error = None if found.error is None else found.error * (1 + chance.random())
    return replace(found, value=value, error=error)


def patterns(stored: dict[str, Any]) -> list[list[dict[str, Finding]]]:
    """Return the findings of each unit that keeps the dimension, input by input."""
    by_unit: dict[str, dict[str, dict[str, Finding]]] = {}
    kept = {unit["name"] for unit in stored["units"] if unit["status"] == "complete"}
    for row in stored["measurements"]:
        if (
            row["unit"] in kept
            and row["quantity"] not in DETAILED
            and not row["quantity"].startswith("rectangular")
        ):
            by_unit.setdefault(row["unit"], {}).setdefault(row["input"], {})[row["quantity"]] = finding(row)
    # what units that keep the dimension get where rectangular quantities are asked for by name
    absent = dict.fromkeys(RECTANGULAR, ABSENT)
    return [[row | absent for row in rows.values()] for rows in by_unit.values()]


def measured(stored: dict[str, Any], units: int, inputs: int, seed: int) -> Iterator[tuple[str, str, dict]]:
    """Yield unit, input and findings, in the order in which a run measures them."""
    chance, found = random.Random(seed), patterns(stored)  # noqa: S311 - numbers to look like real ones
    for index in range(inputs):
        for place in range(units):
            rows = found[place % len(found)]
            row = rows[(index * 7 + place) % len(rows)]
            yield (
                f"layer{1 + place // 10}.{place % 10}",
                f"class{index % 10}/{index:05d}.jpg",
                {quantity: moved(one, chance) for quantity, one in row.items()},
            )


def write(path: Path, units: int, inputs: int, seed: int) -> dict[str, Any]:
    """Hold findings as a run does, make a result of them and write it."""
    stored = read_result(PATTERN)
    started = time.perf_counter()
    shared, names = HeldOnce(), [f"layer{1 + place // 10}.{place % 10}" for place in range(units)]
    held = Measured({name: {} for name in names})
    process = psutil.Process()
    before = process.memory_info().rss
    for unit, name, findings in measured(stored, units, inputs, seed):
        held.rows[unit][shared.word(name)] = shared.row(findings)
    held_bytes = process.memory_info().rss - before
    seconds_holding = time.perf_counter() - started
    record = next(unit for unit in stored["units"] if unit["status"] == "complete")
    inputs_named = list(held.rows[names[0]])
    result = {
        **{key: stored[key] for key in ("schema_version", "tool", "model")},
        "inputs": {**stored["inputs"], "count": inputs, "names": inputs_named, "labels": None},
        "units": [
            {**record, "name": name, "index": place, "planned": inputs, "done": inputs}
            for place, name in enumerate(names)
        ],
        "measurements": rows_json(held),
        "verdicts": [
            {**verdict, "unit": name, "evidence": None}
            for place, name in enumerate(names)
            for verdict in stored["verdicts"][2 * (place % 9) : 2 * (place % 9) + 2]
        ],
        "thresholds": stored["thresholds"],
    }
    rows = len(result["measurements"])
    started = time.perf_counter()
    write_result(result, path)
    return {
        "rows": rows,
        "bytes": path.stat().st_size,
        "seconds_holding": round(seconds_holding, 1),
        "bytes_held_a_row": round(held_bytes / rows),
        "seconds_writing": round(time.perf_counter() - started, 1),
    }


def frame(path: Path) -> dict[str, Any]:
    """Read a result into a data frame."""
    from resnet_diffeo_probe.notebook import read  # noqa: PLC0415 - this step alone needs pandas

    return {"frame_rows": len(read(path).to_frame())}


def apart(command: list[str]) -> dict[str, Any]:
    """Run a command; return its exit code, seconds, peak memory, and what it printed last if that is JSON."""
    started = time.perf_counter()
    reading, writing = os.pipe()
    child = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_CLOSE, reading)],
    )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stream:
        last = (stream.read().strip().splitlines() or [""])[-1]
    _, status, usage = os.wait4(child, 0)
    told = json.loads(last) if last.startswith("{") and last.endswith("}") else {}
    return {
        "exit_code": os.waitstatus_to_exitcode(status),
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_gib": round(usage.ru_maxrss / 2**20, 2),
        **told,
    }


def steps(folder: Path, units: int, inputs: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the command of every step."""
    me = [sys.executable, __file__, "--units", str(units), "--inputs", str(inputs)]
    probe = [sys.executable, "-m", "diffeo_probe"]
    a, b = folder / "a.json", folder / "b.json"
    yield "write", [*me, "--write", str(a)]
    yield "write another", [*me, "--write", str(b), "--seed", "1"]
    yield "check", [*probe, "check", str(a), "--json"]
    yield (
        "compare",
        [
            *probe,
            "compare",
            str(a),
            str(b),
            "--json",
            str(folder / "c.json"),
            "--html",
            str(folder / "c.html"),
        ],
    )
    yield "report", [*probe, "report", str(a), "--out", str(folder / "report.html")]
    yield "data frame", [*me, "--frame", str(a)]


def main() -> None:
    """Measure every step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=50)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="for two results of some gigabytes; kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", nargs="+", metavar="STEP", help="the others keep the figures that they have"
    )
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--frame", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if asked.write is not None:
        print(json.dumps(write(asked.write, asked.units, asked.inputs, asked.seed)))
    elif asked.frame is not None:
        print(json.dumps(frame(asked.frame)))
    elif asked.folder is None:
        parser.error("--folder is needed")
    else:
        earlier = asked.only and asked.out.is_file()
        found: dict[str, Any] = json.loads(asked.out.read_text(encoding="utf-8"))["steps"] if earlier else {}
        for name, command in steps(asked.folder, asked.units, asked.inputs):
            if not asked.only or name in asked.only:
                found[name] = apart(command)
                print(name, found[name], flush=True)
        sizes = {path.name: path.stat().st_size for path in sorted(asked.folder.iterdir())}
        about = {"units": asked.units, "inputs": asked.inputs}
        report = {"environment": environment(), **about, "steps": found, "bytes_of_files": sizes}
        write_figures(report, asked.out)


if __name__ == "__main__":
    main()
