"""The accelerate configs that the package ships are what accelerate reads, and say what their names promise."""

from __future__ import annotations

import subprocess
import sys

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from torch.distributed.run import get_args_parser as torchrun_parser
from typer.main import get_command

from ropewalk.assets.accelerate.__main__ import path_of
from ropewalk.cli.app import app
from ropewalk.errors import UnknownNameError

NAMES = ("ddp", "fsdp2", "zero3", "context-parallel", "sequence-parallel")


def launched(name: str):
    """The arguments that `accelerate launch --config_file` makes of a file."""
    arguments = launch_command_parser().parse_args(["--config_file", str(path_of(name)), "-m", "ropewalk", "extend"])
    return _validate_launch_command(arguments)[0]


@pytest.mark.parametrize("name", NAMES)
def test_accelerate_reads_the_file_and_leaves_the_precision_to_the_run(name):
    assert load_config_from_file(str(path_of(name))).mixed_precision == "no"
    assert launched(name).module


def test_fsdp2_spreads_weights_and_loads_them_whole_first():
    environment = prepare_multi_gpu_env(launched("fsdp2"))
    assert environment["ACCELERATE_USE_FSDP"] == "true"
    assert environment["FSDP_VERSION"] == "2"
    assert environment["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"


def test_context_parallel_is_fsdp2_with_windows_that_devices_share(monkeypatch):
    from ropewalk.train.processes import shares_windows

    environment = prepare_multi_gpu_env(launched("context-parallel"))
    assert environment["FSDP_VERSION"] == "2"
    assert not shares_windows()
    monkeypatch.setenv("PARALLELISM_CONFIG_CP_SIZE", environment["PARALLELISM_CONFIG_CP_SIZE"])
    assert shares_windows()


def test_zero3_and_sequence_parallel_load_the_model_whole_first():
    for name in ("zero3", "sequence-parallel"):
        arguments = launched(name)
        assert (arguments.use_deepspeed, arguments.zero_stage, arguments.zero3_init_flag) == (True, 3, False)
    assert launched("sequence-parallel").parallelism_config_sp_size == 8


def test_the_module_prints_a_path_and_refuses_an_unknown_name():
    command = [sys.executable, "-m", "ropewalk.assets.accelerate"]
    found = subprocess.run([*command, "fsdp2"], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(path_of("fsdp2"))
    refused = subprocess.run([*command, "fsdp3"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "did you mean 'fsdp2'?" in refused.stderr
    assert "Traceback" not in refused.stderr
    with pytest.raises(UnknownNameError):
        path_of("")


@pytest.mark.parametrize("launcher", [torchrun_parser, launch_command_parser], ids=["torchrun", "accelerate"])
def test_no_option_of_extend_is_taken_by_a_launcher(launcher):
    """argparse takes an abbreviation of an option of its own even behind the name of the program that it starts."""
    theirs = [option for action in launcher()._actions for option in action.option_strings]
    ours = [option for parameter in get_command(app).commands["extend"].params for option in parameter.opts]
    assert "--resume" in ours
    assert not [option for option in ours if option.startswith("--") and any(o.startswith(option) for o in theirs)]
