"""`awac-dist data recipe`: the prior data of one of the paper's tasks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from awac_dist import __version__
from awac_dist.cli.commands import Make
from awac_dist.cli.making import STREAMS, Making
from awac_dist.cli.policies import BLIND
from awac_dist.cli.recipes import RECIPES, Recipe, described, process
from awac_dist.data import sources
from awac_dist.envs.make import env_spec
from awac_dist.errors import InputError
from awac_dist.policies.npz import find_policy
from awac_dist.reporting.run_folder import PACKAGES
from awac_dist.reporting.screen import Screen


def run(args: Make) -> None:
    """Make the data, and say what comes of it.

    Raises:
        InputError: An option, the policy or the demonstrations are wrong, or too poor.
    """
    if args.name not in RECIPES:
        raise InputError(f"NAME: {args.name!r} is not one of {', '.join(RECIPES)}")
    recipe = configured(RECIPES[args.name], args)
    with Screen() as screen:  # what Ray and Gymnasium print is nobody's business here
        with _new_folder(Path(args.out)) as folder:
            spec = env_spec(recipe.env)
            making = Making(recipe, spec, folder, args.seed, args.inline, screen.stream)
            _make(making, args)
            text = json.dumps(_account(making, args), indent=2)
            (folder / "recipe.json").write_text(f"{text}\n", encoding="utf-8")
        print(f"written: {args.out}", file=screen.stream)


def configured(recipe: Recipe, args: Make) -> Recipe:
    """The recipe with what the user changes of it.

    Raises:
        InputError: An option would have no effect or cannot be, or one is missing.
    """
    clones = recipe.demonstrations > 0
    for option, has_effect in (
        ("policy", clones),
        ("demonstrations", clones),
        ("min_return", clones),
        ("clone_updates", clones),
        ("sigma", not clones),
    ):
        if getattr(args, option) is not None and not has_effect:
            raise InputError(f"--{option.replace('_', '-')} has no effect on {args.name}")
    if clones and args.policy is None and args.demonstrations is None:
        raise InputError(f"{args.name} clones demonstrations: give --policy or --demonstrations")
    return replace(
        recipe,
        min_return=recipe.min_return if args.min_return is None else args.min_return,
        updates=args.clone_updates or recipe.updates,
        noises=(process(args.sigma),) if args.sigma else recipe.noises,
    )


def _make(making: Making, args: Make) -> None:
    if not making.recipe.demonstrations:
        making.random()
        return
    if args.demonstrations:
        making.convert(args.demonstrations)
    else:
        making.demonstrate(str(args.policy))
    making.clone()


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder to write to, which is called `path` once it is whole."""
    if path.exists():
        raise InputError(f"--out {path}: exists already: remove it, or name another one")
    aside = path.with_name(f"{path.name}.part")
    try:
        shutil.rmtree(aside, ignore_errors=True)  # of one that died
        aside.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written: {error.strerror}") from error
    try:
        yield aside.resolve()
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _account(making: Making, args: Make) -> dict[str, Any]:
    """What `recipe.json` says: what was made of what, and how to make it again."""
    recipe = making.recipe
    account: dict[str, Any] = {
        "recipe": args.name,
        "paper": recipe.paper,
        "env": recipe.env,
        "seed": args.seed,
        "streams": STREAMS,
        "noises": [described(noise) for noise in recipe.noises],
    }
    if recipe.demonstrations:
        account |= {
            "demonstrations": _ingredient(args),
            "min_return": recipe.min_return,
            "clone": {
                "updates": recipe.updates,
                "batch_size": recipe.clone.batch_size,
                "learning_rate": recipe.clone.learning_rate,
                "hidden": recipe.actor.hidden,
            },
        }
    installed = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    versions = {name: installed[name] for name in PACKAGES if name in installed}
    return account | {"files": making.files, "versions": {**versions, "awac_dist": __version__}}


def _ingredient(args: Make) -> dict[str, Any]:
    """Where the demonstrations come from, with the SHA-256 of the files."""
    if args.demonstrations:
        paths = [file.path for file in sources.find(args.demonstrations).files]
    else:
        paths = [] if args.policy in BLIND else [find_policy(str(args.policy))]
    found = [Path(path) for path in paths if Path(path).is_file()]
    return {
        "policy" if args.policy else "source": args.policy or args.demonstrations,
        "sha256": {path.name: sha256(path.read_bytes()).hexdigest() for path in found},
    }
