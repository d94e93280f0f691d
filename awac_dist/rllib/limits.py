"""What a config refuses: what cannot work, and what RLlib or we would silently ignore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import pairwise
from numbers import Integral, Real
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.models.catalog import MODEL_DEFAULTS

from awac_dist.ranges import in_words
from awac_dist.rllib.learner import ONE_CALL, MethodLearner
from awac_dist.rllib.module import MethodModule

if TYPE_CHECKING:
    from awac_dist.rllib.config import OfflineToOnlineConfig


WRAP = "wrap the environment instead"
ONE_UPDATE = "each update draws its own batch: set train_batch_size_per_learner"
LIMITS: tuple[tuple[str, Any, str], ...] = (  # setting, its only legal value, what to do instead
    ("framework_str", "torch", "the methods are written in torch"),
    ("enable_rl_module_and_learner", True, "only the new API stack is supported"),
    ("enable_env_runner_and_connector_v2", True, "only the new API stack is supported"),
    ("is_multi_agent", False, "there is one agent"),
    ("policies_to_train", None, "there is one policy, which is trained"),
    ("input_", "sampler", "prior_data([...]) takes offline data, RLlib's Parquet too"),
    ("offline_evaluation_interval", None, "evaluation(...) works offline, too"),
    ("normalize_actions", False, "prior data holds actions in the environment's units"),
    ("clip_rewards", None, WRAP),
    ("observation_filter", "NoFilter", WRAP),
    ("compress_observations", False, "the replay keeps them as they are"),
    ("_env_to_module_connector", None, f"saved policies would not pass through it: {WRAP}"),
    ("_module_to_env_connector", None, f"saved policies would not pass through it: {WRAP}"),
    ("_learner_connector", None, "batches come from the replay and pass no connector"),
    ("add_default_connectors_to_learner_pipeline", True, "there is no such pipeline"),
    ("num_aggregator_actors_per_learner", 0, "batches come from the replay"),
    ("use_env_runner_state_server", False, "weights are sent to the env runners"),
    ("lr", None, "set actor_lr and critic_lr"),
    ("optimizer", {}, "set actor_lr, critic_lr and actor_weight_decay"),
    ("model", MODEL_DEFAULTS, "set rl_module(model_config={...})"),
    ("num_epochs", 1, ONE_UPDATE),
    ("minibatch_size", None, ONE_UPDATE),
    ("shuffle_batch_per_epoch", False, ONE_UPDATE),
    ("torch_compile_learner", False, "updates are not compiled"),
    ("torch_compile_worker", False, "RLlib's env runners do not compile"),
    ("torch_ddp_kwargs", {}, "learners average their gradients without DDP"),
    ("torch_skip_nan_gradients", False, "a number that is not finite ends the run"),
    ("_torch_grad_scaler_class", None, "learning is in float32"),
    ("_torch_lr_scheduler_classes", None, "give actor_lr and critic_lr RLlib's schedules"),
)
RLLIB_NAMES = {  # besides those of our own options, and where they are not the last part of a path
    "env": "environment(env)",
    "data": "prior_data",
    "learner.batch_size": "train_batch_size_per_learner",
    "learner.discount": "gamma",
    "rollout.fragment_steps": "rollout_fragment_length",
    "rollout.envs_per_worker": "num_envs_per_env_runner",
}
NUMBERS = {int: Integral, float: Real}  # NumPy's, too
OF_TRAINING = {"learning_rate": "lr", "weight_decay": "weight_decay"}  # of each network
SIZES = 'is no mapping of networks to their options, such as {"actor": {"hidden": [64, 64]}}'
SCHEDULE = "is neither a number nor a schedule [[0, 1e-3], [100_000, 1e-4]]"


def problems(config: OfflineToOnlineConfig) -> Iterator[tuple[str, str]]:
    """Yield (setting, what is wrong with it and the remedy)."""
    yield from _fixed(config)
    mistyped = list(_mistyped(config))
    yield from mistyped
    if mistyped:
        return
    yield from _contradictions(config)
    yield from _values(config)


def _fixed(config: OfflineToOnlineConfig) -> Iterator[tuple[str, str]]:
    for setting, value, remedy in LIMITS:
        found = getattr(config, setting)
        if found != value:
            shown = "custom settings" if isinstance(found, dict) else repr(found)
            yield setting.lstrip("_"), f"{shown} is not supported: {remedy}"


def _contradictions(config: OfflineToOnlineConfig) -> Iterator[tuple[str, str]]:
    if config.num_offline_updates and not config.prior_sources:
        count = f"{config.num_offline_updates:,} asked for"
        yield "num_offline_updates", f"{count} but prior_data is empty: give it, or set 0"
    repeats = config.batch_mode == "complete_episodes" and config.seed is not None
    if repeats and not config.in_evaluation:
        reason = "RLlib 2.60 starts every sample with a seed in the same state"
        yield "batch_mode", f"complete_episodes: {reason}: set truncate_episodes, or no seed"
    for network, sizes in config._model_config.items():
        for name in OF_TRAINING.keys() & sizes.keys():
            yield "model_config", f"{network}'s {name}: set {network}_{OF_TRAINING[name]}"
    learner, ours = config.learner_class, MethodLearner
    if not issubclass(learner, ours):
        yield "learner_class", f"{learner.__name__} is no MethodLearner"
    elif learner.compute_loss_for_module is not ours.compute_loss_for_module:
        yield "learner_class", f"its compute_loss_for_module would not be called: {ONE_CALL}"
    spec = config.rl_module_spec
    if not (isinstance(spec, RLModuleSpec) and issubclass(spec.module_class, MethodModule)):
        yield "rl_module_spec", "is not of a MethodModule"


def _values(config: OfflineToOnlineConfig) -> Iterator[tuple[str, str]]:
    run = config.as_run()
    for path, problem in run.problems():
        if path != "data" or run.data:
            yield _name(config, path), problem


def _name(config: OfflineToOnlineConfig, path: str) -> str:
    """What people call here what stands at a path of a `RunConfig`."""
    names = RLLIB_NAMES | {path: name for name, path in config.paths().items()}
    return names.get(path, path.rpartition(".")[2])


def _mistyped(config: OfflineToOnlineConfig) -> Iterator[tuple[str, str]]:
    """Values of another type than an option has."""
    sizes = config._model_config
    if not (isinstance(sizes, Mapping) and all(isinstance(its, Mapping) for its in sizes.values())):
        yield "model_config", f"{sizes!r} {SIZES}"
        return
    rates = {name: getattr(config, name) for name in (f"{its}_lr" for its in config.networks())}
    wrong = [name for name, rate in rates.items() if not _is_rate(rate)]
    for name in wrong:
        yield name, f"{rates[name]!r} {SCHEDULE}"
    if wrong:
        return
    try:
        run = config.as_run()
    except TypeError as error:
        yield "model_config", f"{error}: see awac_dist.nn.config"
        return
    for path, problem in _unfit(run):
        yield _name(config, path), problem


def _is_rate(rate: Any) -> bool:
    """Whether a learning rate is a number, or a schedule as RLlib has them, from step 0 on."""
    if not isinstance(rate, list | tuple):
        return _fits(float, rate)
    pairs = all(_fits(tuple[float, ...], pair) and len(pair) == 2 for pair in rate)
    if not pairs or len(rate) < 2 or rate[0][0] != 0:
        return False
    return all(first < second for (first, _), (second, _) in pairwise(rate))


def _unfit(part: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted path, what is wrong) of fields whose value is not of their type."""
    hints = get_type_hints(type(part))
    for field in fields(part):
        value, hint, own = getattr(part, field.name), hints[field.name], f"{path}{field.name}"
        if is_dataclass(value):
            yield from _unfit(value, f"{own}.")
        elif not _fits(hint, value):
            yield own, f"{value!r} is not {in_words(hint)}"


def _fits(hint: Any, value: Any) -> bool:
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(each, value) for each in inner)
    if kind is Literal:
        return value in inner
    if kind is tuple:
        return isinstance(value, list | tuple) and all(_fits(inner[0], each) for each in value)
    if kind is dict:
        whole = isinstance(value, Mapping)
        return whole and all(_fits(inner[1], each) for each in value.values())
    legal = NUMBERS.get(kind, kind)
    is_other = isinstance(value, bool) and kind is not bool  # Python takes it for a whole number
    return legal is Any or (isinstance(value, legal) and not is_other)
