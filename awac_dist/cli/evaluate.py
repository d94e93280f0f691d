"""`awac-dist evaluate`: play whole episodes with any policy, and say how it did."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from awac_dist.cli import plain_yaml
from awac_dist.cli.bars import progress
from awac_dist.cli.commands import Evaluate
from awac_dist.cli.policies import BLIND, open_policy
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.make import env_spec, kwargs_in_file, make_task, named_in_file
from awac_dist.envs.trial import trial
from awac_dist.errors import InputError, writable
from awac_dist.evaluation.evaluator import SIDE_BY_SIDE, play, stream_of
from awac_dist.evaluation.headless import prepare_drawing
from awac_dist.evaluation.result import Evaluation, evaluation_of
from awac_dist.evaluation.scores import reference
from awac_dist.evaluation.video import Film, Filmed, filmed_env
from awac_dist.messages import Finished
from awac_dist.policies.noise import MakeNoise, WhiteNoise
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

SLOW_FRAMES_PER_S = 30.0  # for a task that does not say how fast it is


class _Job(NamedTuple):
    """What to play."""

    name: str  # of the policy, as it was typed
    spec: EnvSpec
    policy: Policy
    noise: MakeNoise | None  # None: by the mean
    seed: int
    episodes: int
    film: Film | None
    filmed: int  # the first of them, played one by one


def run(options: Evaluate) -> None:
    """Play, and say how it went."""
    with Screen() as screen:  # what Gymnasium and MuJoCo print is nobody's business here
        job = _job(options)
        evaluation = _play(job, screen.stream)
        if options.json:
            text = json.dumps(_facts(job, evaluation), indent=2, allow_nan=False)
            with writable(f"--json {options.json}"):
                Path(options.json).write_text(f"{text}\n", "utf-8")
    say(_told(job, evaluation))


def _job(args: Evaluate) -> _Job:
    run = plain_yaml.of_run(args.policy.rstrip("/").rsplit("/checkpoints/", 1)[0])
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
        film=Film(Path(args.video), _frames_per_s(spec)) if args.video else None,
        filmed=(args.video_episodes or 1) if args.video else 0,
    )


def _task(args: Evaluate, stated: Any) -> tuple[str, Mapping[str, Any]]:
    """Id and arguments of the task: as typed, else as the policy's run states it."""
    of_run = stated if isinstance(stated, dict) else {"id": stated}
    file = f"{args.policy}: config.yaml"
    if args.env is None and of_run.get("id") is None:
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


def _frames_per_s(spec: EnvSpec) -> float:
    env = make_task(spec)
    modes, rate = env.metadata.get("render_modes", []), env.metadata.get("render_fps")
    env.close()
    if "rgb_array" not in modes:
        raise InputError(f"{spec.env_id} cannot be filmed: it has no render mode rgb_array")
    return float(rate or SLOW_FRAMES_PER_S)


def _play(job: _Job, stream: TextIO) -> Evaluation:
    played: list[Finished] = []
    faults: list[str] = []
    with progress("episodes", job.episodes, stream) as advance:
        for episode in _episodes(job, faults):
            played.append(episode)
            advance(1)
    return evaluation_of("evaluation", job.policy.version, job.spec.env_id, played, faults)


def _episodes(job: _Job, faults: list[str]) -> Iterator[Finished]:
    rest = job.episodes - job.filmed
    if film := job.film:
        with film, _collector(job, 1, lambda spec: Filmed(filmed_env(spec), film)) as acting:
            yield from play(acting, job.policy, 0, job.filmed, faults)
    with _collector(job, min(rest, SIDE_BY_SIDE), make_task) as acting:
        yield from play(acting, job.policy, job.filmed + len(faults), rest, faults)


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
    if job.film:
        frames = f"{counted(job.filmed, 'episode')}, {job.film.frames:,} frames"
        lines += ["", f"filmed: {job.film.path} ({frames})"]
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
