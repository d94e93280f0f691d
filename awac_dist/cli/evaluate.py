"""`awac-dist evaluate`: play whole episodes with any policy, and say how it did."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from awac_dist.cli.bars import progress
from awac_dist.cli.commands import Evaluate
from awac_dist.cli.policies import BLIND, open_policy
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.make import env_spec, kwargs_in_file, make_task, named_in_file
from awac_dist.envs.trial import trial
from awac_dist.errors import InputError, writable
from awac_dist.evaluation.evaluator import SIDE_BY_SIDE, numbered, play, stream_of
from awac_dist.evaluation.headless import prepare_drawing
from awac_dist.evaluation.result import Evaluation, evaluation_of
from awac_dist.evaluation.scores import reference
from awac_dist.evaluation.video import Film, Filmed, Grid, drawn, filmed_env
from awac_dist.files import write_file
from awac_dist.messages import Finished
from awac_dist.plain_yaml import config_of_run
from awac_dist.policies.noise import MakeNoise, WhiteNoise
from awac_dist.policies.npz import find_policy, read_policy, run_of
from awac_dist.policies.policy import Policy
from awac_dist.reporting.screen import Screen, say
from awac_dist.reporting.wording import (
    aligned,
    counted,
    definitions,
    interval,
    number,
    percent,
    percent_interval,
)
from awac_dist.rollout.collector import Collector
from awac_dist.rollout.config import RolloutConfig
from awac_dist.rollout.slot import MakeEnv
from awac_dist.types import EnvSpec

RANKS = ("best", "median", "worst")  # the columns of a video
SLOW_FRAMES_PER_S = 30.0  # for a task that does not say how fast it is


class _Job(NamedTuple):
    """What to play."""

    name: str  # of the policy, as it was typed
    spec: EnvSpec
    policy: Policy
    noise: MakeNoise | None  # None: by the mean
    seed: int
    episodes: int
    grid: Grid | None  # of the best, median and worst, to be filmed
    rows: int  # of it: so many of each


def evaluation(options: Evaluate, stream: TextIO) -> Evaluation:
    """Play; a stream that is a terminal shows how far it is."""
    return _play(_job(options), stream)[1]


def run(options: Evaluate) -> None:
    """Play, and say how it went."""
    with Screen() as screen:  # what Gymnasium and MuJoCo print is nobody's business here
        job = _job(options)
        played, evaluation = _play(job, screen.stream)
    say(_told(job, evaluation))  # whatever becomes of the files
    if options.json:
        text = json.dumps(_facts(job, evaluation), indent=2, allow_nan=False)
        with writable(f"--json {options.json}"):
            write_file(options.json, f"{text}\n".encode())
    if job.grid:
        with Screen() as screen:
            _film(job, job.grid, played, screen.stream)
        say(f"\nfilmed: {job.grid.path} ({' | '.join(RANKS)})")


def _job(args: Evaluate) -> _Job:
    folder = run_of(args.policy)
    run = {} if folder.endswith(".npz") else config_of_run(folder)
    env_id, kwargs = _task(args, run.get("env"))
    cannot_draw = prepare_drawing() if args.video else None  # before the task imports MuJoCo
    trial(EnvConfig(env_id, dict(kwargs)), RolloutConfig.step_timeout_s)
    spec = env_spec(env_id, **kwargs)
    if cannot_draw and "mujoco" in sys.modules:
        raise InputError(cannot_draw)
    return _Job(
        name=args.policy,
        spec=spec,
        policy=open_policy(args.policy, spec),
        noise=BLIND.get(args.policy, WhiteNoise if args.stochastic else None),
        seed=_seed_of_run(args.policy, run) if args.seed is None else args.seed,
        episodes=args.episodes,
        grid=_grid(spec, Path(args.video)) if args.video else None,
        rows=args.video_episodes or 1,
    )


def _task(args: Evaluate, stated: Any) -> tuple[str, Mapping[str, Any]]:
    """Id and arguments of the task: as typed, else as the policy's run states it."""
    of_run = stated if isinstance(stated, dict) else {"id": stated}
    file = f"{args.policy}: config.yaml"
    if args.env is None and of_run.get("id") is None:
        if args.policy not in BLIND:
            read_policy(find_policy(args.policy))  # which says where there is none
        raise InputError(f"{args.policy} does not say which task it is for: give --env ID")
    env_id = args.env or named_in_file(of_run["id"], file)
    if args.env_kwargs is not None or env_id != of_run.get("id"):
        return env_id, args.env_kwargs or {}
    return env_id, kwargs_in_file(of_run.get("kwargs", {}), file)


def _seed_of_run(policy: str, run: Mapping[str, Any]) -> int:
    seed = run.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise InputError(f"{policy}: config.yaml: the seed is {seed!r}: give --seed N")
    return seed


