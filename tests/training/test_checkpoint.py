"""Models and states on disk: what comes back, and what damage gets (FAULTS rows 25 to 28, 31)."""

import errno
import fcntl
import json
import os
import pickle
import random
import resource
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch

from gated.errors import CheckpointError, OptionError
from gated.training import load_model, load_weights, save_model
from gated.training.checkpoint import load_state, save_state
from gated.training.pack import pack, unpack
from gated.training.sealed import seal, unseal

TENSORS = {
    "cell.weight_ih_l0": torch.randn(12, 5, generator=torch.Generator().manual_seed(0)),
    "cell.bias_l0": torch.arange(12.0),
    "head.weight": torch.ones(3, 4),
}


def saved_state(directory: Path, **content: object) -> Path:
    return save_state(directory, {"epoch": 3, **content, **TENSORS})


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([1.5, -0.0, float("nan"), float("inf")]),
        torch.tensor([1e-300, 2.0], dtype=torch.float64),
        torch.tensor([1.5, 3.25], dtype=torch.bfloat16),
        torch.tensor([1.5, 6e-8], dtype=torch.float16),
        torch.tensor([2**62, -1], dtype=torch.int64),
        torch.tensor([True, False]),
        torch.tensor(7.0),
        torch.tensor(True),
        torch.empty(0, 4),
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12.0)[3:9:2],
        torch.arange(3.0).expand(2, 3),
        torch.nn.Parameter(torch.ones(2)),
    ],
    ids=str,
)
def test_every_tensor_keeps_its_bits(tmp_path: Path, tensor: torch.Tensor) -> None:
    save_model(tmp_path, {"x": tensor}, {})
    back = load_model(tmp_path)[0]["x"]
    assert back.dtype == tensor.dtype
    assert back.shape == tensor.shape
    flat = tensor.detach().contiguous().reshape(-1)
    assert torch.equal(back.reshape(-1).view(torch.uint8), flat.view(torch.uint8))


def test_tied_tensors_are_all_there_and_independent(tmp_path: Path) -> None:
    shared = torch.ones(3, 2)
    save_model(tmp_path, {"embed": shared, "head": shared, "part": shared[1]}, {})
    back, _ = load_model(tmp_path)
    back["embed"].zero_()
    assert torch.equal(back["head"], torch.ones(3, 2))
    assert torch.equal(back["part"], torch.ones(2))


def test_plain_safetensors_can_read_a_model(tmp_path: Path) -> None:
    save_model(tmp_path, TENSORS, {"hidden_size": 3})
    plain = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert plain.keys() == TENSORS.keys()
    assert all(torch.equal(plain[name], TENSORS[name]) for name in TENSORS)


def test_config_json_says_versions_and_checksum(tmp_path: Path) -> None:
    checksum = save_model(tmp_path, TENSORS, {"hidden_size": 3})
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["format_version"] == 1
    assert config["checksum"] == checksum
    assert config["hidden_size"] == 3
    assert config["gated_version"]


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_model(tmp_path / name, TENSORS, {"hidden_size": 3})
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("config", [{"x": object()}, {"checksum": "0"}])
def test_a_configuration_that_cannot_be_kept_is_refused(tmp_path: Path, config: dict) -> None:
    with pytest.raises(OptionError, match=next(iter(config))):
        save_model(tmp_path, TENSORS, config)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_value_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'extra': got int, expected a tensor"):
        save_model(tmp_path, {"extra": 3}, {})


def test_nested_values_come_back_with_their_types() -> None:
    tree = {"betas": (0.9, 0.999), 3: [None, True, "x"], "a": {"b": 1e-17}, "$tuple": -2}
    assert unpack(*pack(tree)) == tree


def test_nested_tensors_whose_paths_collide_stay_apart() -> None:
    tree = {"a.b": torch.tensor(1), "a": {"b": torch.tensor(2)}}
    back = unpack(*pack(tree))
    assert (back["a.b"].item(), back["a"]["b"].item()) == (1, 2)


# Row 25: truncated at any byte.


def test_a_file_cut_at_any_byte_is_refused() -> None:
    data, _ = seal({"w": torch.arange(4.0)}, {"epoch": 1})
    for size in range(len(data)):
        with pytest.raises(CheckpointError, match="damaged"):
            unseal(data[:size], "model")


def test_a_cut_state_offers_the_one_before_it(tmp_path: Path) -> None:
    older, newer = saved_state(tmp_path, turn=1), saved_state(tmp_path, turn=2)
    newer.write_bytes(newer.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=f"{newer.name}.*truncated.*{older.name}, is intact"):
        load_state(tmp_path)
    newer.unlink()  # what the message says
    assert load_state(tmp_path)["turn"] == 1


def test_when_no_state_is_intact_the_message_says_so(tmp_path: Path) -> None:
    for path in (saved_state(tmp_path), saved_state(tmp_path)):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no earlier one is intact"):
        load_state(tmp_path)


# Row 26: any bit flipped.


def test_a_flip_of_any_bit_is_found() -> None:
    data, _ = seal({"w": torch.arange(4.0), "é": torch.tensor(1)}, {"epoch": 1})
    for at in range(8 * len(data)):
        bad = bytearray(data)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(CheckpointError):
            unseal(bytes(bad), "model")


@pytest.mark.parametrize("name", TENSORS)
def test_a_flip_within_a_tensor_names_it(tmp_path: Path, name: str) -> None:
    save_model(tmp_path, TENSORS, {})
    path = tmp_path / "model.safetensors"
    data = bytearray(path.read_bytes())
    at = data.index(TENSORS[name].numpy().tobytes())
    data[at + random.Random(0).randrange(TENSORS[name].nbytes)] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=f"checksum of tensor {name} does not match"):
        load_model(tmp_path)


