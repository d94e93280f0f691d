"""Prior data that experiments make for themselves, once: commands of `awac-dist`.

In them {policies} stands for a folder of the user's with demonstrators and demonstrations that are
not ours to give away, {data} for where all of this lies.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from awac_dist.errors import InputError
from awac_dist.experiments.experiment import ALONE, DATA
from awac_dist.experiments.running import LOG, beside, last_line

POLICIES = "{policies}"
CLONE = "--inline --clone-updates 3000"
PRIORS = {  # name of its folder -> the command, but for the folder
    "walker2d": f"data recipe walker2d --policy {POLICIES}/walker2d.npz {CLONE}",
    "ant": f"data recipe ant --policy {POLICIES}/ant-trpo.npz --min-return 4000 {CLONE}",
    "pen": f"data recipe pen --policy {POLICIES}/pen-dapg.npz {CLONE}",
    "door": f"data recipe door --policy {POLICIES}/door-dapg.npz {CLONE}",
    "door-human": f"data recipe door --demonstrations {POLICIES}/door-v0_demos.pickle {CLONE}",
    "relocate": f"data recipe relocate --policy {POLICIES}/relocate-dapg.npz {CLONE} "
    "--seed 1",  # by which the target lies on both sides of the object
    "push": "data recipe push --inline",
    "random": "data collect --env HalfCheetah-v5 --policy random --episodes 100",
    "half-trained": "launch --config sac --data --offline.updates 0 "
    f"--online.env_steps 100000 --evaluation.every_updates 20000 {ALONE}",
    "medium": f"data collect --env HalfCheetah-v5 --policy {DATA}/half-trained --episodes 100",
    "expert": f"data collect --env HalfCheetah-v5 --policy {POLICIES}/halfcheetah-own.npz "
    "--episodes 100",
}


def in_order(names: Iterable[str]) -> Iterator[str]:
    """Names of priors, each after those that its command needs."""
    for name in sorted(names):
        yield from in_order(re.findall(rf"{DATA}/([\w-]+)", PRIORS[name]))
        yield name


def make_priors(
    names: Iterable[str], out: Path, policies: str | None, say: Callable[[str], object]
) -> None:
    """Make those that are not there yet, in `out/data`.

    Args:
        names: Of the priors.
        out: Folder of the runs.
        policies: Folder of the user's with what demonstrates.
        say: Is told what is made.

    Raises:
        InputError: If one needs the user's folder and none is given, or cannot be made.
    """
    for name in in_order(names):
        folder = out / "data" / name
        if folder.exists():
            continue
        if POLICIES in PRIORS[name] and policies is None:
            needed = re.findall(rf"{POLICIES}/(\S+)", PRIORS[name])
            raise InputError(f"prior data {name} needs --policies FOLDER with {' '.join(needed)}")
        say(f"makes prior data {name}, in {folder}")
        _make(PRIORS[name], folder, out, str(Path(policies or "").resolve()))


def _make(words: str, folder: Path, out: Path, policies: str) -> None:
    begun = beside(folder, ".part")  # of one that was stopped, too
    shutil.rmtree(begun, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    told = shlex.split(words.replace(DATA, str(out / "data")).replace(POLICIES, policies))
    told += ["--run-dir" if told[0] == "launch" else "--out", str(begun)]
    log = beside(folder, LOG)
    with log.open("wb") as output:
        command = [sys.executable, "-m", "awac_dist.cli.main", *told]
        code = subprocess.run(command, stdout=output, stderr=output).returncode
    if code:
        raise InputError(f"prior data {folder.name} cannot be made: {last_line(log)} ({log})")
    begun.rename(folder)
