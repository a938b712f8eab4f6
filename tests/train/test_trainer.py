"""A run that stops for any reason leaves the last good weights, and goes on from them as if nothing had happened."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest
import torch
from runs import WINDOW, tiny_settings, tiny_windows
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from ropewalk.errors import DivergenceError, InterruptedRunError, OptionError
from ropewalk.train import trainer
from ropewalk.train.arguments import divided_batch, training_arguments
from ropewalk.train.checkpoints import TRAINED, last_complete_checkpoint
from ropewalk.train.interruption import StopCallback
from ropewalk.train.objective import training_forward

STEPS, BATCH = 8, 4


def trained(model, folder, *, report=None, **changes):
    settings = tiny_settings(**changes)
    return trainer.train(model, tiny_windows(size=STEPS * BATCH), settings, folder, report=report)


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def stop_after(step, number):
    def report(done, *_, **__):
        if done == step:
            os.kill(os.getpid(), number)

    return report


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_run_with_a_checkpoint_from_which_it_goes_on_bit_for_bit(tiny_llama, tmp_path, number):
    whole, broken = tiny_llama(), tiny_llama()
    expected = trained(whole, tmp_path / "whole")
    before = signal.getsignal(number)
    with pytest.raises(InterruptedRunError, match=r"after step 5 of 8.*--resume"):
        trained(broken, tmp_path / "broken", report=stop_after(4, number))
    assert signal.getsignal(number) is before
    resumed = tiny_llama()
    record = trained(resumed, tmp_path / "broken")
    assert record.losses == expected.losses
    assert_same(weights(whole), weights(resumed))


@pytest.mark.parametrize("others", [0, 1])
def test_a_signal_at_one_process_is_known_to_all(others):
    """One that knew nothing would save a model that is trained in part as a finished one."""
    stop = StopCallback()
    stop.accelerator = SimpleNamespace(
        num_processes=2, device=torch.device("cpu"), reduce=lambda flag, reduction: flag + others
    )
    control = TrainerControl()
    stop.on_step_end(None, TrainerState(global_step=3, max_steps=STEPS), control)
    assert (control.should_training_stop, control.should_save) == (bool(others), bool(others))
    assert stop.asked.is_set() == bool(others)


def test_a_resumed_run_may_prepare_its_windows_in_other_processes(tiny_llama, tmp_path):
    whole, broken = tiny_llama(), tiny_llama()
    expected = trained(whole, tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        trained(broken, tmp_path / "broken", report=stop_after(5, signal.SIGTERM), workers=2)
    resumed = tiny_llama()
    assert trained(resumed, tmp_path / "broken", workers=1).losses == expected.losses
    assert_same(weights(whole), weights(resumed))


def test_a_loss_that_is_no_number_ends_the_run_before_the_weights_are_spoiled(tiny_llama, tmp_path):
    model = tiny_llama()
    windows = tiny_windows(size=STEPS * BATCH)
    seen = []

    def report(step, *_, **__):
        seen.append(weights(model))
        if step == 4:  # the fifth step will find it
            with torch.no_grad():
                model.model.norm.weight.fill_(float("nan"))
            seen.append(weights(model))

    with pytest.raises(DivergenceError) as refusal:
        trainer.train(model, windows, tiny_settings(), tmp_path, report=report)
    message = str(refusal.value)
    assert "in step 5 the loss is nan, in window 16: " in message
    assert windows.describe(16) in message
    assert str(tmp_path / "checkpoint-3") in message
    assert "lower learning rate" in message
    after = weights(model)
    for name, value in seen[-1].items():
        assert torch.equal(value.nan_to_num(7.0), after[name].nan_to_num(7.0)), name
    stored = load_file(last_complete_checkpoint(tmp_path) / TRAINED)
    assert all(bool(value.isfinite().all()) for value in stored.values())


def test_a_gradient_that_is_no_number_ends_the_run_too(tiny_llama, tmp_path):
    model = tiny_llama()
    model.lm_head.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = weights(model)
    with pytest.raises(DivergenceError, match=r"in step 1 the norm of the gradients is (inf|nan).*no checkpoint yet"):
        trained(model, tmp_path)
    assert_same(before, weights(model))


def test_a_checkpoint_holds_what_is_trained_and_no_more(tiny_llama, tmp_path):
    model = tiny_llama()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("norm" in name)
    trained(model, tmp_path)
    stored = load_file(last_complete_checkpoint(tmp_path) / TRAINED)
    assert set(stored) == {name for name, _ in model.named_parameters() if "norm" in name}


def test_the_models_own_forward_comes_back(tiny_llama, tmp_path):
    model = tiny_llama()
    own = model.forward.__func__
    trained(model, tmp_path, precision="bfloat16")
    assert model.forward.__func__ is own
    assert not hasattr(model, "_original_forward")
    with training_forward(model, fused=True, restoration=None):
        words = torch.arange(WINDOW)[None]
        assert torch.equal(model(input_ids=words).logits, type(model).forward(model, input_ids=words).logits)


def test_steps_are_divided_among_devices_or_refused():
    assert divided_batch(tiny_settings(batch=32, micro_batch=None), 1) == (32, 1)
    assert divided_batch(tiny_settings(batch=32, micro_batch=2), 4) == (2, 4)
    assert divided_batch(tiny_settings(batch=32, micro_batch=None), 8) == (4, 1)
    with pytest.raises(OptionError, match=r"batch = 32 for 3 device.*a multiple of 30"):
        divided_batch(tiny_settings(batch=32, micro_batch=None), 3)


def test_a_step_tells_its_speed_and_the_memory_it_took(tiny_llama, tmp_path):
    told = []
    trained(tiny_llama(), tmp_path, report=lambda *step, **more: told.append((step, more)))
    assert [step[:2] for step, _ in told] == [(n, STEPS) for n in range(1, STEPS + 1)]
    assert all(more["tokens_per_second"] > 0 and more["peak_memory_bytes"] > 2**20 for _, more in told)


class Ending:
    """A watch that ends the training at a step."""

    every = 2

    def __init__(self, at: int) -> None:
        self.at, self.measured = at, []
        self.ended_at = None

    def measure(self, model, step):
        self.measured.append(step)
        self.ended_at = step if step == self.at else None
        return step == self.at

    def row(self):
        return {"target_gain": float(len(self.measured))}


def test_a_run_that_a_measurement_ended_is_not_trained_further_when_it_is_resumed(tiny_llama, tmp_path):
    first, watch = tiny_llama(), Ending(4)
    record = trainer.train(first, tiny_windows(size=STEPS * BATCH), tiny_settings(), tmp_path, watch=watch)
    assert (record.steps, len(record.losses), watch.measured) == (4, 4, [2, 4])
    again = tiny_llama()
    resumed = trainer.train(again, tiny_windows(size=STEPS * BATCH), tiny_settings(), tmp_path, watch=watch)
    assert (resumed.steps, resumed.losses, resumed.tokens) == (record.steps, record.losses, record.tokens)
    assert watch.measured == [2, 4]
    assert_same(weights(first), weights(again))


def test_a_model_in_two_number_formats_is_tested_as_it_will_train(tiny_llama, tmp_path):
    model = tiny_llama()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.requires_grad_(False)
            parameter.data = parameter.data.bfloat16()
    record = trained(model, tmp_path, precision="bfloat16")
    assert len(record.losses) == STEPS


def test_tensorboard_gets_the_losses_where_it_is_told(tiny_llama, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = tiny_settings(report_to=("tensorboard",))
    record = trainer.train(
        tiny_llama(), tiny_windows(size=STEPS * BATCH), settings, tmp_path / "checkpoints", logs=tmp_path / "logs"
    )
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    found = [event.value for event in events.Scalars("train/loss")]
    assert found == pytest.approx(record.losses, rel=1e-6)


def test_a_step_in_which_nothing_is_learnt_changes_nothing_and_spoils_nothing(tiny_llama, tmp_path):
    class Unlearnt:
        """Windows whose first step holds questions alone."""

        gaps = None

        def __init__(self, windows):
            self.windows = windows

        def __len__(self):
            return len(self.windows)

        def __getitem__(self, number):
            window = dict(self.windows[number])
            if number < BATCH:
                window["labels"] = torch.full_like(window["labels"], -100)
            return window

    model = tiny_llama()
    windows = Unlearnt(tiny_windows(size=STEPS * BATCH))
    record = trainer.train(model, windows, tiny_settings(), tmp_path)
    assert record.losses[0] == 0
    assert all(loss > 0 for loss in record.losses[1:])


def test_a_machine_of_many_accelerators_trains_on_one_unless_a_launcher_says_more(tmp_path, monkeypatch):
    """transformers would copy the model to all of them in one process, and multiply the batch by their number."""

    def device(arguments):
        vars(arguments).setdefault("_n_gpu", 8)
        return torch.device("cpu")

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(device))
    arguments = training_arguments(tiny_settings(batch=4, micro_batch=2), tmp_path, torch.device("cpu"))
    assert arguments.n_gpu == 1
    assert arguments.train_batch_size == 2
