"""A fuzzing session: damaged files, one after the other, read as the commands read them.

    python tests/hostile/session.py model image --seed 3 --cases 20000 --keep found/

Each case ends in an error of the user's kind or in a sound result. Anything else is a finding: another exception, more
than ten seconds, more than two gigabytes, or an attempt to touch what lies outside the case's folder. The last line
printed for each kind of file is a JSON object that counts them; the exit status is 1 if there was a finding.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import math
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import click
import torch
from diffeo_probe.main import cli
from json_mutation import change_node, rename
from mutation import mutate
from peak_memory import peak_kilobytes
from seeds import SEEDS
from store_damage import edited, read_store, stores

from resnet_diffeo_probe.analysis.comparing.thresholds import read_thresholds
from resnet_diffeo_probe.analysis.result.schema import read_result, validate
from resnet_diffeo_probe.errors import DiffeoProbeError
from resnet_diffeo_probe.inputs import Preprocessing, read_inputs
from resnet_diffeo_probe.models import load
from resnet_diffeo_probe.report import render
from resnet_diffeo_probe.units import discover

SECONDS = 10  # of the processor's time, which a busy machine does not stretch
HANGS_AFTER = 60  # by the clock
LONGEST_MESSAGE = 20_000
MOST_KILOBYTES = 2 * 2**20
PIXELS = Preprocessing.from_preset("none")
# what a program would do that a file should not be
_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "socket.connect",
              "socket.bind", "os.remove", "os.rmdir", "os.mkdir", "os.rename", "os.chmod", "os.symlink",
              "shutil.", "ctypes.dlopen", "pty.spawn", "os.putenv")  # fmt: skip


class WrongError(Exception):
    """Something other than a clean error or a sound result."""


class Watch:
    """Sees what Python code does to the system while a file is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        inside = (
            arguments and isinstance(arguments[0], str | Path) and str(arguments[0]).startswith(self.folder)
        )
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if (writes or event.startswith(_FORBIDDEN)) and not inside:
            self.seen.append(f"{event}{arguments}")


def model(path: Path) -> str:
    """Load a model without trust and look for its units."""
    loaded = load(path)
    state = loaded.module.state_dict()
    if not all(
        p.dtype == torch.float32 and bool(torch.isfinite(p).all()) for p in loaded.module.parameters()
    ):
        raise WrongError("weights that are not finite float32")
    if any(parameter.requires_grad for parameter in loaded.module.parameters()):
        raise WrongError("gradients are wanted")
    batch = read_inputs("synthetic", count=1, preprocessing=PIXELS, shape=loaded.input_shape or (3, 8, 8))
    discover(loaded.module, batch.tensor)
    return f"{len(state)} tensors" if len(state) < 3 else "loaded"


def tensor(path: Path) -> str:
    """Read a batch of inputs."""
    batch = read_inputs(path, preprocessing=PIXELS)
    whole = batch.part(0, min(len(batch), 8))
    if whole.dtype != torch.float32 or not torch.isfinite(whole).all() or whole.shape[1:] != batch.shape:
        raise WrongError(f"{whole.dtype} {tuple(whole.shape)}")
    return "read"


def image(path: Path) -> str:
    """Read an image, by itself and to a fixed size."""
    told = []
    for preprocessing in (PIXELS, Preprocessing(size=(16, 12))):
        try:
            batch = read_inputs(path, preprocessing=preprocessing)
        except DiffeoProbeError as error:
            told.append(error.code)
            continue
        whole = batch.tensor
        if whole.min() < 0 or whole.max() > 1 or math.prod(whole.shape[2:]) > 10**8:
            raise WrongError(f"pixels of {tuple(whole.shape)} from {whole.min()} to {whole.max()}")
        told.append("read")
    return " and ".join(told)


def result(path: Path) -> str:
    """Read a stored analysis and write its report."""
    content = read_result(path)
    page = path.with_suffix(".html")
    render(content, path=page)
    check_page(page.read_text(encoding="utf-8"))
    page.unlink()
    return "rendered"


def config(path: Path) -> str:
    """Read a file of limits, and one of options before a model that does not exist."""
    told = []
    with contextlib.suppress(DiffeoProbeError):
        told.append(f"{len(read_thresholds(path))} limits")
    arguments = [
        "analyze",
        "--config",
        str(path),
        "--out",
        str(path.with_name("out")),
        str(path.with_name("no.pt")),
    ]
    screen = io.StringIO()
    try:
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
            cli.main(arguments, standalone_mode=False)
    except DiffeoProbeError as error:
        told.append(error.code)
    except click.ClickException as error:
        told.append(type(error).__name__)
    if path.with_name("out").exists() or "\x1b" in screen.getvalue():
        raise WrongError("a folder was made, or the terminal written to")
    return " and ".join(told)


