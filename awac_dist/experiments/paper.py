"""The paper's figures and tables (Nair et al., 2020), and what came after it, as experiments.

What shares its task and budget with `methods` shows runs of that one: nothing is run twice.
"""

from __future__ import annotations

from dataclasses import replace

from awac_dist.experiments.comparison import BEAR, FEWER, own_phases
from awac_dist.experiments.experiment import Experiment, Variant, cheaper
from awac_dist.experiments.hand import CURVE, SUCCESS, dexterous, hand, normaliser
from awac_dist.experiments.priors import DATA

OTHER_LOCOMOTION = {
    "Walker2d-v5": f"--data {DATA}/walker2d/demonstrations.parquet",
    "awac_dist/AntPaper-v0": f"--data {DATA}/ant/demonstrations.parquet",
}
AS_PAPERS = {  # clones that stop where the paper's are, at 2,040 and 687: whole ones are experts
    "Walker2d-v5": "--clone.updates 500",
    "awac_dist/AntPaper-v0": "--clone.updates 50",
}
PUSH = (
    f"--data {DATA}/push --clone.updates 0 --clone.initialize_actor false "
    '--replay.goals \'{"rollout": 0.2, "future": 0.3, "environment": 0.5}\''
)
QUALITIES = {
    "random": f"{DATA}/random",
    "medium": f"{DATA}/medium",
    "medium-replay": f"{DATA}/half-trained",
    "medium-expert": f"{DATA}/medium {DATA}/expert",
    "expert": f"{DATA}/expert",
}


def part_of(methods: Experiment, name: str, shows: str, labels: str, claim: str) -> Experiment:
    """Some of the runs of `methods`, compared with AWAC; labels are set apart by semicolons."""
    its = [each for each in methods.variants if each.label in labels.split("; ")]
    return replace(methods, name=name, of=methods.name, shows=shows, variants=its, claim=claim)


def locomotion(methods: Experiment) -> Experiment:
    """Figure 5."""
    its = part_of(
        methods,
        "locomotion",
        "the paper's methods on HalfCheetah, and from clones as weak as its on Walker2d and Ant",
        "awac; abm; awr; bear; brac; dapg; marwil; sac, cloned; sac, no data; sac_bc",
        "(Figure 5) AWAC is best or tied everywhere; SAC+BC and BRAC tie it on HalfCheetah, ABM on "
        "Ant; BEAR starts best on Ant and Walker2d and stays flat; the SAC family dips",
    )
    early = {task: f"{words} {AS_PAPERS[task]}" for task, words in OTHER_LOCOMOTION.items()}
    return replace(its, tasks=dict(methods.tasks) | early)


def challenges(methods: Experiment) -> Experiment:
    """Figure 2, but for its fourth plot, which `behaviour` shows."""
    groups = {
        "on-policy learning is slow": ("awac", "dapg", "awr", "marwil"),
        "off-policy learning does not gain from a start": (
            "sac, no data",
            "sac",
            "sac, from a clone",
        ),
        "constraints that hold the policy hold it back": ("bear", "bear, loose"),
    }
    its = part_of(
        methods,
        "challenges",
        "what stands in the way of learning offline and going on online",
        "; ".join(label for labels in groups.values() for label in labels),
        "(Figure 2) DAPG, AWR and MARWIL are an order of magnitude slower than AWAC; SAC does not "
        "gain from prior data, and dips when it starts from a clone; BEAR hardly improves online, "
        "and dips when its constraint is loose",
    )
    return replace(its, groups=groups)


def extra_baselines(methods: Experiment) -> Experiment:
    """Figure 7."""
    return part_of(
        methods,
        "extra-baselines",
        "AWAC beside CQL and AlgaeDICE",
        "awac; cql; algae_dice",
        "(Figure 7) neither goes on online as fast as AWAC",
    )


def successors(methods: Experiment) -> Experiment:
    """What came after the paper."""
    return part_of(
        methods,
        "successors",
        "AWAC beside what came after it",
        "awac; iql; cal_ql; rlpd; wsrl; sope; ibrl",
        "",
    )


