"""The wheel, as a user gets it: it carries the corpora and the models, and works far from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")
pytest.importorskip("hatchling")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
COUNTS = {
    "protocols": 104,
    "evidence": 322,
    "notes": [12000, 438, 430],
    "reports": 170,
    "questions": 364,
    "phi": 66,
    "claims": [2208, 216],
}
LOAD = """
import json, pathlib, radrag
from radrag.corpora import SHIPPED, corpus_folder, load_card, load_evidence, load_notes, load_protocols, load_questions
from radrag.corpora import load_claims, load_phi_notes, load_reports
for name in SHIPPED:
    load_card(corpus_folder(name))
counts = {
    "protocols": len(load_protocols()), "evidence": len(load_evidence()),
    "notes": [len(load_notes(split)) for split in ("train", "calibration", "test")],
    "reports": len(load_reports()), "questions": len(load_questions()),
    "phi": len(load_phi_notes()), "claims": [len(load_claims(split)) for split in ("development", "test")],
}
print(json.dumps({"counts": counts, "at": str(pathlib.Path(radrag.__file__).parent),
                  "corpora": str(corpus_folder("protocols"))}))
"""


def run(*arguments: str, **options: object) -> str:
    """Run this Python and return what it printed; an error shows what it said."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (path,) = folder.glob("radrag-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


def environment(installed: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed)}


def test_wheel_carries_what_ships(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {"radrag/py.typed"}
    for folder, root in (("corpora", "radrag/_corpora"), ("radrag", "radrag")):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                expected.add(f"{root}/{path.relative_to(ROOT / folder).as_posix()}")
    assert expected - names == set()
    for corpus in ("protocols", "evidence", "protocol-notes", "questions"):
        assert f"radrag/_corpora/{corpus}/README.md" in names
    assert any(name.startswith("radrag/assets/") and name.endswith(".safetensors") for name in names)


def test_wheel_carries_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"radrag"}
    assert [name for name in names if "__pycache__" in name] == []


def test_corpora_load_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    report = json.loads(run("-c", LOAD, cwd=tmp_path, env=environment(installed)))
    assert report["counts"] == COUNTS
    assert Path(report["at"]) == installed / "radrag"
    assert Path(report["corpora"]) == installed / "radrag" / "_corpora" / "protocols"


def test_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    shown = run("-m", "radrag", "demo", cwd=tmp_path, env=environment(installed), timeout=900)
    assert shown.strip()
