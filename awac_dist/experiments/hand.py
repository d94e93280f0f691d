"""The dexterous hand of the paper with binary rewards: its Figure 3 and Table 1."""

from __future__ import annotations

from dataclasses import replace

from awac_dist.experiments.comparison import DAPG, FAN_IN, FEWER, own_phases
from awac_dist.experiments.experiment import Budget, Experiment, Variant, cheaper
from awac_dist.experiments.priors import DATA

HAND = {
    "awac_dist/PenBinary-v0": f"--data {DATA}/pen/demonstrations.parquet",
    "awac_dist/DoorBinary-v0": f"--data {DATA}/door/demonstrations.parquet",
}
RELOCATE = {"awac_dist/RelocateBinary-v0": f"--data {DATA}/relocate/demonstrations.parquet"}
HUMAN = {"awac_dist/DoorBinary-v0 human": f"--data {DATA}/door-human/demonstrations.parquet"}
CURVE = "--evaluation.curve_episodes 10 --evaluation.episodes 40"
BUDGETS: dict[Budget, str] = {
    "small": f"--clone.updates 3000 --clone.episodes 100 --offline.updates 3000 "
    f"--online.env_steps 5000 --evaluation.every_updates 1000 {CURVE}",
    "medium": f"--clone.updates 10000 --clone.episodes 500 --offline.updates 25000 "
    f"--online.env_steps 120000 --evaluation.every_updates 5000 {CURVE}",
    "paper": f"--clone.updates 10000 --clone.episodes 500 --offline.updates 25000 "
    f"--online.env_steps 500000 --evaluation.every_updates 10000 --learner.batch_size 1024 "
    f"{CURVE}",
}
SUCCESS = {"success": "share of successes at the last step"}
MAX_Q = "--algorithm.max_q 0"  # rewards are -1 and 0
IBRL = (  # rewards of 0 and 1 as its authors have them, fewer and smaller networks than theirs
    f"--offline.updates 0 --replay.reward_shift 1 {FAN_IN} --algorithm.critic.members 3 "
    f"--algorithm.critic_batches 2 {FEWER['ibrl']}"
)
SOFT = "--algorithm.value soft --algorithm.num_value_samples 10"


def dexterous(methods: Experiment) -> Experiment:
    """Figure 3."""
    return Experiment(
        "dexterous",
        "the hand with binary rewards: pen and door, from demonstrations of trained policies",
        cheaper(
            [
                Variant("awac", "awac", MAX_Q),
                Variant("awac, Z(s)", "awac", f"{MAX_Q} {SOFT}", "divided by Z(s), of 10 samples"),
                Variant("bc", "bc"),
                *map(own_phases, ("abm", "awr", "brac", "iql", "sac_bc")),
                Variant("sac, cloned", "sac", note="starts as the clone"),
                Variant("dapg", "dapg", DAPG, "demonstrations alone; rounds of 4,000 steps"),
                Variant("ibrl", "ibrl", IBRL, "rewards of 0 and 1, three critics of 3 x 256"),
                replace(own_phases("rlpd"), small="--online.warmup_steps 1000"),
            ],
            FEWER,
        ),
        BUDGETS,
        claim="(Figure 3) AWAC solves pen in 120,000 steps; the others make progress on pen only, "
        "and AWAC alone solves door and relocate",
        tasks=HAND,
        panels=SUCCESS,
        reference="awac",
    )


def hand(methods: Experiment) -> Experiment:
    """The paper's door: human demonstrations."""
    its = dexterous(methods)
    return replace(
        its,
        name="hand",
        of="dexterous",
        shows="the door from 25 human demonstrations, of which 6 open it, and relocate",
        variants=[each for each in its.variants if each.label in ("awac", "ibrl", "rlpd")],
        tasks=HUMAN | RELOCATE,
        claim="(Figure 3) AWAC solves door in 300,000 steps and relocate in 5 million",
    )


def normaliser(methods: Experiment) -> Experiment:
    """Table 1."""
    its = dexterous(methods)
    return replace(
        its,
        name="normaliser",
        of=its.name,
        shows="AWAC's weights divided by Z(s), and not",
        variants=[each for each in its.variants if each.method == "awac"],
        claim="(Table 1) without Z(s) 98 % on pen, 95 % on door and 54 % on relocate, with it 84, "
        "0 and 0 (quoted from memory, moderate confidence)",
    )
