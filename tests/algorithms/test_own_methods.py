"""What is wrong with a method of one's own is one line that names it and what helps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from methods import ENV, make_batch, make_method
from torch import Tensor

from awac_dist import algorithms
from awac_dist.algorithms import METHODS, config_class, method_class, name_of
from awac_dist.algorithms.awac import AWAC, AWACConfig
from awac_dist.algorithms.base import Method
from awac_dist.algorithms.bc import BC, BCConfig
from awac_dist.algorithms.td3 import TD3, TD3Config
from awac_dist.cli.options import by_code, parse
from awac_dist.errors import InputError, RunFailed
from awac_dist.learner.record import CallRecord
from awac_dist.replay.layout import Layout, Wishes
from awac_dist.tensors import Batch, Metrics


class NoConfig(AWAC):
    def actor_loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        raise AssertionError("nobody would call it")


class OthersConfig(AWAC):
    Config = AWACConfig


class NoDefault(BC):
    @dataclass(frozen=True, kw_only=True)
    class Config(BCConfig):
        must: int


class NoType(BC):
    @dataclass(frozen=True)
    class Config(BCConfig):
        gain: "Nonsense" = 1.0  # type: ignore[name-defined] # noqa: F821


class Table(BC):
    @dataclass(frozen=True)
    class Config(BCConfig):
        table: list[float] | None = None


class NotRegistered(BC):
    class Config(BCConfig):
        pass


OTHERS = "has no Config of its own: its options are AWAC's, and would train that"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], None]:
    """Registers a class as "mine"."""
    monkeypatch.setattr(algorithms, "METHODS", dict(METHODS))
    monkeypatch.setattr("awac_dist.cli.settings.METHODS", algorithms.METHODS)
    return lambda kind: algorithms.register_method("mine", f"{__name__}:{kind.__name__}")


@pytest.mark.parametrize("name", METHODS)
def test_the_options_of_a_method_train_it_and_no_other(name: str) -> None:
    assert config_class(name).method is method_class(name)
    assert name_of(config_class(name)()) == name


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (NoConfig, OTHERS),
        (OthersConfig, OTHERS),
        (NoDefault, "has an option without a default, must: give it one that runs"),
        (NoType, "has an option whose type cannot be read: NameError: name 'Nonsense' is not"),
        (Table, "algorithm.table is of type list[float], which no word can be read as: take a"),
    ],
)
@pytest.mark.parametrize("algorithm", ["mine", "awac"])  # options are read of every method
def test_options_that_cannot_be_read_or_train_another_method_are_refused_before_anything_runs(
    kind: type, why: str, algorithm: str, registered: Callable[[type], None]
) -> None:
    registered(kind)
    calls: Sequence[Callable[[], object]] = (
        lambda: by_code(None, {"algorithm": algorithm}),
        lambda: parse(["--algorithm", algorithm]),
    )
    for call in calls:
        with pytest.raises(InputError) as caught:
            call()
        told = str(caught.value)
        assert told.startswith("algorithm mine: ")
        assert why in told
        assert told.endswith("see docs/add-a-method.md")
        assert "\n" not in told


def test_options_whose_method_nobody_registered_are_refused() -> None:
    with pytest.raises(InputError, match="Config belongs to no algorithm: its method is registe"):
        name_of(NotRegistered.Config())


class NoField(BC):
    class Config(BCConfig):
        pass

    def make_networks(self, generator: torch.Generator) -> dict[str, torch.nn.Module]:
        return super().make_networks(generator) | {"extra": torch.nn.Linear(1, 1)}


class NoRate(BC):
    class Config(BCConfig):
        pass

    def make_duals(self) -> dict[str, Tensor]:
        return {"price": torch.nn.Parameter(torch.zeros(()))}


class NoTarget(BC):
    class Config(BCConfig):
        pass

    slow_copies = ("actor",)


class Vector(BC):
    class Config(BCConfig):
        pass

    def losses(self, batch: Batch) -> Sequence[tuple[Tensor, Metrics]]:
        ((loss, metrics),) = super().losses(batch)
        return [(torch.stack((loss, loss)), metrics)]


class Number(TD3):
    class Config(TD3Config):
        pass

    def actor_loss(self, batch: Batch) -> tuple[Any, Metrics]:
        return 1.0, {}


class Metric(BC):
    class Config(BCConfig):
        pass

    metrics: ClassVar[list[dict[str, Any]]] = [{}]

    def after_update(self, batch: Batch, metrics: Metrics) -> None:
        metrics |= self.metrics[0]


def updated(kind: type[Method]) -> None:
    """Ten updates, as the learner takes note of them."""
    method, record = make_method(kind.Config()), CallRecord()
    for _ in range(10):
        batches = [make_batch()] * method.batches_per_update
        record.add([], method.update(batches))
    record.means()


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (NoField, "NoField has a network extra: its Config needs an option extra of type Network"),
        (NoRate, "NoRate has a dual price: its Config needs an option price_learning_rate of typ"),
        (NoTarget, "NoTarget has a slow copy of actor: its Config needs an option critic of type"),
        (Vector, "loss of Vector has shape [2], and has to be a tensor []"),
        (Number, "actor_loss of Number is a float, and has to be a tensor []"),
    ],
)
def test_what_a_class_forgot_is_told_with_its_name(kind: type[Method], line: str) -> None:
    with pytest.raises(InputError) as caught:
        updated(kind)
    assert str(caught.value).startswith(line)
    assert str(caught.value).endswith("see docs/add-a-method.md")


@pytest.mark.parametrize(
    ("value", "why"), [(0.5, "is 0.5"), (torch.zeros(2), "has shape [2]"), (None, "is None")]
)
def test_a_metric_that_is_no_number_is_told_with_its_name(
    value: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    updated(Metric)
    monkeypatch.setattr(Metric, "metrics", [{"mine/gain": value}])
    with pytest.raises(InputError) as caught:
        updated(Metric)
    assert str(caught.value).startswith(f"metric mine/gain: {why}, and has to be a tensor []: see")


def test_metrics_of_some_updates_alone_are_told_and_never_taken_for_others() -> None:
    one, other = {"a": torch.tensor(1.0)}, {"b": torch.tensor(2.0)}
    record = CallRecord()
    record.add([], one | other)
    record.add([], other | one)
    assert record.means() == {"a": 1.0, "b": 2.0}
    with pytest.raises(InputError, match="metric a: some updates have it, some do not: see docs/"):
        record.add([], other)


@pytest.mark.parametrize(("bad", "kept"), [(0, []), (3, [3.0]), (5, [4.0, 5.0])])
def test_a_call_keeps_the_last_batches_that_fit(
    bad: int, kept: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("awac_dist.learner.record.BYTES_KEPT", 3 * 4 * 100)
    record, method = CallRecord(10, str(tmp_path)), make_method(BCConfig())
    for update in range(6):
        loss = torch.tensor(np.nan if update == bad else 1.0)
        record.add([torch.full((100,), float(update))], {"loss": loss})
    record.means()
    where = f"batches around it are in {tmp_path}" if kept else "batches around it were let go"
    with pytest.raises(RunFailed, match=f"loss is not finite after update {11 + bad}; the {where}"):
        record.check(method)
    for path in tmp_path.iterdir():
        saved = torch.load(path, weights_only=True)
        assert [float(block[0]) for block in saved["blocks"]] == kept


@pytest.mark.parametrize("needs", [frozenset({"nonsense"}), ["nonsense"]])
def test_a_need_that_nobody_knows_is_told_with_those_that_there_are(needs: Any) -> None:
    with pytest.raises(
        InputError, match=r"needs: no column 'nonsense'; there are returns, .*: see"
    ):
        Layout.of(ENV, Wishes(needs))