def _grid(spec: EnvSpec, path: Path) -> Grid:
    """What is filmed into; what cannot be drawn is told before anything is played."""
    with closing(make_task(spec)) as env:
        modes, rate = env.metadata.get("render_modes", []), env.metadata.get("render_fps")
    if "rgb_array" not in modes:
        raise InputError(f"{spec.env_id} cannot be filmed: it has no render mode rgb_array")
    grid = Grid(path, float(rate or SLOW_FRAMES_PER_S), len(RANKS))
    with closing(filmed_env(spec)) as env:
        env.reset(seed=0)
        drawn(env, path)
    return grid


def _play(job: _Job, stream: TextIO) -> tuple[dict[int, Finished], Evaluation]:
    """The episodes by their numbers, and what they say together."""
    played: dict[int, Finished] = {}
    faults: list[str] = []
    # alone: what is filmed is played again, and batches of another size round otherwise
    num_envs = 1 if job.grid else min(job.episodes, SIDE_BY_SIDE)
    acting = _collector(job, num_envs, make_task)
    with acting as collector, progress("episodes", job.episodes, stream) as advance:
        for episode, its in numbered(collector, job.policy, 0, job.episodes, faults):
            played[episode] = its
            advance(1)
    version, env_id = job.policy.version, job.spec.env_id
    return played, evaluation_of("evaluation", version, env_id, played.values(), faults)


def _film(job: _Job, grid: Grid, played: Mapping[int, Finished], stream: TextIO) -> None:
    """Play the episodes that are shown again, which begin as they did."""
    returns = {episode: its.episode_return for episode, its in played.items()}
    shown = chosen(returns, job.rows)
    with grid, progress("filming", len(shown), stream) as advance:
        for episode, rank in shown.items():
            film = grid.film(f"{rank}: {number(returns[episode])}")
            make = partial(_filmed, film=film)
            with film, _collector(job, 1, make) as acting:
                list(play(acting, job.policy, episode, 1, []))
            advance(1)


def _filmed(spec: EnvSpec, film: Film) -> Filmed:
    return Filmed(filmed_env(spec), film)


def chosen(returns: Mapping[int, float], each: int) -> dict[int, str]:
    """The best, median and worst episodes, so many of each, in rows; none is chosen twice."""
    order = sorted(returns, key=lambda episode: -returns[episode])
    begins = (0, (len(order) - each) // 2, len(order) - each)
    found: dict[int, str] = {}
    for row in range(each):
        for begin, rank in zip(begins, RANKS, strict=True):
            found.setdefault(order[begin + row], rank)
    return found


def _collector(job: _Job, num_envs: int, make: MakeEnv) -> closing[Collector]:
    stream = stream_of(job.seed)
    return closing(Collector(job.spec, num_envs, stream, noise=job.noise, make_env=make))


def _told(job: _Job, evaluation: Evaluation) -> str:
    known = f" ({evaluation.policy_version:,} updates)" if evaluation.policy_version >= 0 else ""
    manner = "the mean action" if job.noise is None else "sampled actions"
    head = f"{job.name}{known} on {job.spec.env_id}: {counted(job.episodes, 'episode')} of {manner}"
    lines = [f"{head}, seed {job.seed}", "", *aligned(list(_rows(job, evaluation)))]
    if evaluation.faults:
        lines += ["", f"dropped: {len(evaluation.faults)}; the last: {evaluation.faults[-1]}"]
    return "\n".join(lines)


def _rows(job: _Job, evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    mean, half = evaluation.mean, evaluation.half_width
    low, high = mean - half, mean + half
    yield "", "mean", "95 % interval"
    for words, (share,) in definitions(evaluation).items():
        yield f"success, {words}", percent(share.value), f"{percent_interval(share)} %"
    yield "return", number(mean), interval(low, high, like=mean)
    if known := reference(job.spec.env_id):
        score, ends = known.score(mean), map(known.score, (low, high))
        yield "D4RL score", number(score), interval(*ends, like=score)
    yield "length", number(sum(evaluation.lengths) / job.episodes), ""


def _facts(job: _Job, evaluation: Evaluation) -> dict[str, Any]:
    """Everything that was found, as JSON knows it."""
    metrics = evaluation.metrics(job.spec.env_id)
    return {
        "policy": job.name,
        "policy_version": evaluation.policy_version,
        "env": job.spec.env_id,
        "seed": job.seed,
        "actions": "mean" if job.noise is None else "sampled",
        "episodes": job.episodes,
        "metrics": {key: x if math.isfinite(x) else None for key, x in metrics.items()},
        "intervals": {f"eval/{key}": it.interval for key, it in evaluation.successes.items()},
        "sustained_steps": evaluation.sustained_steps,
        "returns": evaluation.returns,
        "lengths": evaluation.lengths,
        "success_steps": evaluation.success_steps,
        "success_last": evaluation.success_last,
    }