def damaged(target: str, content: bytes, chance: random.Random, others: tuple[bytes, ...]) -> bytes:
    """Return a damaged copy of a file: at random, or in a way that its format does not notice."""
    if target == "page":
        return nonsense(content, chance)
    if target == "store" and chance.random() < 0.75:
        return edited(content, chance)
    return mutate(content, chance, others)


def nonsense(content: bytes, chance: random.Random) -> bytes:
    """Return a stored analysis changed wherever the schema lets it pass: valid, and without any sense."""
    tree = json.loads(content)
    for _ in range(chance.choice((1, 10, 40))):
        changed = (
            rename(tree, chance)
            if chance.random() < 0.3
            else change_node(json.loads(json.dumps(tree)), chance)
        )
        with contextlib.suppress(DiffeoProbeError):
            validate(changed)
            tree = changed
    return json.dumps(tree).encode("ascii")


class _Evil(HTMLParser):
    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "diffeo-evil" or any(name == "diffeo-evil" for name, _ in attributes):
            raise WrongError(f"an element or attribute of the file's own: {self.get_starttag_text()}")
        for name, value in attributes:
            if name in {"href", "src", "xlink:href"} and (value or "").strip().lower().startswith(
                "javascript:"
            ):
                raise WrongError(f"a link to code: {value}")


def check_page(page: str) -> None:
    """Raise `WrongError` if text from a file became markup, code or a control character of the page."""
    _Evil(convert_charrefs=True).feed(page)
    if "\x1b" in page or "\N{RIGHT-TO-LEFT OVERRIDE}" in page or "\0" in page:
        raise WrongError("a control character in the page")
    if "49{%" in page:
        raise WrongError("a template in a name was carried out")


SEEDS["store"] = stores
READERS: dict[str, Callable[[Path], str]] = {
    "model": model,
    "tensor": tensor,
    "image": image,
    "result": result,
    "page": result,
    "config": config,
    "store": read_store,
}


def run(
    target: str, seed: int, cases: range, folder: Path, keep: Path | None
) -> tuple[Counter[str], list[str]]:
    """Run cases; returns how they ended, and the findings."""
    seeds = SEEDS[target]()
    contents = tuple(seeds.values())
    reader, watch = READERS[target], Watch(folder)
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    for name, content in seeds.items():  # sound files are read, or refused on purpose
        (folder / name).write_bytes(content)
        outcomes[f"sound {name}: {_outcome(reader, folder / name)}"] += 1
    for case in cases:
        chance = random.Random(f"{target} {seed} {case}")  # noqa: S311 - not for secrets
        name = chance.choice(tuple(seeds))
        path = folder / name
        content = damaged(target, seeds[name], chance, contents)
        path.write_bytes(content)
        (folder / "case").write_text(f"{target} --seed {seed} --first {case} --cases 1  # {name}")
        before = peak_kilobytes()
        faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
        started = time.process_time()
        watch.active = True
        try:
            outcomes[_outcome(reader, path)] += 1
            found = None
        except Exception:
            found = traceback.format_exc(limit=-6)
        watch.active = False
        faulthandler.cancel_dump_traceback_later()
        after = peak_kilobytes()
        if (seconds := time.process_time() - started) > SECONDS:
            found = f"{seconds:.1f} seconds"
        if after > MOST_KILOBYTES and after > before:
            found = f"{after / 2**20:.1f} GiB"
        if watch.seen:
            found, watch.seen = f"forbidden: {watch.seen}", []
        if found:
            outcomes["FINDING"] += 1
            findings.append(f"case {case} ({name}): {found}")
            if keep is not None:
                (keep / f"{target}-{seed}-{case}-{name}").write_bytes(content)
    return outcomes, findings


def _outcome(reader: Callable[[Path], str], path: Path) -> str:
    try:
        return reader(path)
    except DiffeoProbeError as error:
        if not error.what or error.exit_code not in {2, 3}:
            raise WrongError(f"an error without a message: {error!r}") from error
        if len(str(error)) > LONGEST_MESSAGE:
            raise WrongError(f"a message of {len(str(error))} characters") from error
        return f"refused: {error.code}"


def main() -> int:
    """Run a session as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", nargs="+", help=f"{', '.join(READERS)}; image=50 for fifty cases of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    faulthandler.enable()
    total = 0
    for words in options.targets:
        target, _, number = words.partition("=")
        cases = range(options.first, options.first + int(number or options.cases))
        # a crash leaves its case's name and file in this folder
        with tempfile.TemporaryDirectory(prefix=f"fuzz-{target}-") as folder:
            print(folder, flush=True)
            outcomes, findings = run(target, options.seed, cases, Path(folder).resolve(), options.keep)
        for finding in findings:
            print(finding)
        total += len(findings)
        peak = peak_kilobytes() / 2**20
        told = {"target": target, "outcomes": dict(sorted(outcomes.items())), "peak_gib": round(peak, 2)}
        print(json.dumps({**told, "findings": len(findings)}), flush=True)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
