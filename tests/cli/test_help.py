"""--help teaches: every option of the configuration, and examples that are command lines."""

import dataclasses
import re

import pytest

from gated.tasks.forecast import ForecastConfig

COMMANDS = [["demo"], ["train", "forecast"], ["evaluate"], ["backtest"], ["predict"], ["report"],
            ["explain"], ["learn"], ["cells"], ["demonstrate"], ["doctor"]]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_ends_with_examples_that_call_the_command(gated, command):
    examples = gated(*command, "--help").out.partition("Examples:\n")[2].strip().splitlines()
    assert examples
    assert all(" ".join(["gated", *command]) in line for line in examples)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_options_in_examples_exist(gated, command):
    text, _, examples = gated(*command, "--help").out.partition("Examples:\n")
    assert set(re.findall(r"--[a-z-]+", examples)) <= set(re.findall(r"--[a-z-]+", text))


def test_every_field_is_an_option_under_its_group(gated):
    text = gated("train", "forecast", "--help").out
    for field in dataclasses.fields(ForecastConfig):
        section = text.partition(f"\n{field.metadata['group'].capitalize()}:\n")[2]
        assert f"--{field.name.replace('_', '-')} " in section.partition("\n\n")[0], field.name


def test_the_list_of_commands_is_the_list_of_what_can_be_asked(gated):
    listed = gated("--help").out.partition("Commands:\n")[2].split("\n")
    names = {line.split()[0] for line in listed if line.strip()}
    assert names == {command[0] for command in COMMANDS}
