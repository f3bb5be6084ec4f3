"""The loop: what it learns, keeps, skips and refuses."""

import io
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gated.errors import CheckpointError, OptionError, TrainingError
from gated.training import RunDirectory, TrainingConfig, fit
from gated.training.average import AveragedWeights
from gated.training.config import learning_rate_at
from gated.training.engine import make_fabric, make_optimizer
from gated.training.progress import Bar, Plain, make_progress
from gated.training.randomness import epoch_batches

SHORT = TrainingConfig(max_epochs=3, batch_size=32, device="cpu")


def train(learner: Any, run: RunDirectory, **changes: Any) -> Any:
    config = TrainingConfig(**{"max_epochs": 3, "batch_size": 32, "device": "cpu", **changes})
    return fit(learner, config, run, progress="silent")


def test_training_learns(learner: Any, run: RunDirectory) -> None:
    history = train(learner, run, max_epochs=40, learning_rate=0.02)
    constant = float(learner.y[96:].var(unbiased=False))  # the best that a constant can do
    assert history.best_loss < 0.1 * constant


def test_the_best_weights_are_restored_saved_and_reported(learner: Any, run: RunDirectory) -> None:
    seen = []
    validate = learner.validate
    script = iter([3.0, 1.0, 2.0, 4.0, 5.0])

    def scripted() -> dict[str, float]:
        seen.append(learner.weights())
        return {**validate(), "loss": next(script)}

    learner.validate = scripted
    history = train(learner, run, max_epochs=9, patience=3)
    assert (history.best_epoch, history.best_loss) == (2, 1.0)
    assert history.stopped == "no better validation loss for 3 epochs"
    assert len(history.lines) == 5
    saved = run.load_model()
    for name, value in learner.weights().items():
        assert torch.equal(value, seen[1][name])
        assert torch.equal(saved[name], seen[1][name])
    assert not torch.equal(seen[4]["head.weight"], seen[1]["head.weight"])
    assert not learner.module.training


def test_metrics_hold_one_line_an_epoch(learner: Any, run: RunDirectory) -> None:
    history = train(learner, run)
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert lines == list(history.lines)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[0]["val_rmse"] == pytest.approx(math.sqrt(lines[0]["val_loss"]))
    assert {"learning_rate", "train_loss", "grad_norm", "skipped", "best"} <= lines[0].keys()


def test_the_training_loss_is_the_mean_over_examples(learner: Any, run: RunDirectory) -> None:
    learner.loss = lambda batch: (
        0 * learner.module(batch["x"]).sum() + torch.tensor(float(len(batch["x"])))
    )
    history = train(learner, run, batch_size=64, max_epochs=1)
    assert history.lines[0]["train_loss"] == pytest.approx((64 * 64 + 32 * 32) / 96)


def test_equal_seeds_give_equal_weights(make_learner: Any, make_run: Any) -> None:
    runs = [make_run(f"run{i}") for i in range(3)]
    for run, seed in zip(runs, (1, 1, 2), strict=True):
        train(make_learner(), run, seed=seed)
    one, same, other = ((run.path / "model.safetensors").read_bytes() for run in runs)
    assert one == same
    assert one != other


def test_the_callers_random_numbers_are_left_alone(learner: Any, run: RunDirectory) -> None:
    def drawn() -> tuple[float, float, float]:
        return float(torch.rand(())), random.random(), float(np.random.rand())

    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    expected = drawn()
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])
    train(learner, run, max_epochs=1)
    assert drawn() == expected


def test_each_epoch_sees_every_example_once_in_its_own_order() -> None:
    orders = [torch.cat(epoch_batches(50, 8, seed=0, epoch=epoch)) for epoch in range(2)]
    assert all(order.sort().values.tolist() == list(range(50)) for order in orders)
    assert not torch.equal(*orders)


def test_a_cap_on_windows_draws_another_subset_each_epoch() -> None:
    sets = [
        set(torch.cat(epoch_batches(500, 8, seed=0, epoch=epoch, at_most=20)).tolist())
        for epoch in range(2)
    ]
    assert [len(drawn) for drawn in sets] == [20, 20]
    assert sets[0] != sets[1]


def test_a_cap_on_windows_shortens_the_epoch(learner: Any, run: RunDirectory) -> None:
    seen = []
    batch = learner.batch
    learner.batch = lambda indices: (seen.append(len(indices)), batch(indices))[1]
    learner.validate = lambda: {"loss": 1.0}
    train(learner, run, max_epochs=1, windows_per_epoch=40, patience=0)
    assert seen == [32, 8]


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "constant"])
def test_schedules_rise_to_the_peak_and_end_where_they_should(schedule: str) -> None:
    config = TrainingConfig(schedule=schedule, learning_rate=0.5, warmup=0.1)
    rates = [learning_rate_at(config, step, 200) for step in range(200)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.5)
    assert 0 < rates[0] < 0.05
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    ends = {"cosine": 0.005, "one-cycle": 0.5e-4, "constant": 0.5}
    assert rates[-1] == pytest.approx(ends[schedule])


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "constant"])
def test_schedules_of_few_steps_are_positive(schedule: str, total: int) -> None:
    config = TrainingConfig(schedule=schedule)
    assert all(learning_rate_at(config, step, total) > 0 for step in range(total))