def pushing(methods: Experiment) -> Experiment:
    """Figure 4."""
    return Experiment(
        "pushing",
        "pushing from 500 random trajectories, with hindsight",
        cheaper(
            [
                Variant("awac", "awac", "--algorithm.actor.state_dependent_std true"),
                Variant("awac, released", "awac", "--learner.batch_size 256",
                        "configs/release-push.yaml, batches of 256", preset="release-push"),
                *(Variant(name, name) for name in ("abm", "brac", "sac", "sac_bc")),
            ],
            FEWER,
        ),
        {
            "small": f"{PUSH} --offline.updates 5000 --online.env_steps 20000 "
            f"--evaluation.every_updates 2500 {CURVE}",
            "medium": f"{PUSH} --offline.updates 25000 --online.env_steps 100000 "
            f"--evaluation.every_updates 5000 {CURVE}",
            "paper": f"{PUSH} --offline.updates 25000 --online.env_steps 500000 "
            f"--online.updates_per_step 4 --evaluation.every_updates 20000 {CURVE}",
        },
        claim="(Figure 4) many methods start equal, AWAC learns fastest, and some do not learn",
        tasks={"awac_dist/SawyerPush-v0": ""},
        panels=SUCCESS | {"return": "return: minus the distances of an episode"},
        reference="awac",
    )  # fmt: skip


def data_quality(methods: Experiment) -> Experiment:
    """Figure 8."""
    told = "--clone.updates 0 --clone.episodes 0 --clone.initialize_actor false"
    curve = "--evaluation.curve_episodes 5 --evaluation.episodes 40"
    return Experiment(
        "data-quality",
        "AWAC and BEAR from data of five qualities: stand-ins for D4RL's, made here",
        cheaper(
            [
                Variant("awac", "awac"),
                Variant("bear", "bear", BEAR, "goes online",
                        small="--algorithm.divergence_updates 4000"),
            ],
            FEWER,
        ),
        {
            "small": f"{told} --offline.updates 5000 --online.env_steps 5000 "
            f"--evaluation.every_updates 1000 {curve}",
            "medium": f"{told} --offline.updates 25000 --online.env_steps 50000 "
            f"--evaluation.every_updates 5000 {curve}",
            "paper": f"{told} --offline.updates 25000 --online.env_steps 500000 "
            f"--evaluation.every_updates 10000 {curve}",
        },
        claim="(Figure 8) AWAC's policy after fine-tuning is best or tied in almost all settings, "
        "clearly ahead in 4 of the 6 of random and medium data",
        tasks={f"HalfCheetah-v5 {name}": f"--data {its}" for name, its in QUALITIES.items()},
        reference="awac",
    )  # fmt: skip


def hyperparameters(methods: Experiment) -> Experiment:
    """Table 2, as configs."""
    return Experiment(
        "hyperparameters",
        "the paper's settings (Table 2), those of its code, and our default, in one budget",
        [
            own_phases("awac"),
            Variant("paper", "awac", "--learner.batch_size 256 --offline.batch_size 256",
                    "configs/paper-locomotion.yaml, batches of 256", preset="paper-locomotion"),
            Variant("released", "awac", "--learner.batch_size 256 --offline.batch_size 128",
                    "configs/release-locomotion.yaml, batches of 256", preset="release-locomotion"),
        ],
        methods.budgets,
        claim="(Table 2) temperature 1 on locomotion; four layers of 256",
        of=methods.name,
        reference="awac",
    )  # fmt: skip


def prior_data(methods: Experiment) -> Experiment:
    """Table 3."""
    never = "--online.env_steps 0 --offline.updates 3000 --evaluation.episodes 40"
    return Experiment(
        "prior-data",
        "a clone of the demonstrations (clone), and one of them and its trajectories (offline)",
        [Variant("bc", "bc")],
        {"small": f"--clone.updates 3000 --clone.episodes 100 {never}"},
        claim="(Table 3) of experts with returns 9,962, 5,062 and 5,207 the clones reach 2,507, "
        "2,040 and 687, then 4,524, 1,701 and 1,704 (quoted from memory, moderate confidence)",
        tasks=dict(methods.tasks) | OTHER_LOCOMOTION,
    )


PAPER = {
    "locomotion": locomotion,
    "challenges": challenges,
    "dexterous": dexterous,
    "hand": hand,
    "pushing": pushing,
    "extra-baselines": extra_baselines,
    "data-quality": data_quality,
    "normaliser": normaliser,
    "hyperparameters": hyperparameters,
    "prior-data": prior_data,
    "successors": successors,
}
