"""Options of the rollout workers; imports nothing heavy, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from awac_dist.ranges import Checked, Count, Moderate, Processes


@dataclass(frozen=True)
class RolloutConfig(Checked):
    """Rollout workers.

    Attributes:
        envs_per_worker: Environments that a worker steps side by side.
        fragment_steps: Steps of each environment between two looks at newer weights; what
            was collected goes to the replay after as many.
        step_timeout_s: Seconds after which one call into an environment (a step, a reset, also
            making it) is taken for hung and the worker's process is replaced; None never. Needs
            processes: in runtime "inline" nothing is watched but the trial before a run.
        cpus: Cores that each worker books; workers that find no room wait for a node. None books
            one where the cluster adds nodes on demand, else a share with which all find room.
    """

    envs_per_worker: Processes = 1
    fragment_steps: Count = 250
    step_timeout_s: Moderate | None = 300.0
    cpus: Moderate | None = None
