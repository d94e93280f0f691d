"""Table 3 of the paper (Nair et al., 2020, appendix A.1): its experts and its clones.

Returns on locomotion, success shares on the hand; of the expert, of a behavioural clone of the
expert's data, and of one of the expert's and the first clone's data. The paper does not say by
which definition an episode of the hand is a success.

The figures are quoted from memory, with moderate confidence. What supports them: the authors'
scripts keep demonstrations above 9000 (HalfCheetah) and 5000 (Walker2d, Ant), and a fixture of
theirs has demonstrations of about 10,100 and clone trajectories of about 2,600 on HalfCheetah.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class PaperRow(NamedTuple):
    """One task of the table."""

    measure: str  # what the figures are
    expert: float
    clone: float  # on the expert's data
    second_clone: float  # on the expert's and the clone's data

    @property
    def words(self) -> str:
        return (
            f"expert {self.expert:g}, BC on expert {self.clone:g}, "
            f"BC on expert and BC data {self.second_clone:g} "
            f"({self.measure}; quoted from memory, moderate confidence)"
        )


RETURN, SUCCESS = "return", "share of successes"
TABLE = {  # Gymnasium ids -> what the paper has for them
    "HalfCheetah-v[2-5]": PaperRow(RETURN, 9962, 2507, 4524),
    "Walker2d-v[2-5]": PaperRow(RETURN, 5062, 2040, 1701),
    "Ant-v[2-5]|awac_dist/AntPaper-v0": PaperRow(RETURN, 5207, 687, 1704),
    "awac_dist/PenBinary-v0": PaperRow(SUCCESS, 1, 0.73, 0.76),
    "awac_dist/DoorBinary-v0": PaperRow(SUCCESS, 1, 0.10, 0.00),
    "awac_dist/RelocateBinary-v0": PaperRow(SUCCESS, 1, 0.02, 0.01),
}


def paper_row(env_id: str) -> PaperRow | None:
    """What the paper has for a task, by its Gymnasium id; None if it has nothing."""
    return next((row for ids, row in TABLE.items() if re.fullmatch(ids, env_id)), None)
