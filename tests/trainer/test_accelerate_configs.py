"""The launch configurations of the examples are what accelerate reads and what their names say."""

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType

CONFIGS = Path(__file__).parents[2] / "examples" / "accelerate_configs"

EXPECTED = {
    "cpu_ddp": (DistributedType.MULTI_GPU, 1, 2, "no"),
    "ddp": (DistributedType.MULTI_GPU, 1, 8, "bf16"),
    "fsdp2": (DistributedType.FSDP, 1, 8, "bf16"),
    "multi_node": (DistributedType.MULTI_GPU, 2, 16, "bf16"),
}


def test_every_configuration_is_checked() -> None:
    assert sorted(path.stem for path in CONFIGS.glob("*.yaml")) == sorted(EXPECTED)


@pytest.mark.parametrize("name", list(EXPECTED))
def test_accelerate_reads_the_configuration(name: str) -> None:
    config = load_config_from_file(str(CONFIGS / f"{name}.yaml"))  # unknown keys are errors
    facts = (config.distributed_type, config.num_machines, config.num_processes, config.mixed_precision)
    assert facts == EXPECTED[name]


def launch_arguments(name: str, *options: str) -> object:
    command = ["--config_file", str(CONFIGS / f"{name}.yaml"), *options, "examples/run_clm.py"]
    return _validate_launch_command(launch_command_parser().parse_args(command))[0]


def test_fsdp2_is_version_2() -> None:
    arguments = launch_arguments("fsdp2")
    assert arguments.use_fsdp is True
    assert arguments.multi_gpu is False
    assert (arguments.fsdp_version, arguments.fsdp_state_dict_type) == (2, "SHARDED_STATE_DICT")
    assert arguments.fsdp_transformer_layer_cls_to_wrap == "GPT2Block"


def test_the_second_machine_of_two() -> None:
    arguments = launch_arguments("multi_node", "--machine_rank", "1", "--main_process_ip", "10.0.0.1")
    assert arguments.multi_gpu is True
    assert (arguments.machine_rank, arguments.num_machines, arguments.main_process_ip) == (1, 2, "10.0.0.1")
    assert arguments.main_process_port == 29500
