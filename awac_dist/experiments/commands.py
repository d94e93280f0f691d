"""What `awac-dist experiments ...` does."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from awac_dist.cli import experiment_options as options
from awac_dist.errors import InputError, writable
from awac_dist.experiments.catalogue import EXPERIMENTS, experiment
from awac_dist.experiments.experiment import DOCS, LOOK, Run, results_folder, runs_folder
from awac_dist.files import write_file
from awac_dist.reporting.run_place import only_one_at_a_time
from awac_dist.reporting.screen import say
from awac_dist.reporting.wording import counted
from awac_dist.runs.plan import named_address


def run(given: Any) -> int | None:
    """Do what one of the commands says."""
    match given:
        case options.List():
            for name in EXPERIMENTS:
                say(f"{name:16} {experiment(name).shows}")
        case options.Run():
            with only_one_at_a_time(
                runs_folder(given.out), "experiments are still going on in another process"
            ):
                return _run(given)
        case options.Plot():
            _plot(given)
        case options.Table():
            _table(given)
        case options.Pages():
            from awac_dist.experiments.pages import write_pages

            for path in write_pages(Path(given.out or DOCS / "methods")):
                say(str(path))
        case options.Redraw():
            _redraw(Path(given.results or results_folder()))
    return None


def _run(given: options.Run) -> int:
    from awac_dist.experiments.priors import make_priors
    from awac_dist.experiments.results import rows_of_run, store

    its, out = experiment(given.name), runs_folder(given.out)
    path = out / its.family / f"{LOOK}.csv" if given.words else _file(given, "csv")
    with writable(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
    runs = its.runs(
        given.budget,
        methods=given.methods,
        task=given.task,
        seeds=given.seeds,
        words=given.words or "",
    )
    here = _without_those_from_elsewhere(list(runs), out, path)
    tasks = {run.task: its.tasks[run.task] for run in here}
    make_priors(replace(its, tasks=tasks).data() if here else (), out, given.policies, say)
    failed = _hold(
        here,
        out,
        jobs=given.jobs,
        again=given.again,
        say=say,
        finished=lambda run, folder: store(path, rows_of_run(run, folder), its),
    )
    say(f"results: {path}")
    for line in failed:
        say(f"failed: {line}", sys.stderr)
    return int(bool(failed))


def _without_those_from_elsewhere(runs: Sequence[Run], out: Path, path: Path) -> list[Run]:
    """Runs but for those that the results have and this machine has not: somebody ran them."""
    from awac_dist.experiments.results import KEY, read_results
    from awac_dist.experiments.running import has_begun

    known = {tuple(row[name] for name in KEY) for row in read_results(path)}
    here = [run for run in runs if run.key not in known or has_begun(run.folder(out))]
    if others := len(runs) - len(here):
        say(f"{counted(others, 'run')} of elsewhere in {path}; --results FOLDER for your own")
    return here


def _hold(runs: Iterable[Run], out: Path, *, jobs: int | None, **more: Any) -> list[str]:
    """Here, a run a core; on the Ray cluster that the environment names, as many as have room."""
    from awac_dist.experiments.running import hold

    if named_address() is None:
        return hold(runs, out, jobs=jobs or len(os.sched_getaffinity(0)), **more)
    from awac_dist.distributed.session import Session
    from awac_dist.experiments.elsewhere import Elsewhere

    session = Session()
    try:
        return hold(runs, out, jobs=jobs or sys.maxsize, begin=Elsewhere, **more)
    finally:
        session.close()


def _plot(given: options.Plot) -> None:
    from awac_dist.experiments.showing import figure

    path = _file(given, "png")
    with writable(str(path)):
        figure(experiment(given.name), _rows(given), given.budget, path)
    say(str(path))


def _table(given: options.Table) -> None:
    from awac_dist.experiments.showing import table

    path, text = _file(given, "md"), table(experiment(given.name), _rows(given), given.budget)
    with writable(str(path)):
        write_file(str(path), text.encode())
    say(text)
    say(str(path))


def _redraw(folder: Path) -> None:
    from awac_dist.experiments.claims import page
    from awac_dist.experiments.results import read_results
    from awac_dist.experiments.showing import figure, its_rows, table

    with writable(str(folder)):
        for name in EXPERIMENTS:
            its = experiment(name)
            rows = read_results(folder / f"{its.family}.csv")
            for budget in [each for each in its.budgets if its_rows(its, rows, each)]:
                path = folder / its.file(budget)
                figure(its, rows, budget, Path(f"{path}.png"))
                write_file(f"{path}.md", table(its, rows, budget).encode())
                say(f"{path}.md")
        write_file(f"{folder}/claims.md", page(folder).encode())
    say(str(folder / "claims.md"))


def _file(given: options.OfExperiment, ending: str) -> Path:
    """The csv is one for all budgets."""
    its = experiment(given.name)
    name = its.family if ending == "csv" else its.file(given.budget)
    return Path(given.results or results_folder()) / f"{name}.{ending}"


def _rows(given: options.OfExperiment) -> list[dict[str, Any]]:
    from awac_dist.experiments.results import read_results

    rows = read_results(path := _file(given, "csv"))
    if not any(row["budget"] == given.budget for row in rows):
        raise InputError(f"{path} has no run of budget {given.budget}: `run` makes some")
    return rows