def test_gradients_are_shortened_to_the_limit(learner: Any, run: RunDirectory) -> None:
    # With plain descent of rate 1 a step is as long as the gradient that made it.
    lengths = []
    before = learner.weights()
    loss = learner.loss
    learner.loss = lambda batch: 1e4 * loss(batch)

    def descend(self: Any, closure: Any = None) -> None:
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        lengths.append(math.sqrt(sum(float(g.square().sum()) for g in gradients)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", descend)
        history = train(learner, run, max_epochs=1, max_grad_norm=0.5)
    assert lengths == pytest.approx([0.5] * 3, rel=1e-4)
    assert history.lines[0]["grad_norm"] > 50
    assert torch.equal(before["head.weight"], learner.weights()["head.weight"])


def test_weight_decay_spares_biases(learner: Any) -> None:
    groups = make_optimizer(learner.module, TrainingConfig(weight_decay=0.3)).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in learner.module.named_parameters():
        assert decay[id(parameter)] == (0.0 if "bias" in name else 0.3)


def test_the_average_follows_its_recurrence() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    average = AveragedWeights(module, 0.5)
    expected = float(module.weight.detach())
    for step, weight in enumerate((1.0, -2.0, 4.0, 8.0, 0.5, 3.0, 1.0, 9.0, 9.0, 9.0), start=1):
        torch.nn.init.constant_(module.weight, weight)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    with average.applied():
        assert float(module.weight.detach()) == pytest.approx(expected, rel=1e-6)
    assert float(module.weight.detach()) == 9.0


def test_with_an_average_it_is_what_is_validated_and_kept(learner: Any, run: RunDirectory) -> None:
    seen = []
    learner.validate = lambda: (seen.append(learner.weights()), {"loss": 1.0})[1]
    train(learner, run, max_epochs=1, ema_decay=0.99)
    assert torch.equal(run.load_model()["head.weight"], seen[0]["head.weight"])


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions_train(learner: Any, run: RunDirectory, precision: str) -> None:
    history = train(learner, run, precision=precision, max_epochs=20, learning_rate=0.02)
    assert history.best_loss < history.lines[0]["val_loss"]
    assert learner.module.head.weight.dtype == (
        torch.float64 if precision == "64-true" else torch.float32
    )


# Rows 10 and 13: losses and gradients that are not finite.


def poison(learner: Any, example: int) -> None:
    learner.x[example] = float("nan")


def test_a_step_without_a_finite_loss_changes_no_weight(learner: Any, run: RunDirectory) -> None:
    before = learner.weights()
    learner.x[:96] = float("nan")
    learner.validate = lambda: {"loss": 1.0}
    history = train(learner, run, max_epochs=3, patience=0)
    assert [line["skipped"] for line in history.lines] == [3, 3, 3]
    assert [line["train_loss"] for line in history.lines] == [None] * 3
    assert all(torch.equal(before[name], value) for name, value in learner.weights().items())


def test_a_gradient_overflow_is_skipped_too(learner: Any, run: RunDirectory) -> None:
    before = learner.weights()
    # A finite loss whose gradient is infinite: the square root at 0.
    learner.loss = lambda batch: (0 * learner.module(batch["x"]).sum()).sqrt()
    learner.validate = lambda: {"loss": 1.0}
    history = train(learner, run, max_epochs=1)
    assert history.lines[0]["skipped"] == 3
    assert torch.equal(before["head.weight"], learner.weights()["head.weight"])


def test_one_bad_example_costs_its_own_batches_alone(learner: Any, run: RunDirectory) -> None:
    poison(learner, 17)
    history = train(learner, run)
    assert [line["skipped"] for line in history.lines] == [1, 1, 1]
    assert all(math.isfinite(line["val_loss"]) for line in history.lines)


def test_too_many_bad_steps_stop_naming_epoch_step_and_examples(
    learner: Any, run: RunDirectory
) -> None:
    poison(learner, 17)
    poison(learner, 40)
    with pytest.raises(TrainingError) as caught:
        train(learner, run, batch_size=96, max_epochs=9, max_skipped_steps=2)
    message = str(caught.value)
    last = epoch_batches(96, 96, seed=0, epoch=1)[0].tolist()
    assert "2 steps in a row" in message
    assert "epoch 2, step 1" in message
    assert f"batch of examples {', '.join(map(str, last[:16]))} and 80 more" in message
    alone = [index for index in last if index in (17, 40)]
    assert f"alone, {alone[0]}, {alone[1]} give no finite loss" in message


def test_good_steps_between_bad_ones_do_not_stop(learner: Any, run: RunDirectory) -> None:
    poison(learner, 17)
    train(learner, run, max_epochs=4, max_skipped_steps=3)


def test_no_finite_validation_loss_is_an_error(learner: Any, run: RunDirectory) -> None:
    learner.validate = lambda: {"loss": float("nan")}
    with pytest.raises(TrainingError, match="no validation loss was finite in 3 epochs"):
        train(learner, run)
    assert not run.finished
    assert [line["val_loss"] for line in run.metrics] == [None] * 3


# What is refused.


def test_no_examples(make_learner: Callable[..., Any], run: RunDirectory) -> None:
    with pytest.raises(TrainingError, match=r"no training examples: .*give more data, or lower"):
        train(make_learner(examples=0), run)


def test_nothing_to_train(learner: Any, run: RunDirectory) -> None:
    learner.module.requires_grad_(False)
    with pytest.raises(TrainingError, match="nothing to train"):
        train(learner, run)


def test_a_loss_that_is_no_scalar(learner: Any, run: RunDirectory) -> None:
    learner.loss = lambda batch: learner.module(batch["x"])
    with pytest.raises(TrainingError, match=r"loss\(\) gave shape \(32, 1\), expected a 0-dim"):
        train(learner, run)


def test_a_validation_without_a_loss(learner: Any, run: RunDirectory) -> None:
    learner.validate = lambda: {"rmse": 1.0}
    with pytest.raises(TrainingError, match=r"gave \['rmse'\], expected a dict that holds \"loss"):
        train(learner, run)


def test_a_run_in_progress_is_not_begun_again(learner: Any, run: RunDirectory) -> None:
    run.save_state({"epoch": 1})
    with pytest.raises(CheckpointError, match="unfinished training; resume it, or overwrite it"):
        train(learner, run)


def test_a_finished_run_is_not_trained_again(learner: Any, run: RunDirectory) -> None:
    train(learner, run)
    with pytest.raises(CheckpointError, match="holds a finished training; overwrite it"):
        train(learner, run)


@pytest.mark.parametrize(
    "change",
    [
        {"max_epochs": 0},
        {"batch_size": 2.5},
        {"batch_size": True},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"warmup": 1.0},
        {"ema_decay": 1.0},
        {"patience": -1},
        {"schedule": "linear"},
        {"precision": "16-mixed"},
        {"max_grad_norm": -1.0},
        {"device": 3},
    ],
    ids=str,
)
def test_a_senseless_option_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"^{next(iter(change))}=.*: expected"):
        TrainingConfig(**change)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(OptionError, match="device='abacus' cannot be used"):
        make_fabric(TrainingConfig(device="abacus"))


