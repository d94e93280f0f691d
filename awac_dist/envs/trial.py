"""A task is tried before anything is learned: what it cannot do, it says at once."""

from __future__ import annotations

import faulthandler
import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from awac_dist.envs.answers import Guarded
from awac_dist.envs.config import EnvConfig
from awac_dist.envs.goal_rewards import check_rule
from awac_dist.envs.guard import GUARD, MAX_FAULTS, EnvironmentFault
from awac_dist.envs.make import make_env, spec_of
from awac_dist.errors import InputError, told
from awac_dist.messages import FIRST_STEPS
from awac_dist.types import Array, EnvSpec

API = (
    "Gymnasium has reset(seed=...) return (observation, info), and step(action) "
    "(observation, reward, terminated, truncated, info)"
)
OF_ANOTHER_API = ("unpack", "keyword argument 'seed'", "keyword argument 'options'")
CALL = None  # what says that a call into the task begins
FORK = multiprocessing.get_context("fork")  # knows what was registered here, and imports nothing


class Trial(NamedTuple):
    """A task, and what was seen of it."""

    spec: EnvSpec
    observations: Array  # [n, O] without goals
    rewards: Array  # [n]; none of hardware, which is only reset


def trial(task: EnvConfig, limit_s: float | None, *, hindsight: bool = False) -> Trial:
    """Reset a task and take a few random steps; hardware (not `repeatable`) is only reset.

    For `hindsight` its rule of goals must say the rewards that these steps gave.

    A process of its own does so, whose end is not ours. It is taken for hung once a call into the
    task, such as making it, takes longer than `limit_s` seconds; None never.

    Raises:
        InputError: It fails again and again, or answers what nothing can be learned from.
    """
    answers, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_try, args=[there, task, limit_s, hindsight])
    process.start()
    there.close()
    try:
        for _ in range(MAX_FAULTS):
            answer = _next(answers, limit_s)
            if isinstance(answer, InputError):
                raise answer
            if isinstance(answer, Trial):
                return answer._replace(spec=replace(answer.spec, kwargs=task.kwargs))
    except TimeoutError as error:
        answer = told(error)
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        answer = f"its process died: {how}"
    finally:
        process.kill()
        process.join()
    hint = f"; {API}" * any(words in str(answer) for words in OF_ANOTHER_API)
    raise InputError(f"environment {task.id} fails when it is tried: {answer}{hint}")


def _next(answers: Connection, limit_s: float | None) -> object:
    """The next answer; a TimeoutError where neither it nor another call comes in time."""
    while answers.poll(limit_s):
        answer: object = answers.recv()
        if answer is not CALL:
            return answer
    raise TimeoutError(f"no answer within {limit_s:g} s")


def _try(there: Connection, task: EnvConfig, limit_s: float | None, hindsight: bool) -> None:
    """Send what was seen of a task, or why nothing was, until something was."""

    def beat() -> None:
        faulthandler.dump_traceback_later(2 * (limit_s or 1e6), exit=True, file=2)  # if alone
        with suppress(BrokenPipeError):
            there.send(CALL)

    for seed in range(MAX_FAULTS):
        try:
            there.send(_first_steps(task, seed, hindsight, beat))
        except EnvironmentFault as fault:
            there.send(str(fault))
            continue
        except InputError as error:
            there.send(error)
        return


def _first_steps(task: EnvConfig, seed: int, hindsight: bool, beat: Callable[[], None]) -> Trial:
    """Take them; `beat` is told of every call into the task before it is made."""
    beat()
    with GUARD:
        env = make_env(task.id, **task.kwargs)
    try:
        spec, rng = spec_of(env, task.id), np.random.default_rng(seed)
        guarded = Guarded(env, spec)
        beat()
        seen, rewards, achieved = [guarded.reset(seed)[0]], list[float](), list[Array | None]()
        for _ in range(FIRST_STEPS if spec.repeatable else 0):
            action = rng.uniform(spec.action_low, spec.action_high)
            beat()
            (inputs, reached), reward, terminated, truncated, _ = guarded.step(spec.bounded(action))
            seen.append(inputs)
            achieved.append(reached)
            rewards.append(reward)
            if terminated or truncated:
                break
        observations, goals = np.split(np.array(seen), [spec.observation_size], axis=1)
        found = np.array(rewards, np.float32)
        if hindsight and spec.goal_size and rewards:
            beat()
            check_rule(env, task.id, np.array(achieved, np.float32), goals[:-1], found)
    finally:
        beat()
        with suppress(EnvironmentFault), GUARD:
            env.close()
    return Trial(spec, observations, found)
