"""Signatures: what each method is known for, in runs of minutes, mostly by metrics of updates."""

from __future__ import annotations

from dataclasses import replace

from awac_dist.experiments.comparison import FAN_IN, FEWER
from awac_dist.experiments.experiment import DATA, Experiment, Variant, cheaper

DEMONSTRATIONS = (  # alone; targets follow four times as fast as usual, or Q would need an hour
    "--clone.updates 0 --clone.episodes 0 --algorithm.critic.target_update_rate 0.02"
)
OFFLINE = f"{DEMONSTRATIONS} --online.env_steps 0 --online.warmup_steps 0 --evaluation.episodes 0"
RETURNS = {743.0: "returns of the data"}  # discounted, their mean over what is far from a cut
OWN_Q = {"actor/value_mean": "Q of the policy's own actions"}
TWO_LAYERS = "--algorithm.actor.hidden 256 256 --algorithm.critic.hidden 256 256"
MODEL = "--algorithm.behaviour.hidden 256 256"
THEIR_STD = "--algorithm.actor.log_std_min -5 --algorithm.actor.log_std_max 2"
AS_D3RLPY = (
    "--algorithm.actor.learning_rate 1e-4 --algorithm.critic.learning_rate 3e-4 "
    "--algorithm.behaviour.learning_rate 3e-4 --algorithm.divergence_updates 2500"
)
FROM_NOTHING = (
    "--data --offline.updates 0 --online.env_steps 100000 --evaluation.every_updates 10000"
)
OUT_OF_REACH = "the paper's bound: less than ten actions of one policy are from ten others of it"
RLPD = (  # without the help of a least of two
    "--offline.updates 6000 --algorithm.critic_batches 1 --algorithm.target_members 1"
)

OVERESTIMATION = Experiment(
    "overestimation",
    "SAC overrates its own actions offline, and so does Cal-QL, which stays above the returns and "
    "does not stop there; CQL underrates them",
    [
        Variant("sac", "sac", "--offline.updates 6000"),
        Variant("cql", "cql", "--algorithm.clone_updates 0"),
        Variant("cal_ql", "cal_ql"),
    ],
    {"small": f"{OFFLINE} --offline.updates 6000"},
    panels={**OWN_Q, "critic/value_mean": "Q of the data"},
    levels={"actor/value_mean": RETURNS, "critic/value_mean": RETURNS},
    wide=frozenset({"actor/value_mean", "critic/value_mean"}),
)
LAYER_NORM = Experiment(
    "layer-norm",
    "layer norm bounds Q off the data",
    [
        Variant("layer norm", "rlpd", RLPD),
        Variant("none", "rlpd", f"{RLPD} --algorithm.critic.layer_norm false"),
    ],
    {"small": OFFLINE},
    claim="(RLPD) without an offline penalty, layer norm keeps Q of unseen actions in bounds",
    panels=OWN_Q,
    levels={"actor/value_mean": RETURNS},
    wide=frozenset({"actor/value_mean"}),
)
EXPECTILE = Experiment(
    "expectile",
    "IQL's V is the mean of Q over the data's actions at 0.5, and rises towards its maximum",
    [Variant(f"{tau:g}", "iql", f"--algorithm.expectile {tau}") for tau in (0.5, 0.7, 0.9)],
    {"small": f"{OFFLINE} --offline.updates 5000"},
    panels={
        "actor/advantage_mean": "mean of Q - V: below 0 where V is above the mean",
        "actor/advantage_std": "its spread over the batch: above it some Q remain",
    },
    levels={"actor/advantage_mean": {0.0: "V is the mean"}},
)
BOUNDS = {0.05: OUT_OF_REACH, 0.3: "", 0.6: ""}
MMD = Experiment(
    "mmd",
    "BEAR holds the MMD of its policy from the data at a bound that can be reached; the paper's "
    "0.05 cannot",
    [
        Variant(f"{bound:g}", "bear", f"--algorithm.epsilon {bound}", note)
        for bound, note in BOUNDS.items()
    ],
    {"small": f"{OFFLINE} --algorithm.divergence_updates 500 --offline.updates 3000 "
     "--algorithm.penalty_weight_learning_rate 0.01"},
    panels={"actor/divergence": "MMD", "actor/penalty_weight": "weight alpha"},
    levels={"actor/divergence": {bound: f"{bound:g}" for bound in BOUNDS}},
    wide=frozenset({"actor/penalty_weight"}),
)  # fmt: skip
BEHAVIOUR = Experiment(
    "behaviour",
    "how well a behaviour model that is fitted to all data knows what is collected online",
    [Variant("brac", "brac", '--replay.mixture \'{"offline": 0.5, "online": 0.5}\'')],
    {"small": "--clone.updates 3000 --clone.episodes 20 --clone.initialize_actor true "
     "--algorithm.penalty_weight 3 --offline.updates 3000 --online.env_steps 4000 "
     "--evaluation.every_updates 3000 --evaluation.curve_episodes 3 --evaluation.episodes 10"},
    claim="(AWAC, Figure 2, plot 4) the log-likelihood of the behaviour model on online data falls",
    panels={
        "behaviour/log_prob_prior": "log b of prior actions",
        "behaviour/log_prob_online": "log b of collected actions",
    },
)  # fmt: skip
SWITCH = Experiment(
    "switch",
    "WSRL goes online without a dip where SAC of a pre-trained critic dips",
    [
        Variant("wsrl", "wsrl", "--online.warmup_steps 2500 --online.env_steps 5000"),
        Variant("no warm-up", "wsrl", "--online.warmup_steps 0", "SAC of the same critics"),
        Variant("sac, offline too", "sac", "", "goes on with the prior data"),
    ],
    {"small": "--clone.updates 0 --clone.episodes 0 --offline.updates 6000 "
     "--algorithm.critic.target_update_rate 0.02 --online.env_steps 3500 "
     "--evaluation.every_updates 250 --evaluation.curve_episodes 3 --evaluation.episodes 20"},
    claim="(WSRL) some thousand steps of the policy as it is bridge the switch without old data",
    tasks={"HalfCheetah-v5 half-trained": f"--data {DATA}/half-trained"},
)  # fmt: skip

