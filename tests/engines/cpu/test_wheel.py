"""What a wheel holds: with kernels for machines like these, without any for all."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import zipfile
from pathlib import Path

import pytest
from hatchling import build

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, with one file for a package."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, tmp_path)
    package = tmp_path / "src" / "gated"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill(tree: Path, **objects: bytes) -> None:
    (tree / "build" / "kernels").mkdir(parents=True)
    for name, content in objects.items():
        (tree / "build" / "kernels" / f"{name}.so").write_bytes(content)


def test_without_kernels_it_is_for_every_machine(tree: Path) -> None:
    assert build.build_wheel("dist").endswith("-py3-none-any.whl")


def test_kernels_stand_where_the_package_looks_for_them(tree: Path) -> None:
    fill(tree, a=b"one", b=b"two")
    with zipfile.ZipFile(tree / "dist" / build.build_wheel("dist")) as wheel:
        held = {name: wheel.read(name) for name in wheel.namelist() if name.endswith(".so")}
    assert held == {
        "gated/engines/cpu/kernels/a.so": b"one",
        "gated/engines/cpu/kernels/b.so": b"two",
    }


def test_the_tag_says_how_new_the_c_library_must_be(tree: Path) -> None:
    fill(tree, a=b"\0exp\0GLIBC_2.29\0GLIBC_2.2.5\0", b=b"\0GLIBC_2.14\0")
    assert build.build_wheel("dist").endswith(f"-py3-none-manylinux_2_29_{platform.machine()}.whl")


def test_an_editable_install_has_none(tree: Path) -> None:
    fill(tree, a=b"one")
    spec = importlib.util.spec_from_file_location("hatch_build", "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    for version, tagged in (("editable", False), ("standard", True)):
        data = {"force_include": {}}
        hook.Kernels(str(tree), {}, None, None, "dist", "wheel").initialize(version, data)
        assert ("tag" in data) is bool(data["force_include"]) is tagged


def test_a_source_archive_has_none_and_can_build_a_wheel(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tree, a=b"one")
    shutil.unpack_archive(Path("dist") / build.build_sdist("dist"), "unpacked")
    (whole,) = Path("unpacked").iterdir()
    assert not list(whole.rglob("*.so"))
    monkeypatch.chdir(whole)
    assert build.build_wheel("dist").endswith("-py3-none-any.whl")
