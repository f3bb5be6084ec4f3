"""The bundles that the package carries are those that web/ gives."""

import hashlib
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
BUNDLES = WEB.parent / "src" / "gated" / "inspect" / "bundles"
SHARED = ("package-lock.json", "package.json", "tsconfig.json", "build.mjs")


@pytest.mark.parametrize("page", ["explorer", "lesson"])
@pytest.mark.parametrize("kind", ["js", "css"])
def test_a_bundle_was_made_from_the_sources_beside_it(page, kind):
    own = [p for part in ("parts", page) for p in (WEB / "src" / part).rglob("*") if p.is_file()]
    names = sorted([*SHARED, *(str(p.relative_to(WEB)) for p in own)])
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0".encode() + (WEB / name).read_bytes() + b"\0")
    first = (BUNDLES / f"{page}.{kind}").read_text("utf-8").partition("\n")[0]
    assert first == f"/* {digest.hexdigest()} */", "run `make web` and commit the bundles"
