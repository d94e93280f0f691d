"""The experiments that there are."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from awac_dist.algorithms import METHODS
from awac_dist.errors import InputError, did_you_mean, reason
from awac_dist.experiments.experiment import PRESETS, Experiment, Variant

CLONE = "--clone.updates 3000 --clone.episodes 100"
CURVE = "--evaluation.every_updates 1000 --evaluation.curve_episodes 5 --evaluation.episodes 40"
MAIN_JOB = f"{CLONE} --offline.updates 15000 --online.env_steps 20000 {CURVE}"
FEWER = {  # method -> words where the budget is small: 20 batches an update are 20 times as dear
    "rlpd": "--algorithm.critic_batches 4",
}
MORE = (  # further ways to use a method of the registry
    Variant("sac, no data", "sac", "--data --clone.updates 0 --offline.updates 0", "from scratch"),
    Variant("sac, cloned", "sac", note="SACfD-pretrain: starts as the clone, with offline updates"),
)


def own_phases(method: str) -> Variant:
    """A method in the comparison, with those of its phases that its preset has."""
    try:
        preset = yaml.safe_load((PRESETS / f"{method}.yaml").read_text())
    except OSError as error:
        raise InputError(f"{PRESETS}/{method}.yaml: {reason(error)}: needs a checkout") from error
    words, notes = [], []
    for part, option, note in (
        ("offline", "updates", "by its definition no offline phase"),
        ("online", "env_steps", "by its definition no online phase"),
    ):
        if preset.get(part, {}).get(option) == 0:
            words.append(f"--{part}.{option} 0")
            notes.append(note)
    if preset.get("clone", {}).get("updates") == 0:
        words.append("--clone.initialize_actor false")
        notes.append("does not start as the clone")
    return Variant(method, method, " ".join(words), "; ".join(notes), FEWER.get(method, ""))


def methods() -> Experiment:
    """Issue 18's table: every method on the main job."""
    return Experiment(
        "methods",
        "every method on 15 demonstrations and 100 trajectories of the run's own clone",
        [*map(own_phases, METHODS), *MORE],
        {
            "small": MAIN_JOB,
            "medium": f"{MAIN_JOB} --online.env_steps 100000 --evaluation.every_updates 2500",
            "paper": f"{MAIN_JOB} --offline.updates 25000 --online.env_steps 500000 "
            "--evaluation.every_updates 10000",
        },
        claim="AWAC learns from 15 demonstrations and 100 trajectories of a clone offline, goes on "
        "improving online without a dip, and is ahead of all that it is compared with",
    )


EXPERIMENTS: dict[str, Callable[[], Experiment]] = {"methods": methods}


def experiment(name: str) -> Experiment:
    """The experiment of a name; an InputError names the nearest where there is none."""
    if name not in EXPERIMENTS:
        hint = did_you_mean(name, EXPERIMENTS, f"there are {', '.join(EXPERIMENTS)}")
        raise InputError(f"no experiment {name}; {hint}")
    return EXPERIMENTS[name]()
