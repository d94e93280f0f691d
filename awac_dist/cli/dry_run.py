"""What a run would do: the resolved config, its processes, its memory, its steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from awac_dist.algorithms import name_of
from awac_dist.cli.options import Options, parse, to_mapping
from awac_dist.cli.presets import presets
from awac_dist.config import NOTHING_TO_CLONE, RunConfig
from awac_dist.data.record import RECORD, begin, go_on
from awac_dist.data.sources import Source, count_episodes, demonstrates
from awac_dist.envs.trial import Trial, trial
from awac_dist.errors import InputError
from awac_dist.messages import Loaded
from awac_dist.plain_yaml import dump_yaml
from awac_dist.policies.initial import open_initial
from awac_dist.replay.layout import Layout
from awac_dist.reporting.run_place import refuse_taken
from awac_dist.reporting.screen import Screen, say
from awac_dist.reporting.tracking import check
from awac_dist.reporting.wording import counted
from awac_dist.runs.loading import PriorData
from awac_dist.runs.phases import phases_of
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
    if config.run_dir is not None and options.resume is None:
        refuse_taken(config.run_dir)
    with Screen():  # what Gymnasium prints is nobody's business here
        task, sources = inputs(options)
        text = _described(config, task.spec, sources, plan_of(config, local_resources()))
    say(text + _preset(name_of(config.algorithm)) * options.without_preset)


def inputs(options: Options) -> tuple[Trial, list[Source]]:
    """The task, which was tried, and the prior data of a run that begins or goes on.

    Raises:
        InputError: There is no such task, data or policy to start from, it does not work, they do
            not fit, or are not what they were; or a package is missing that is to track the run.
    """
    config = options.config
    check(config.reporting)
    hindsight = bool(config.replay.goals)
    task = trial(config.env, config.rollout.step_timeout_s, hindsight=hindsight)
    if hindsight and not task.spec.goal_size:
        raise InputError(f"replay.goals: {config.env.id} has no goals to relabel: leave it out")
    place = options.resume
    if config.init and place is None:  # else the run's folder has it
        open_initial(config.init, config.algorithm.actor.policy_spec(task.spec))
    record = None if place is None else place.read(RECORD)
    if place is None or record is None:  # a new run, or one of an older version
        more = [argument for argument in options.more_data if argument not in config.data]
        return task, begin([*config.data, *more], task.spec)
    sources = go_on(record, options.more_data, task.spec)
    for path in (file.path for source in sources if source.joined for file in source.files):
        if path.startswith(f"{place.shared}/"):
            raise InputError(f"{path}: the run learns from what it collected: leave it out")
    return task, sources


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
    prior = _prior_data(sources)
    prior.check_mixture(config)
    counts = prior.shares[0].episodes
    goals = f"goals [{spec.goal_size}], " if spec.goal_size else ""
    lines = [
        f"task      {spec.env_id}: observations [{spec.observation_size}], {goals}"
        f"actions [{spec.action_size}], at most {spec.max_episode_steps} steps an episode",
        *(f"data      {name}: {count:,} episodes" for name, count in counts.items()),
        *(f"          {remark}" for source in sources for remark in source.remarks),
        *_processes(config, plan),
        f"memory    about {_memory_mb(config, spec, plan):,} MB in all",
        *_phases(config, prior, plan),
    ]
    resolved = dump_yaml(to_mapping(config)).rstrip()
    return "\n".join([resolved, "# ", *(f"# {line}" for line in lines)])


def _preset(method: str) -> str:
    """A line of what is left out where a method was named alone, and wants more of a run."""
    if method not in presets():
        return ""
    whole, alone = (parse([option, method]).config for option in ("--config", "--algorithm"))
    told = f"--algorithm {method} changes the losses alone, --config {method} the run, too"
    return f"\n# preset    none: {told}" if whole != alone else ""


def _prior_data(sources: Sequence[Source]) -> PriorData:
    """What a run will find out about its data, as far as its plan needs to know."""
    counts = Counter({source.name: count_episodes(source) for source in sources})
    all_demonstrate = [source.name for source in sources if demonstrates(source)]
    demonstrations = Counter({name: counts[name] for name in all_demonstrate})
    nothing = Counter[str]()
    read = Loaded(counts, nothing, demonstrations, nothing, nothing, sums=[], extents=[])
    return PriorData(sources, [read])


def _phases(config: RunConfig, prior: PriorData, plan: Plan) -> Iterator[str]:
    """What the run does, one phase after the other."""
    if config.clones and not prior.demonstrations:
        yield f"clone     {NOTHING_TO_CLONE}"
    if config.init:
        yield f"start     from the policy of {config.init}, without a clone"
    for phase in phases_of(config, prior.demonstrations, plan.workers):
        more = {
            "clone": f" on {', '.join(prior.demonstrations)}",
            "collect": " with the clone",
            "online": f", {config.online.updates:,} updates ({config.mode})",
        }
        amount = f"{phase.order.total:,} {phase.order.unit}"
        yield f"{phase.name:<10}{amount}{more.get(phase.name, '')}"


def _processes(config: RunConfig, plan: Plan) -> list[str]:
    if config.runtime == "inline":
        return [f"processes none but this one: {plan.workers} workers take turns in it"]
    return [
        f"processes {counted(plan.workers, 'rollout worker')} of "
        f"{counted(config.rollout.envs_per_worker, 'environment')}, "
        f"each on {plan.worker_cpus:g} core{'' if plan.worker_cpus == 1 else 's'}",
        f"          {counted(plan.shards, 'replay shard')}, 1 learner on {plan.device}, "
        f"{'1' if config.evaluation.episodes else 'no'} evaluator, 1 weight store",
    ]


def _memory_mb(config: RunConfig, spec: EnvSpec, plan: Plan) -> int:
    row_bytes = FLOAT_BYTES * (Layout.of(spec).row_width + spec.goal_size)
    online = min(config.replay.capacity, config.online.env_steps) * row_bytes // 2**20
    if config.runtime == "inline":
        return LEARNER_MB + online
    workers = (plan.workers + bool(config.evaluation.episodes)) * WORKER_MB  # or one more
    return RAY_MB + DRIVER_MB + LEARNER_MB + workers + plan.shards * SHARD_MB + online
