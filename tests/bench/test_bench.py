"""The bench counts right, compares in turn, and says what it measured on what."""

import json
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.world import Task
from awac_dist.bench import __main__ as command
from awac_dist.bench import hardware, products
from awac_dist.bench.products import Product
from awac_dist.bench.report import Row
from awac_dist.bench.rounds import PEER, Measure, in_turn, rate
from awac_dist.cli.main import told
from awac_dist.cli.parser import read
from awac_dist.errors import InputError
from awac_dist.replay.layout import Layout
from awac_dist.runs.runtime import InlineFuture
from awac_dist.tensors import Batch
from awac_dist.types import EnvSpec


def test_the_arithmetic_of_an_update_by_hand() -> None:
    actor = 17 * 256 + 256 * 256 + 256 * 6  # one pass, a row
    critics = 2 * (23 * 256 + 256 * 256 + 256)
    forward = 2 * actor + 3 * critics
    of_weights = actor + critics
    of_inputs = (256 * 256 + 256 * 6) + 2 * (256 * 256 + 256)
    counted = products.flops(products.of_update())
    assert counted == 2 * 1024 * (forward + of_weights + of_inputs) == 2_020_081_664


def test_the_count_is_what_an_update_does() -> None:
    env = EnvSpec("none", 17, 6, (-1.0,) * 6, (1.0,) * 6, None)
    cpu = torch.device("cpu")
    method = AWAC(AWACConfig(), Task(env, 0.99), seed=0, device=cpu)
    block = torch.randn(32, Layout.of(env).width)
    with FlopCounterMode(display=False) as counter:
        method.update([Batch.from_block(block, Layout.of(env))])
    heads = 2 * 2 * 32 * 256 * (3 + 1 + 1)  # sums of products, which the counter leaves out
    assert counter.get_total_flops() + heads == products.flops(products.of_update(32))


def test_a_product_is_computed_as_often_as_it_says() -> None:
    products.calls([Product(2, 3, 4, times=5)])()
    with FlopCounterMode(display=False) as counter:
        products.calls([Product(2, 3, 4, times=5)])()
    assert counter.get_total_flops() == Product(2, 3, 4, times=5).flops == 2 * 2 * 3 * 4 * 5


class Here:
    """Stands for a contestant's process; measures in this one."""

    ended = 0

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, measure: object, prepare: Callable[[], Measure]) -> InlineFuture:
        return InlineFuture(prepare()())

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None:
        Here.ended += 1


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> type[Here]:
    monkeypatch.setattr("awac_dist.bench.rounds.ProcessPoolExecutor", Here)
    monkeypatch.setattr(Here, "ended", 0)
    return Here


def scripted(name: str, figures: list[float], asked: list[str]) -> Callable[[], Measure]:
    """A contestant with known figures, which says when it is asked."""
    left = iter(figures)

    def measure() -> float:
        asked.append(name)
        return next(left)

    return lambda: measure


def test_contestants_take_turns_and_the_first_round_is_no_figure(here: type[Here]) -> None:
    asked: list[str] = []
    ours = scripted("ours", [100.0, 2.0, 9.0, 4.0], asked)
    peer = scripted("peer", [100.0, 1.0, 3.0, 4.0], asked)
    rounds = in_turn({"ours": ours, "peer": peer}, repeats=3)
    assert asked == ["ours", "peer"] * 4
    assert rounds.median("ours") == 4.0
    assert rounds.median("peer") == 3.0
    assert rounds.ratio("ours", "peer") == 2.0  # of 2, 3 and 1, not 4 / 3
    row = rounds.row("it", "/s", "ours", "peer", told="theirs", by=10.0, at_least=19.0)
    assert row == Row("it", 40.0, "/s", "theirs", 3.0, ratio=20.0, at_least=19.0)
    assert rounds.row("it", "/s", "ours", "absent") == Row("it", 4.0, "/s", "absent")
    assert rounds.row("it", "/s", "ours") == Row("it", 4.0, "/s")
    assert here.ended == 2


def test_contestants_stop_when_one_fails(here: type[Here]) -> None:
    ours, peer = scripted("ours", [1.0], []), scripted("peer", [1.0, 1.0], [])
    with pytest.raises(StopIteration):
        in_turn({"ours": ours, "peer": peer}, repeats=1)
    assert here.ended == 2


