"""What a run would do: the resolved config, its processes, its memory, its steps."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from awac_dist.cli.options import Options, to_mapping
from awac_dist.config import RunConfig
from awac_dist.data.record import RECORD, begin, go_on
from awac_dist.data.sources import Source, count_episodes
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.replay.layout import Layout
from awac_dist.reporting.screen import Screen
from awac_dist.reporting.wording import counted
from awac_dist.runs.plan import Plan, local_resources, make_plan
from awac_dist.runs.runtime import Resources
from awac_dist.types import EnvSpec

# Measured, as the private memory of each process: HalfCheetah-v5, torch 2.13, Ray 2.60.
RAY_MB = 400
WORKER_MB = 75
SHARD_MB = 75
LEARNER_MB = 350
DRIVER_MB = 400
FLOAT_BYTES = 4


def run(options: Options) -> None:
    """Say what a run would do, without doing it, and without importing what does it."""
    config = options.config
    with Screen():  # what Gymnasium prints is nobody's business here
        spec, sources = inputs(options)
        text = _described(config, spec, sources, plan_of(config, local_resources()))
    print(text)


def inputs(options: Options) -> tuple[EnvSpec, list[Source]]:
    """The task and the prior data of a run that begins or goes on.

    Raises:
        InputError: There is no such task or data, they do not fit, or are not what they were.
    """
    config = options.config
    spec = env_spec(config.env)
    if config.replay.goals and not spec.goal_size:
        raise InputError(f"replay.goals: {config.env} has no goals to relabel: leave it out")
    place = options.resume
    record = None if place is None else place.read(RECORD)
    if place is None or record is None:  # a new run, or one of an older version
        more = [argument for argument in options.more_data if argument not in config.data]
        return spec, begin([*config.data, *more], spec)
    sources = go_on(record, options.more_data, spec)
    for path in (file.path for source in sources if source.joined for file in source.files):
        if path.startswith(f"{place.shared}/"):
            raise InputError(f"{path}: the run learns from what it collected: leave it out")
    return spec, sources


def plan_of(config: RunConfig, resources: Resources) -> Plan:
    """The processes of a run. Raises InputError where there is no room for them."""
    return make_plan(
        resources,
        workers=config.workers,
        shards=config.shards,
        gpus=config.learner.gpus,
        worker_cpus=config.rollout.cpus,
    )


def _described(config: RunConfig, spec: EnvSpec, sources: Sequence[Source], plan: Plan) -> str:
    """Resolved config as YAML, then the plan as comments, so that the whole is a config file."""
    clone, online = config.clone, config.online
    goals = f"goals [{spec.goal_size}], " if spec.goal_size else ""
    lines = [
        f"task      {spec.env_id}: observations [{spec.observation_size}], {goals}"
        f"actions [{spec.action_size}], at most {spec.max_episode_steps} steps an episode",
        *(f"data      {source.name}: {count_episodes(source):,} episodes" for source in sources),
        *(f"          {remark}" for source in sources for remark in source.remarks),
        *_processes(config, plan),
        f"memory    about {_memory_mb(config, spec, plan):,} MB in all",
        f"clone     {clone.updates:,} updates, then {clone.episodes} episodes collected with it",
        f"offline   {config.offline.updates:,} updates",
        f"online    {online.env_steps:,} env_steps, {online.updates:,} updates ({config.mode})",
    ]
    resolved = yaml.safe_dump(to_mapping(config), sort_keys=False).rstrip()
    return "\n".join([resolved, "# ", *(f"# {line}" for line in lines)])


def _processes(config: RunConfig, plan: Plan) -> list[str]:
    if config.runtime == "inline":
        return [f"processes none but this one: {plan.workers} workers take turns in it"]
    return [
        f"processes {counted(plan.workers, 'rollout worker')} of "
        f"{counted(config.rollout.envs_per_worker, 'environment')}, "
        f"each on {plan.worker_cpus:g} cores",
        f"          {counted(plan.shards, 'replay shard')}, 1 learner on {plan.device}, "
        "1 evaluator, 1 weight store",
    ]


def _memory_mb(config: RunConfig, spec: EnvSpec, plan: Plan) -> int:
    row_bytes = FLOAT_BYTES * (Layout.of(spec).row_width + spec.goal_size)
    online = min(config.replay.capacity, config.online.env_steps) * row_bytes // 2**20
    if config.runtime == "inline":
        return LEARNER_MB + online
    workers = (plan.workers + 1) * WORKER_MB  # the evaluator is one more
    return RAY_MB + DRIVER_MB + LEARNER_MB + workers + plan.shards * SHARD_MB + online