def test_a_flip_within_the_header_names_the_header(tmp_path: Path) -> None:
    save_model(tmp_path, TENSORS, {"hidden_size": 3})
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b"hidden_size", b"hidden_rize"))
    with pytest.raises(CheckpointError, match="header does not match"):
        load_model(tmp_path)


def test_an_edited_configuration_is_found(tmp_path: Path) -> None:
    save_model(tmp_path, TENSORS, {"hidden_size": 3, "layers": 1})
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"hidden_size": 3', '"hidden_size": 4'))
    with pytest.raises(CheckpointError, match="hidden_size: 3 became 4; undo"):
        load_model(tmp_path)


def test_a_model_alone_is_complete(tmp_path: Path) -> None:
    save_model(tmp_path, TENSORS, {"hidden_size": 3})
    (tmp_path / "config.json").unlink()
    assert load_model(tmp_path)[1] == {"hidden_size": 3}


# Row 27: a pickle is refused unread.


class Bomb:
    """Unpickling this makes a directory."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("exploded",)


def test_pickles_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    writers = [
        lambda: torch.save({"w": Bomb()}, path),
        lambda: torch.save({"w": Bomb()}, path, _use_new_zipfile_serialization=False),
        *(
            lambda protocol=protocol: path.write_bytes(pickle.dumps(Bomb(), protocol))
            for protocol in range(2, 6)
        ),
    ]
    for write in writers:
        write()
        with pytest.raises(CheckpointError, match=r"pickle.*so it was not read"):
            load_model(tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_a_header_that_begins_like_a_pickle_is_read() -> None:
    # A header of 640 bytes begins with 0x80 0x02, as a pickle of protocol 2 does.
    for filling in range(640):
        data, _ = seal({"w": torch.ones(1)}, {"x": "." * filling})
        if data[:2] == b"\x80\x02":
            break
    assert data[:2] == b"\x80\x02"
    assert unseal(data, "model")[1] == {"x": "." * filling}


# Row 28: disk full or I/O error.


def test_a_full_disk_leaves_the_old_model(tmp_path: Path) -> None:
    save_model(tmp_path, TENSORS, {"turn": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot write .*model.safetensors.*intact"):
            save_model(tmp_path, {"w": torch.zeros(100_000)}, {"turn": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert load_model(tmp_path)[1] == {"turn": 1}
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_an_io_error_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    saved_state(tmp_path, turn=1)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(CheckpointError, match="Input/output error"):
            saved_state(tmp_path, turn=2)
    assert load_state(tmp_path)["turn"] == 1
    assert os.listdir(tmp_path) == ["state-000000.safetensors"]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]))
    saved_state(tmp_path, turn=1)
    assert load_state(tmp_path)["turn"] == 1


def test_the_file_is_forced_to_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    saved_state(tmp_path)
    assert calls == ["fsync", "rename", "fsync"]


# Row 29: killed at any moment (bench/kill_resume.py kills for real).


def test_a_kill_between_model_and_configuration_loads_the_new_model(tmp_path: Path) -> None:
    save_model(tmp_path, TENSORS, {"hidden_size": 3})
    old = (tmp_path / "config.json").read_bytes()
    save_model(tmp_path, {"w": torch.ones(1)}, {"hidden_size": 4})
    (tmp_path / "config.json").write_bytes(old)
    tensors, config = load_model(tmp_path)
    assert config == {"hidden_size": 4}
    assert list(tensors) == ["w"]


def test_strays_are_removed(tmp_path: Path) -> None:
    saved_state(tmp_path, turn=1)
    (tmp_path / ".state-000001.safetensors.123.writing").write_bytes(b"half")
    assert load_state(tmp_path)["turn"] == 1
    assert os.listdir(tmp_path) == ["state-000000.safetensors"]


def test_the_file_of_a_living_writer_is_no_stray(tmp_path: Path) -> None:
    stray = tmp_path / ".state-000001.safetensors.123.writing"
    with stray.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert load_state(tmp_path) is None
        assert stray.exists()


def test_the_last_two_states_are_kept(tmp_path: Path) -> None:
    for turn in range(5):
        saved_state(tmp_path, turn=turn)
    names = sorted(os.listdir(tmp_path))
    assert names == ["state-000003.safetensors", "state-000004.safetensors"]
    assert load_state(tmp_path)["turn"] == 4


def test_no_state_is_none(tmp_path: Path) -> None:
    assert load_state(tmp_path / "never") is None


# Row 31: wrong architecture or version.


def test_weights_of_another_architecture_list_what_differs() -> None:
    module = torch.nn.LSTM(2, 3)
    tensors = {**torch.nn.LSTM(2, 4).state_dict(), "head.weight": torch.ones(1)}
    del tensors["bias_hh_l0"]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(module, tensors, "model.safetensors")
    message = str(caught.value)
    assert "bias_hh_l0 is missing" in message
    assert "head.weight is unknown to the model" in message
    assert "weight_ih_l0 has shape (16, 2), the model expects (12, 2)" in message
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path, TENSORS, {})
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(CheckpointError, match=r"format version 2 .*reads version 1; install"):
        load_model(tmp_path)


def test_a_training_state_is_no_model(tmp_path: Path) -> None:
    saved_state(tmp_path).rename(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="is a training state, expected a model"):
        load_model(tmp_path)


def test_a_foreign_safetensors_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    safetensors.torch.save_file(TENSORS, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="not gated's"):
        load_model(tmp_path)


def test_a_missing_model_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist; expected a directory that holds"):
        load_model(tmp_path)