# Progress.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_are_few(learner: Any, run: RunDirectory) -> None:
    stream = io.StringIO()
    learner.validate = lambda: {"loss": 1.0}
    config = TrainingConfig(max_epochs=60, batch_size=96, patience=0, device="cpu")
    fit(learner, config, run, progress=Plain(stream))
    lines = stream.getvalue().splitlines()
    assert len(lines) <= 27
    assert lines[0].startswith("epoch  1/60  loss")
    assert "validation 1 *" in lines[0]
    assert "at most 0:0" in lines[0]
    assert lines[-1].startswith("all epochs done after 60 epochs")


def test_silence_is_silent(
    learner: Any, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    train(learner, run)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_shows_the_time_left(learner: Any, run: RunDirectory) -> None:
    from rich.console import Console

    stream = Terminal()
    bar = Bar(Console(file=stream, force_terminal=True, color_system=None, width=80))
    fit(learner, SHORT, run, progress=bar)
    assert "epoch 3/3  loss" in stream.getvalue()
    assert "0:00:00 left" in stream.getvalue()


def test_a_bar_can_speak_before_it_is_drawn(learner: Any, run: RunDirectory) -> None:
    from rich.console import Console

    train(learner, run)
    stream = Terminal()
    fit(learner, SHORT, run, resume=True, progress=Bar(Console(file=stream, width=200)))
    assert "this training is finished" in stream.getvalue()


@pytest.mark.parametrize(
    ("terminal", "term", "kind"), [(True, "xterm", Bar), (True, "dumb", Plain), (False, "x", Plain)]
)
def test_a_bar_needs_a_terminal(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, term: str, kind: type
) -> None:
    monkeypatch.setattr("sys.stderr", Terminal() if terminal else io.StringIO())
    monkeypatch.setenv("TERM", term)
    assert isinstance(make_progress("auto"), kind)


def test_an_unknown_progress_is_named() -> None:
    with pytest.raises(OptionError, match="progress='loud': expected auto, bar, plain, silent"):
        make_progress("loud")


def test_examples_reach_the_loss_as_the_learner_made_them(learner: Any, run: RunDirectory) -> None:
    seen: list[Tensor] = []
    loss = learner.loss
    learner.loss = lambda batch: (seen.append(batch["y"]), loss(batch))[1]
    learner.validate = lambda: {"loss": 1.0}
    train(learner, run, max_epochs=1, seed=4)
    order = torch.cat(epoch_batches(96, 32, seed=4, epoch=0))
    assert torch.equal(torch.cat(seen), learner.y[order])


def test_importing_training_does_not_import_the_engine() -> None:
    code = "import sys, gated.training; sys.exit('lightning_fabric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
