"""The commands and their options, each a dataclass; nothing here is slow to import.

A command's help is its docstring. What it does is `run(options)` of the module that `COMMANDS`
names, imported when the command is called. That raises InputError where something that was given is
wrong, and RunFailed where it cannot go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from awac_dist.cli import experiment_options as experiments
from awac_dist.cli import options
from awac_dist.cli.parser import headline, positional
from awac_dist.cli.written import Writing
from awac_dist.config import CloneConfig
from awac_dist.ranges import Checked, Count, Positive, Processes, Seed

Kind = Literal["demonstration", "prior"]
KWARGS = {"path": "env.kwargs"}  # the option, as `launch` has it


@dataclass(frozen=True, kw_only=True)
class OfSources(Checked):
    """A command that reads data.

    Attributes:
        sources: A file, a folder, a glob, an embedded dataset, a Minari id or the folder of an
            earlier run; options follow after commas, such as kind=demonstration.
        env: Task of the data; None takes what the data says.
    """

    sources: tuple[str, ...] = positional()
    env: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluate(Writing):
    """Play whole episodes with a policy, and say how it did.

    Attributes:
        policy: A checkpoint or run folder of ours, an .npz policy, "random" or
            "ornstein-uhlenbeck".
        env: Gymnasium id of the task; None is that of the run.
        env_kwargs: Passed on to the environment; None is what the run did, if it is of that task.
        episodes: How many.
        stochastic: Sample actions, rather than act by the mean.
        seed: Decides where episodes start; None is that of the run, or 0.
        video: Film the best, the median and the worst episode side by side into FILE.mp4 or
            FILE.gif.
        video_episodes: So many of each, one below the other; None is 1.
        json: Write the figures, and those of each episode, to this file.
    """

    policy: str = positional()
    env: str | None = None
    env_kwargs: dict[str, Any] | None = field(default=None, metadata=KWARGS)
    episodes: Count = 100
    stochastic: bool = False
    seed: Seed | None = None
    video: str | None = None
    video_episodes: Count | None = None
    json: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.video_episodes is not None and self.video is None:
            yield "video_episodes", "has no effect without --video FILE"
        elif (self.video_episodes or 0) > max(1, self.episodes // 3):
            yield "video_episodes", f"{self.video_episodes} is more than a third of the episodes"


@dataclass(frozen=True, kw_only=True)
class Export(Checked):
    """Write a run's policy as a file that acts anywhere.

    Attributes:
        policy: A run folder, a checkpoint of one, or an .npz policy.
        out: FILE.npz for NumPy alone, FILE.onnx, or FILE.pt for TorchScript; a path or URI.
    """

    policy: str = positional()
    out: str = positional()

    def problems(self) -> Iterator[tuple[str, str]]:
        if not self.out.endswith((".npz", ".onnx", ".pt")):
            yield "out", f"{self.out} does not end in .npz, .onnx or .pt"


@dataclass(frozen=True, kw_only=True)
class Plot(Checked):
    """Draw the figures of a run again.

    Attributes:
        folder: Of the run, a path or URI; holds metrics.jsonl.
    """

    folder: str = positional()


@dataclass(frozen=True, kw_only=True)
class Compare(Writing):
    """Set runs side by side, with bands over seeds.

    Attributes:
        runs: Folders of runs, paths or URIs; those that differ in the seed alone are one group.
        metrics: With --plot or --html: draw these of docs/metrics.md, too, such as critic/loss.
        plot: Draw the curves as a picture, FILE.png, .svg or .pdf.
        html: Write a page that opens anywhere, FILE.html.
    """

    runs: tuple[str, ...] = positional()
    metrics: tuple[str, ...] = ()
    plot: str | None = None
    html: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.metrics and self.plot is None and self.html is None:
            yield "metrics", "has no effect without --plot FILE or --html FILE"


@dataclass(frozen=True, kw_only=True)
class Sweep(Checked):
    """Try many values of options, on Ray Tune, or go on with that.

    Attributes:
        file: What is tried, and how: a YAML file, see docs/sweep.md.
        env: Task of all trials; one's own, module:Id, has to be typed.
        out: Folder of the sweep; None is that of the file's name in runs/, or in what
            AWAC_DIST_RUNS says.
        dry_run: Print the points, and stop.
    """

    file: str = positional()
    env: str | None = None
    out: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Inspect(OfSources, Writing):
    """Say what some data holds.

    Attributes:
        plot: Draw the same as a picture, FILE.png.
    """

    plot: str | None = None


@dataclass(frozen=True, kw_only=True)
class Validate(OfSources):
    """List what is wrong with some data."""


@dataclass(frozen=True, kw_only=True)
class Convert(OfSources):
    """Write episodes anew, some or all.

    Attributes:
        to: A new folder DIR.parquet, or minari:ID.
        min_return: Keep episodes with at least this return.
        max_return: Keep episodes with at most this return.
        min_length: Keep episodes of at least so many steps.
        max_length: Keep episodes of at most so many steps.
        successful: Keep episodes whose last step is a success.
        first: Of those, the first so many.
        best: Of those, so many of highest return.
        kind: Say who made them.
        clip_actions: Clip actions to the task's bounds.
        relabel: Task, one of DoorBinary, HammerBinary, PenBinary and RelocateBinary, whose rule
            recomputes rewards and successes from observations, before any filter.
    """

    to: str
    min_return: float | None = None
    max_return: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    successful: bool = False
    first: int | None = None
    best: int | None = None
    kind: Kind | None = None
    clip_actions: bool = False
    relabel: Literal["DoorBinary", "HammerBinary", "PenBinary", "RelocateBinary"] | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.first is not None and self.best is not None:
            yield "best", "not allowed with --first"


@dataclass(frozen=True, kw_only=True)
class Collect(Checked):
    """Roll out a policy and keep its episodes.

    Attributes:
        env: Gymnasium id of the task.
        env_kwargs: Passed on to the environment.
        policy: A checkpoint or run folder of ours, an .npz policy, "random" or
            "ornstein-uhlenbeck".
        clone: Data; fit a behavioural clone of it, and roll that out.
        clone_updates: Of the fit.
        episodes: How many.
        out: A new folder for the episodes, a path or URI.
        kind: What they are.
        deterministic: Act by the mean.
        workers: How many work at once; None is one a core.
        seed: Everything random follows from it.
        inline: In this process, without Ray.
    """

    env: str
    env_kwargs: dict[str, Any] | None = field(default=None, metadata=KWARGS)
    policy: str | None = None
    clone: str | None = None
    clone_updates: Count = CloneConfig.updates
    episodes: Count
    out: str
    kind: Kind = "prior"
    deterministic: bool = False
    workers: Processes | None = None
    seed: Seed = 0
    inline: bool = False

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if (self.policy is None) == (self.clone is None):
            yield "policy", "give it or --clone, and not both"


@dataclass(frozen=True, kw_only=True)
class Make(Checked):
    """Make the prior data of one of the paper's tasks.

    Attributes:
        name: pen, door, relocate, halfcheetah, walker2d, ant or push.
        policy: Who demonstrates: a checkpoint or run folder of ours, or an .npz policy.
        demonstrations: Demonstrations that are there already, in any format that we read.
        out: A new folder for the data.
        seed: Everything random follows from it.
        min_return: Keep demonstrations with at least this return; None is the recipe's, if any.
        clone_updates: Of the clone; None is the authors'.
        sigma: Of push's random process; None is 0.3.
        inline: In this process, without Ray.
    """

    name: str = positional()
    policy: str | None = None
    demonstrations: str | None = None
    out: str
    seed: Seed = 0
    min_return: float | None = None
    clone_updates: Count | None = None
    sigma: Positive | None = None
    inline: bool = False

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from super().problems()
        if self.policy and self.demonstrations:
            yield "demonstrations", "not allowed with --policy"
        if "://" in self.out:
            yield "out", f"{self.out} is no folder of this machine"


class Command(NamedTuple):
    """One thing that can be done."""

    module: str  # has `run(options) -> exit code`, or None for 0
    options: type  # what may be said of it
    parse: Callable[[Sequence[str]], Any] | None = None  # where `parser.read` does not do

    @property
    def what(self) -> str:
        """What it does, in a few words."""
        return headline(self.options).rstrip(".")


COMMANDS = {
    "launch": Command("launch", options.Launch, options.parse),
    "evaluate": Command("evaluate", Evaluate),
    "export": Command("export", Export),
    "plot": Command("plot", Plot),
    "compare": Command("compare", Compare),
    "sweep": Command("sweep", Sweep),
    "data inspect": Command("report", Inspect),
    "data validate": Command("validate", Validate),
    "data convert": Command("convert", Convert),
    "data collect": Command("collect", Collect),
    "data recipe": Command("recipe", Make),
    "experiments list": Command("experiments", experiments.List),
    "experiments run": Command("experiments", experiments.Run),
    "experiments plot": Command("experiments", experiments.Plot),
    "experiments table": Command("experiments", experiments.Table),
    "experiments pages": Command("experiments", experiments.Pages),
    "experiments redraw": Command("experiments", experiments.Redraw),
}
