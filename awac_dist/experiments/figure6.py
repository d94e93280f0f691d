"""Figure 6 of the paper (Nair et al., 2020), for all methods: what each is composed of."""

from __future__ import annotations

from typing import NamedTuple


class Composition(NamedTuple):
    """The four columns of the figure, in a few words each."""

    critic: str  # whose value is evaluated
    objective: str  # what the policy is fitted to
    behaviour: str  # the model of who made the data
    constraint: str  # what keeps the policy near the data


CLIMBS, WEIGHTED = "climbs Q", "weighted likelihood of the data"
OF_PI, OF_DATA = "Q of pi", "V of the data"
FIGURE_6 = {  # method -> its row
    "abm": Composition(OF_PI, "weighted likelihood of the prior's samples", "prior of good actions",
                       "KL to the prior"),
    "algae_dice": Composition("dual function of pi", "max-min with the critic", "none",
                             "f-divergence of visits"),
    "awac": Composition(OF_PI, WEIGHTED, "none", "implicit"),
    "awr": Composition(f"{OF_DATA}, TD(lambda)", WEIGHTED, "none", "implicit"),
    "bc": Composition("none", "likelihood of the data", "is one", "implicit"),
    "bcq": Composition("Q of the best of N", f"a perturbation that {CLIMBS}", "VAE", "support"),
    "bear": Composition("Q of pi, best of N", CLIMBS, "VAE", "MMD"),
    "brac": Composition("Q of pi, penalised", CLIMBS, "Gaussian", "divergence"),
    "cal_ql": Composition("Q of pi, low off the data, above its returns", CLIMBS, "none",
                          "conservative Q"),
    "cql": Composition("Q of pi, low off the data", CLIMBS, "none", "conservative Q"),
    "crossq": Composition("Q of pi, batch-normalised, no target", CLIMBS, "none", "none"),
    "dapg": Composition("V of pi, GAE", "natural policy gradient, and likelihood of demonstrations",
                        "none", "KL of a step"),
    "ibrl": Composition("Q of the better of pi and clone", CLIMBS, "frozen clone",
                        "the clone acts where it is better"),
    "iql": Composition("Q of the data's better actions", WEIGHTED, "none", "implicit"),
    "marwil": Composition(f"{OF_DATA}, returns", WEIGHTED, "none", "implicit"),
    "mpo": Composition(OF_PI, "weighted likelihood of its own samples", "none",
                       "KL to the policy before"),
    "rlpd": Composition("Q of pi, layer-normed ensemble", CLIMBS, "none", "half of each batch"),
    "sac": Composition(OF_PI, CLIMBS, "none", "none"),
    "sac_bc": Composition(OF_PI, f"{CLIMBS}, and the data's likelihood", "none", "likelihood"),
    "sope": Composition("Q of pi, layer-normed, more of it in pauses", CLIMBS, "none",
                        "half of each batch"),
    "td3": Composition("Q of pi, smoothed", CLIMBS, "none", "none"),
    "td3_bc": Composition("Q of pi, smoothed", f"{CLIMBS}, near the data's actions", "none",
                          "squared error"),
    "wsrl": Composition("Q of pi, layer-normed ensemble", CLIMBS, "none",
                        "warm-up; no data is kept"),
}  # fmt: skip
