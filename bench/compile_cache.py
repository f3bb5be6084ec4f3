"""What kills and damage cost the cache of compiled kernels: processes race, some are killed.

    python bench/compile_cache.py --processes 64 --rounds 200

In each round all processes want one kernel that is not there, or, in every second round, whose
object has been truncated or has a bit flipped. A quarter of them are killed (SIGKILL) at random
moments. Every other process must load a kernel that answers right: a wrong answer, an error, a
warning, a crash or a wait of more than a minute is a failure. After the round the object must be
valid.

Exits with 1 if anything failed. The processes are forks of this one, which has imported PyTorch
and uses one thread, so that a process costs milliseconds.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import torch

from gated.engines.cpu import build, cache
from gated.engines.cpu.machine import instruction_set
from gated.engines.cpu.toolchain import Compiler, search
from gated.errors import EngineError

SECONDS = 60  # that a process may wait
LATEST = 0.2  # seconds after the start at which the last one is killed: twice what a build takes


def main() -> int:
    """Run the rounds and print what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if reason := build.unavailable():
        raise EngineError(reason)
    torch.set_num_threads(1)
    draw = random.Random(given.seed)
    began, counts = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "kernels"
        os.environ["GATED_CACHE"] = str(home)
        for number in range(given.rounds):
            answer = number // 2
            text = f'extern "C" int answer() {{ return {answer}; }}\n'
            made = home / f"{key(text)}.so"
            if made.exists():
                damage(made, draw)
                counts["objects damaged"] += 1
            counts += race(text, answer, given.processes, draw)
            counts["failures"] += not cache.valid(made)
            sys.stdout.write(f"\r{number + 1} rounds, {counts['failures']} failures ")
            sys.stdout.flush()
        counts["builders killed"] += len(list(home.glob("work-*")))
    print(
        f"\n{given.processes} processes x {given.rounds} rounds in {time.monotonic() - began:.0f} s"
    )
    for name, count in sorted({"failures": 0, **counts}.items()):
        print(f"  {name:28}{count:8}")
    return bool(counts["failures"])


def key(text: str) -> str:
    """The name of the kernel's object."""
    found = search()
    assert isinstance(found, Compiler)
    return build.digest(text, found, instruction_set())


def race(text: str, answer: int, processes: int, draw: random.Random) -> Counter[str]:
    """Let processes want one kernel at once, kill some; what became of them."""
    waiting, signalled = os.pipe()
    children = [start(text, answer, waiting, signalled) for _ in range(processes)]
    os.close(waiting)
    os.close(signalled)  # now they start
    doomed = draw.sample(children, processes // 4)
    began = time.monotonic()
    for moment, child in sorted((draw.uniform(0, LATEST), child) for child in doomed):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        os.kill(child, signal.SIGKILL)  # not waited for yet, so the number is still its own
    counts = Counter[str]()
    for child in children:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            counts["loaded"] += 1
        elif code == -signal.SIGKILL and child in doomed:
            counts["killed"] += 1
        else:
            counts["failures"] += 1
            counts[f"failures with exit code {code}"] += 1
    return counts


def start(text: str, answer: int, waiting: int, signalled: int) -> int:
    """A new process that wants the kernel as soon as the pipe is closed.

    It ends with 0 if it got the right answer, 1 a wrong one, 2 an error or a warning.
    """
    child = os.fork()
    if child:
        return child
    code = 2
    try:
        signal.alarm(SECONDS)
        os.close(signalled)
        os.read(waiting, 1)
        warnings.simplefilter("error")
        code = int(build.library(text).answer() != answer)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def damage(path: Path, draw: random.Random) -> None:
    """Truncate a file, or flip one of its bits."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content))
    if draw.random() < 0.5:
        del content[place:]
    else:
        content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
