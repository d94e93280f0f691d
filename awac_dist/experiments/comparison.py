"""Every method on the main job, as far as its definition lets it."""

from __future__ import annotations

from functools import cache

import yaml

from awac_dist.algorithms import METHODS
from awac_dist.cli.presets import presets
from awac_dist.experiments.experiment import Experiment, Variant, cheaper

CLONE = "--clone.updates 3000 --clone.episodes 100"
CURVE = "--evaluation.every_updates 1000 --evaluation.curve_episodes 5 --evaluation.episodes 40"
MAIN_JOB = f"{CLONE} --offline.updates 15000 --online.env_steps 20000 {CURVE}"
TWO_LAYERS = "--algorithm.actor.hidden 256 256 --algorithm.critic.hidden 256 256"
NARROW = f"{TWO_LAYERS} --algorithm.behaviour.hidden 256 256"
FEW_ACTIONS = "--algorithm.num_actions 2 --algorithm.backup_actions 2"
FAN_IN = "--algorithm.actor.first_weights fan_in --algorithm.critic.first_weights fan_in"
FEWER = {  # method -> words where the budget is small, of what would take many times as long
    "abm": "--algorithm.num_samples 10",
    "bcq": NARROW,
    "bear": f"{NARROW} --algorithm.divergence_updates 12000",
    "rlpd": "--algorithm.critic_batches 4",
    "cal_ql": FEW_ACTIONS,
    "cql": f"--algorithm.num_actions 2 {TWO_LAYERS}",
    "crossq": "--algorithm.critic.hidden 256 256",
    "ibrl": "--algorithm.actor.hidden 256 256 256 --algorithm.critic.hidden 256 256 256",
    "sope": "--online.pause_updates 15000 --online.pause_patience 5000",
    "wsrl": f"--algorithm.critic.members 4 {FEW_ACTIONS}",
}
BEAR = (  # the AWAC paper's, whose first 20,000 updates of 25,000 are 12,000 of 15,000
    "--algorithm.bandwidth 50 --algorithm.epsilon 0.02 --algorithm.divergence_updates 20000 "
    "--learner.batch_size 256 --clone.initialize_actor false"
)
BRAC = "--algorithm.penalty_weight 3"  # which its preset has for demonstrations
DAPG = (
    "--offline.updates 0 --clone.episodes 0 --online.round_steps 4000 "
    "--online.updates_per_step 0.00025 --learner.batch_size 5000 --evaluation.every_updates 1"
)
OWN = {  # method -> words and a note, where the phases of its preset are not those to compare
    "bcq": ("--clone.initialize_actor false", "goes online, which its paper does not"),
    "bear": (BEAR, "as in AWAC's paper, goes online"),
    "brac": (BRAC, "its penalty weighs 3, as its preset has it for demonstrations"),
    "cql": (
        "--algorithm.clone_updates 5000 --clone.initialize_actor false",
        "clones for 5,000 updates; does not start as the clone",
    ),
    "dapg": (DAPG, "demonstrations alone; rounds of 4,000 steps"),
    "td3_bc": (
        "--clone.initialize_actor false --online.updates_per_step 0.5 "
        "--algorithm.online_bc_weight 0.5",
        "goes online, its pull to the data halved; an update is two of the critics",
    ),
}
MORE = (  # further ways to use a method of the registry
    Variant("sac, no data", "sac", "--data --clone.updates 0 --offline.updates 0", "from scratch"),
    Variant("sac, cloned", "sac", note="starts as the clone, with offline updates"),
    Variant("sac, from a clone", "sac", "--offline.updates 0", "SACfD-pretrain"),
    Variant(
        "bear, loose", "bear", f"{BEAR} --algorithm.online_epsilon 0.15", "epsilon 0.15 online"
    ),
    Variant("awac, fan-in", "awac", FAN_IN, "begins with weights as PyTorch's layers do"),
)


@cache
def own_phases(method: str) -> Variant:
    """A method in the comparison, with those of its phases that its preset has."""
    if method in OWN:
        return Variant(method, method, *OWN[method])
    preset = yaml.safe_load(presets()[method].read_text())
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
    return Variant(method, method, " ".join(words), "; ".join(notes))


def methods() -> Experiment:
    """Issue 18's table: every method on the main job."""
    return Experiment(
        "methods",
        "every method on 15 demonstrations and 100 trajectories of the run's own clone",
        cheaper([*map(own_phases, METHODS), *(v for v in MORE if v.method in METHODS)], FEWER),
        {
            "small": MAIN_JOB,
            "medium": f"{MAIN_JOB} --online.env_steps 100000 --evaluation.every_updates 2500",
            "paper": f"{MAIN_JOB} --offline.updates 25000 --online.env_steps 500000 "
            "--evaluation.every_updates 10000",
        },
        claim="(AWAC, Figure 5) it learns offline from 15 demonstrations and 100 trajectories of a "
        "clone, improves online without a dip, and is ahead of all that it is compared with",
    )
