"""The run directory: who may use it, and what stands in it."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch

from gated.errors import CheckpointError, OptionError
from gated.training import RunDirectory

CONFIG = {"task": "forecast", "hidden_size": 6, "quantiles": [0.1, 0.9]}


def finished(path: Path) -> Path:
    with RunDirectory.create(path, CONFIG) as run:
        run.write_json("scalers.json", {"mean": 0.1})
        run.save_model({"w": torch.ones(1)})
    return path


def test_a_new_run_holds_its_configuration_and_environment(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "a" / "run", CONFIG):
        pass
    config = json.loads((tmp_path / "a" / "run" / "config.json").read_text())
    assert CONFIG.items() <= config.items()
    environment = json.loads((tmp_path / "a" / "run" / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["threads"] == torch.get_num_threads()
    assert environment["cpu"]
    assert environment["platform"]


def test_two_trainers_never_share_a_directory(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run", CONFIG):
        for begin in (RunDirectory.create, RunDirectory.resume):
            with pytest.raises(CheckpointError, match=f"process {os.getpid()} on .* is using"):
                begin(tmp_path / "run", CONFIG)


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run", CONFIG):
        pass
    with RunDirectory.resume(tmp_path / "run", CONFIG) as run:
        assert run.config == CONFIG


def test_a_refused_run_gives_its_lock_back(tmp_path: Path) -> None:
    finished(tmp_path / "run")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="finished run"):
            RunDirectory.create(tmp_path / "run", CONFIG)


def test_reading_needs_no_lock(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run", CONFIG):
        assert RunDirectory.open(tmp_path / "run").config == CONFIG


def test_a_directory_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "config.json").write_text('{"of": "something else"}')
    with pytest.raises(CheckpointError, match=r"is not a run \(it holds config.json\)"):
        RunDirectory.create(tmp_path, CONFIG, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "thesis.tex"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(CheckpointError, match="is a file, expected a directory"):
        RunDirectory.create(tmp_path / "run", CONFIG)


def test_a_finished_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    with pytest.raises(CheckpointError, match="holds a finished run; overwrite it, or choose"):
        RunDirectory.create(path, CONFIG)
    assert torch.equal(RunDirectory.open(path).load_model()["w"], torch.ones(1))


def test_an_unfinished_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "run", CONFIG).close()
    with pytest.raises(CheckpointError, match="holds an unfinished run; resume it, overwrite it"):
        RunDirectory.create(tmp_path / "run", CONFIG)


def test_overwriting_leaves_nothing_of_the_old_run(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    with RunDirectory.resume(path) as run:
        run.append_metrics({"epoch": 1})
        run.save_state({"epoch": 1})
        run.write_text("report.html", "<p>old</p>")
    with RunDirectory.create(path, {"task": "other"}, overwrite=True) as run:
        assert run.load_state() is None
        assert not run.finished
        assert run.metrics == []
    names = {".lock", "config.json", "environment.json", "checkpoints"}
    assert set(os.listdir(path)) == names


def test_overwriting_leaves_what_people_added(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    (path / "notes.txt").write_text("mine")
    RunDirectory.create(path, CONFIG, overwrite=True).close()
    assert (path / "notes.txt").read_text() == "mine"


def test_resuming_with_another_configuration_lists_the_names(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "run", CONFIG).close()
    changed = {**CONFIG, "hidden_size": 7, "cell": "gru"}
    with pytest.raises(CheckpointError) as caught:
        RunDirectory.resume(tmp_path / "run", changed)
    assert 'cell: absent became "gru"; hidden_size: 6 became 7' in str(caught.value)
    assert "task" not in str(caught.value)


def test_a_configuration_with_tuples_equals_itself_after_json(tmp_path: Path) -> None:
    config = {"lags": (1, 24)}
    RunDirectory.create(tmp_path / "run", config).close()
    RunDirectory.resume(tmp_path / "run", config).close()


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no run in .* to resume"):
        RunDirectory.resume(tmp_path / "typo", CONFIG)


def test_a_run_killed_at_birth_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    (tmp_path / "run" / ".config.json.12.writing").write_text("{")
    with RunDirectory.resume(tmp_path / "run", CONFIG) as run:
        assert run.config == CONFIG
    assert not list((tmp_path / "run").glob("*.writing"))


def test_a_damaged_configuration_is_an_error(tmp_path: Path) -> None:
    path = finished(tmp_path / "run")
    (path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"cannot read .*config.json"):
        RunDirectory.open(path)


def test_a_configuration_that_cannot_be_json_makes_no_directory(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'cell'"):
        RunDirectory.create(tmp_path / "run", {"cell": object()})
    assert not (tmp_path / "run").exists()


def test_opening_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is not a run: it holds no config.json"):
        RunDirectory.open(tmp_path)


def test_json_files_keep_every_bit_of_a_float(tmp_path: Path) -> None:
    scalers = {"mean": 0.1 + 0.2, "scale": 5e-324}
    with RunDirectory.create(tmp_path / "run", CONFIG) as run:
        run.write_json("scalers.json", scalers)
        assert run.read_json("scalers.json") == scalers


def test_a_missing_json_file_is_named(tmp_path: Path) -> None:
    run = RunDirectory.open(finished(tmp_path / "run"))
    with pytest.raises(CheckpointError, match=r"history.json"):
        run.read_json("history.json")


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"cannot write .* choose another directory"):
        RunDirectory.create(tmp_path / "file" / "run", CONFIG)


def test_nested_names_that_differ_are_listed_alone(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "run", {"training": {"seed": 0, "patience": 8}}).close()
    with pytest.raises(CheckpointError, match=r"configuration: training.seed: 0 became 1; resume"):
        RunDirectory.resume(tmp_path / "run", {"training": {"seed": 1, "patience": 8}})


def test_how_often_to_save_may_change_on_resuming(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "run", {"training": {"checkpoint_seconds": 60.0}}).close()
    RunDirectory.resume(tmp_path / "run", {"training": {"checkpoint_seconds": 1.0}}).close()


def test_a_metrics_line_cut_by_a_kill_is_not_read(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path / "run", CONFIG) as run:
        run.append_metrics({"epoch": 1})
        with (run.path / "metrics.jsonl").open("a") as file:
            file.write('{"epo')
        assert run.metrics == [{"epoch": 1}]


def test_a_full_disk_at_a_metrics_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with RunDirectory.create(tmp_path / "run", CONFIG) as run:
        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(CheckpointError, match=r"cannot write .*metrics.jsonl: No space left"):
            run.append_metrics({"epoch": 1})
