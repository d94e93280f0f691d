"""Options of what is reported where; imports nothing heavy, for `--help`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from awac_dist.ranges import Checked


@dataclass(frozen=True)
class ReportingConfig(Checked):
    """Where the metrics go besides the run's folder.

    Attributes:
        track: Show them there, too, by its own package and settings, such as WANDB_MODE=offline or
            MLFLOW_TRACKING_URI.
        project: Name of the project there, or of MLflow's experiment.
    """

    track: Literal["wandb", "mlflow", "trackio"] | None = None
    project: str = "awac_dist"