@pytest.mark.parametrize("installed", [False, True])
def test_the_peer_takes_part_where_it_is_installed(
    installed: bool, here: type[Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("awac_dist.bench.rounds.find_spec", lambda name: installed)
    measured = in_turn({PEER: scripted(PEER, [1.0, 2.0], [])}, repeats=1).figures
    assert measured == ({PEER: (2.0,)} if installed else {})


def test_a_contestant_measures_in_a_process_of_its_own() -> None:
    counting = partial(getattr, iter([1.5, 2.5, 3.5]), "__next__")  # a copy of it goes there
    rounds = in_turn({"one": counting, "other": counting}, repeats=2)
    assert rounds.figures == {"one": (2.5, 3.5), "other": (2.5, 3.5)}


def test_a_contestant_that_fails_says_why() -> None:
    """One line for whoever reads; for whoever mends it the traceback is the cause."""
    line = (
        "^it cannot be measured: ZeroDivisionError: float division by zero: install what it needs"
    )
    with pytest.raises(InputError, match=line) as failed:
        in_turn({"it": partial(partial, operator.truediv, 1.0, 0.0)}, repeats=1)
    assert failed.value.__cause__ is not None
    assert "in _measure" in str(failed.value.__cause__.__cause__)


def test_a_rate_is_calls_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def call() -> None:
        clock[0] += 0.25

    monkeypatch.setattr("awac_dist.bench.rounds.time.perf_counter", lambda: clock[0])
    assert rate(call, seconds=1.9) == 4.0  # eight calls in two seconds


@pytest.mark.parametrize(
    ("row", "ratio", "reached"),
    [
        (Row("a", 3.0, "/s", peer="p", peer_value=2.0, at_least=1.5), 1.5, True),
        (Row("a", 3.0, "/s", peer="p", peer_value=2.0, at_least=1.6), 1.5, False),
        (Row("a", 3.0, "/s", peer="p", peer_value=2.0, ratio=1.7, at_least=1.6), 1.7, True),
        (Row("a", 3.0, "/s", peer="p", at_least=1.6), None, None),
        (Row("a", 3.0, "MiB", at_most=2.0), None, False),
        (Row("a", 3.0, "MiB", at_least=2.0, at_most=3.0), None, True),
        (Row("a", 3.0, "MiB"), None, None),
    ],
)
def test_a_target_is_of_the_ratio_or_else_of_the_value(
    row: Row, ratio: float | None, reached: bool | None
) -> None:
    assert (row.ratio, row.reached) == (ratio, reached)


def test_figures_have_the_digits_that_they_deserve() -> None:
    rows = [Row("a", value, "/s", "p", 2 * value) for value in (0.01234, 1.234, 12.34, 12_345.6)]
    assert [row.cells()[1:4] for row in rows] == [
        ("0.012 /s", "p: 0.025", "0.50"),
        ("1.23 /s", "p: 2.47", "0.50"),
        ("12.3 /s", "p: 24.7", "0.50"),
        ("12,346 /s", "p: 24,691", "0.50"),
    ]


@pytest.mark.parametrize("name", command.SECTIONS)
def test_a_section_is_a_function_of_its_module(name: str) -> None:
    place, what = command.SECTIONS[name]
    assert what
    assert callable(getattr(import_module(f"awac_dist.bench.{place}"), name))


def bench(words: Sequence[str]) -> int:
    return told(lambda: command.run(read(command.Bench, words, "bench")))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One section that costs nothing."""
    module = ModuleType("awac_dist.bench.stub")
    module.stub = lambda repeats: iter([Row("steps", repeats, "/s", peer="theirs", at_least=2.0)])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(command, "SECTIONS", {"stub": ("stub", "nothing")})
    return


@pytest.mark.usefixtures("stub")
def test_the_command_prints_a_table_and_writes_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    assert bench(["stub", "--repeats", "3", "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "theirs: not installed" in shown
    assert "stub: nothing" in shown
    assert hardware.hardware().cpu in shown
    written = json.loads(path.read_text())
    assert written["hardware"]["cores"] == hardware.count_cores()
    assert written["repeats"] == 3
    [row] = written["sections"]["stub"]
    assert (row["value"], row["unit"], row["at_least"], row["reached"]) == (3, "/s", 2.0, None)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["stup"], "no section stup; did you mean stub?"),
        (["--repeats", "0"], "--repeats: 0 is not 1 or more"),
        (["--jason", "x"], "no option --jason; did you mean --json?"),
        (["--json", "/nowhere/at/all.json"], "cannot be written"),
    ],
)
@pytest.mark.usefixtures("stub")
def test_wrong_words_are_one_line(
    argv: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(argv) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("flags", "has"), [("avx2 fma", False), ("avx2 amx_bf16", True)])
def test_the_machine_says_whether_it_multiplies_bfloat16(
    flags: str, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"model name": "Some CPU", "cpu family": "6", "model": "1", "flags": flags}
    monkeypatch.setattr(hardware, "cpu_info", lambda: info)
    machine = hardware.hardware()
    assert (machine.lacks_bfloat16 == "") is has
    assert ("no bfloat16" in machine.lines()[0]) is not has
    assert machine.cpu == "Some CPU (cpu family 6, model 1)"
