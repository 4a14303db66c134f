"""Runs of the command line in processes of their own, forked from one that has imported everything already.

Importing torch takes seconds, and these tests start dozens of runs.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

from resnet_diffeo_probe.analysis.result.schema import read_result

SERVER = """
import json, os, signal, sys
import diffeo_probe.main, resnet_diffeo_probe.report, resnet_diffeo_probe.analysis.analyze, torchvision
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    os.setsid()
    signal.alarm(asked["seconds"])  # a run that hangs ends by itself
    screen = os.open(asked["screen"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(screen, 1)
    os.dup2(screen, 2)
    sys.stdin = open(0)
    sys.argv = ["diffeo-probe", *asked["words"]]
    if asked["before"]:
        exec(asked["before"])
    diffeo_probe.main.main()
"""


class Server:
    """The process that runs are forked from; a context manager."""

    def __enter__(self):
        # one thread of linear algebra: libraries that started threads could not be forked
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def start(self, words, screen, *, before="", seconds=600):
        """Start `diffeo-probe WORDS` with its output in a file, after some statements."""
        asked = {
            "words": [str(word) for word in words],
            "screen": str(screen),
            "before": before,
            "seconds": seconds,
        }
        return Run(self, int(self.ask(asked)), screen)

    def ask(self, what):
        """Send a line and return the answer."""
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the server has ended"
        return answer


class Run:
    """A run in a process group of its own, as in a terminal."""

    def __init__(self, server, pid, screen):
        self.pid, self._server, self._screen = pid, server, screen

    def wait(self):
        """Return the exit code; −9 after a SIGKILL."""
        return int(self._server.ask({"wait": self.pid}))

    def interrupt(self):
        """Press Ctrl-C: all processes of the group get the signal."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self):
        """End all of its processes at once."""
        os.killpg(self.pid, signal.SIGKILL)

    @property
    def screen(self):
        """What it printed so far."""
        return self._screen.read_text(encoding="utf-8")


# After so many calls a run waits for as long as a file is there. How much of a run is over when a test acts is then the
# same on a loaded machine as on an idle one, and it does not end before it is killed.
_HELD = """
import pathlib, time
from resnet_diffeo_probe.analysis.store.store import Store
keep, kept = Store.{method}, 0
def held(*given):
    global kept
    keep(*given)
    kept += 1
    while kept >= {count} and pathlib.Path({gate!r}).exists():
        time.sleep(0.01)
Store.{method} = held
"""


def held(method, count, gate):
    """The statements that hold a run after so many calls of a method of its store while a file is there."""
    return f"exec({_HELD.format(method=method, count=count, gate=str(gate))!r}, globals())"


def stored(folder, query):
    """The rows that a query finds in the store of a folder; none where it has no store, or one without tables yet."""
    path = folder / "measurements.sqlite"
    if not path.exists():
        return []
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:  # its tables are about to be made
        return []
    finally:
        connection.close()


def committed(folder):
    """How many pairs of unit and input are committed."""
    return sum(count for (count,) in stored(folder, "SELECT count(*) FROM pairs"))


def canonical(path):
    """The text of a result without what two runs that measure the same do not have in common.

    That is when, how long, and how they were called: `started`, `command`, and `seconds` wherever it stands. All else
    is equal to the byte.
    """

    def without_times(node):
        if isinstance(node, list):
            return [without_times(child) for child in node]
        if isinstance(node, dict):
            kept = {k: v for k, v in node.items() if k not in ("started", "seconds", "command")}
            return {key: without_times(child) for key, child in kept.items()}
        return node

    return json.dumps(without_times(read_result(path)), indent=1)


def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)