PARITY = Experiment(
    "parity",
    "our methods beside d3rlpy's offline and stable-baselines3's SAC online, settings alike",
    [
        Variant("iql", "iql", THEIR_STD, "deviations in their bounds"),
        Variant(
            "iql, fan-in",
            "iql",
            f"{THEIR_STD} {FAN_IN} --algorithm.value.first_weights fan_in",
            "begins with weights as theirs",
        ),
        Variant("iql, d3rlpy", "iql", peer=True),
        Variant("cql", "cql", f"{TWO_LAYERS} --algorithm.clone_updates 0"),
        Variant(
            "cql, fan-in",
            "cql",
            f"{TWO_LAYERS} --algorithm.clone_updates 0 {FAN_IN}",
            "begins with weights as theirs",
        ),
        Variant("cql, d3rlpy", "cql", peer=True),
        Variant("td3_bc", "td3_bc", "--offline.updates 2500", "an update is two of the critics"),
        Variant("td3_bc, fan-in", "td3_bc", f"--offline.updates 2500 {FAN_IN}", "the same"),
        Variant("td3_bc, d3rlpy", "td3_bc", peer=True),
        Variant("bcq", "bcq", f"{TWO_LAYERS} {MODEL} --algorithm.candidates 10"),
        Variant("bcq, d3rlpy", "bcq", peer=True),
        Variant("bear", "bear", f"{TWO_LAYERS} {MODEL} {AS_D3RLPY}"),
        Variant("bear, d3rlpy", "bear", note="mended, see peers.py", peer=True),
        Variant("sac", "sac", f"{FROM_NOTHING} --replay.normalize_observations false"),
        Variant("sac, stable-baselines3", "sac", peer=True),
        Variant(
            "crossq",
            "crossq",
            f"{FROM_NOTHING} --evaluation.every_updates 3333",
            "an update is three of the critics",
            small=FEWER["crossq"],
        ),
    ],
    reading="Where ours learn less (IQL, CQL, TD3+BC) they begin otherwise: with small outputs, as "
    "AWAC's authors have it, theirs as PyTorch's layers do, and so do the lines called fan-in. "
    "d3rlpy's CQL backs up the mean action, ours a sampled one, as its authors'. d3rlpy's BEAR, "
    "mended or not, climbs Q of one action and has no slow copy of the policy; ours takes ten and "
    "has one, as the paper's code. Whether that is all that lies between the two is not known. "
    "stable-baselines3's SAC differs from ours by PyTorch's first weights, 100 uniform first steps "
    "and -20 for the least log std, where ours has -5; which of them holds it back, one seed of it "
    "at a slow gait, was not tried.",
    budgets={"small": "--clone.updates 0 --clone.episodes 0 --learner.batch_size 256 "
     "--offline.updates 5000 --online.env_steps 0 --evaluation.every_updates 1000 "
     "--evaluation.curve_episodes 5 --evaluation.episodes 40"},
    groups={
        "iql": ("iql", "iql, fan-in", "iql, d3rlpy"),
        "td3_bc": ("td3_bc", "td3_bc, fan-in", "td3_bc, d3rlpy"),
        "bcq": ("bcq", "bcq, d3rlpy"),
        "cql": ("cql", "cql, fan-in", "cql, d3rlpy"),
        "bear": ("bear", "bear, d3rlpy"),
        "sac, crossq": ("sac", "sac, stable-baselines3", "crossq"),
    },
)  # fmt: skip
SCRATCH = replace(
    PARITY,
    groups={},
    reading="SimbaV2's critic, the other one of its kind, was not run here: in the csv that its "
    "authors publish (DAVIAN-Robotics/SimbaV2 at 86899c2) CrossQ has 8,112 after 100,000 steps of "
    "HalfCheetah-v4, SimbaV2 7,328 with twice as many updates.",
    name="scratch",
    of=PARITY.name,
    shows="SAC and normalised critics (CrossQ) from nothing, 100,000 steps; policies as experts",
    variants=PARITY.variants[-3:],
    tasks={"HalfCheetah-v5": "", "Walker2d-v5": "", "Ant-v5": ""},
    seeds=1,
    reference="sac",
)

CHEAPER = {  # method -> words, for two cores
    "wsrl": "--algorithm.critic.members 2 --algorithm.num_actions 2 --algorithm.backup_actions 2",
    "cql": "--algorithm.num_actions 4",
    "cal_ql": "--algorithm.num_actions 4 --algorithm.backup_actions 4",
    "rlpd": "--algorithm.critic.members 4",
}
SIGNATURES = {
    its.name: replace(its, variants=cheaper(its.variants, CHEAPER))
    for its in (OVERESTIMATION, LAYER_NORM, EXPECTILE, MMD, BEHAVIOUR, SWITCH)
}
