"""The house rules that a machine can check; CONTRIBUTING.md says them in words."""

from __future__ import annotations

import ast
import json
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "radrag"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)
LONGEST = 350

GROUND = {"types", "errors", "protocols", "_version"}
BELOW_PIPELINES = {"metrics", "corpora", "calibration", "indexes", "generation", "reading", "grounding", "labelling"}
MAY_IMPORT: dict[str, set[str]] = {
    "metrics": set(),
    "corpora": set(),
    "generation": set(),
    "calibration": {"metrics"},
    "indexes": {"corpora", "metrics"},
    "reading": {"corpora", "indexes", "generation"},
    "grounding": {"corpora", "indexes", "calibration"},
    "labelling": {"corpora", "indexes", "generation", "calibration", "metrics"},
    "pipelines": BELOW_PIPELINES,
    "training": {"corpora", "indexes", "generation", "metrics", "reading", "grounding", "labelling"},
    "evaluation": {"pipelines", *BELOW_PIPELINES},
}
EVERYTHING = {"cli", "__init__", "__main__"}

HEAVY = {"torch", "faiss", "llama_index", "transformers", "sklearn", "ragas", "scipy", "model2vec"}
TOP_LEVEL = {
    *("radrag", "indexes", "corpora", "examples", "tests", "pyproject.toml", "README.md"),
    *("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "constraints.txt", ".ci", ".gitignore", ".gitattributes"),
}
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "xml.etree"}
XML_NAMES = {"xml.etree.ElementTree.Element", "xml.etree.ElementTree.ParseError"}  # a type and an error; no parser
UNSAFE_CALLS = {"eval", "exec", "yaml.full_load", "yaml.full_load_all", "yaml.unsafe_load", "yaml.unsafe_load_all"}


def package_of(path: PurePosixPath) -> str:
    """The part of radrag that a file, given relative to ``radrag/``, belongs to."""
    return path.parts[0].removesuffix(".py")


def dotted(node: ast.expr) -> str:
    """``a.b.c`` for a chain of attributes, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := dotted(node.value)):
        return f"{left}.{node.attr}"
    return ""


def imported(tree: ast.AST, path: PurePosixPath) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import, wherever it stands; ``path`` is relative to ``radrag/``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ["radrag", *path.parts[:-1]]
            start = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in ("import_module", "__import__"):
            match node.args:
                case [ast.Constant(value=str(name)), *_]:
                    yield node.lineno, name


def wrong_imports(text: str, path: PurePosixPath) -> list[str]:
    """Say which imports of a file point the wrong way."""
    package = package_of(path)
    if package in EVERYTHING:
        return []
    if package in GROUND:
        allowed = {"types", "errors"}
    elif package in MAY_IMPORT:
        allowed = MAY_IMPORT[package] | GROUND | {package}
    else:
        return [f"radrag/{path}: {package} is not in the table of imports"]
    problems = []
    for line, name in imported(ast.parse(text), path):
        first, *rest = name.split(".")
        if first == "radrag" and (not rest or rest[0] not in allowed):
            problems.append(f"radrag/{path}:{line}: {package} may not import {name}")
    return problems


def unsafe(text: str) -> list[str]:
    """Say which lines unpickle, evaluate text, or parse it unsafely.

    ``yaml.load`` passes with a loader that the same file derives from yaml's safe one.
    """
    tree = ast.parse(text)
    safe = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and [dotted(base) for base in node.bases] == ["yaml.SafeLoader"]
    }
    problems = []
    for line, name in imported(tree, PurePosixPath("x.py")):
        if name not in XML_NAMES and any(name == module or name.startswith(module + ".") for module in UNSAFE_MODULES):
            problems.append(f"{line}: imports {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if dotted(node.func) in UNSAFE_CALLS:
                problems.append(f"{node.lineno}: calls {dotted(node.func)}")
            if dotted(node.func) in ("yaml.load", "yaml.load_all"):
                loaders = [dotted(keyword.value) for keyword in node.keywords if keyword.arg == "Loader"]
                if not loaders or loaders[0] not in safe:
                    problems.append(f"{node.lineno}: calls yaml.load without a safe loader of this file")
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    problems.append(f"{node.lineno}: allows pickle")
    return problems


def relative(path: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(SOURCE).as_posix())


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Every file that git tracks or would add."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return sorted({name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()})


def test_imports_point_one_way() -> None:
    problems = [line for path in FILES for line in wrong_imports(path.read_text("utf-8"), relative(path))]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("metrics/a.py", "from radrag.corpora import chunk"),
        ("metrics/a.py", "import radrag.corpora.chunking as c"),
        ("metrics/a.py", "from radrag import corpora"),
        ("metrics/a.py", "from radrag import HybridIndex"),
        ("metrics/a.py", "import radrag"),
        ("metrics/a.py", "def f():\n    from ..corpora import chunk"),
        ("metrics/sub/a.py", "from ...corpora import chunk"),
        ("metrics/a.py", "from .. import corpora"),
        ("metrics/a.py", "import importlib\nimportlib.import_module('radrag.corpora')"),
        ("metrics/__init__.py", "from ..corpora.chunking import chunk"),
        ("types.py", "from radrag.protocols import Encoder"),
        ("errors.py", "from .metrics import recall"),
        ("novel/a.py", ""),
    ],
)
def test_a_wrong_import_is_seen(path: str, text: str) -> None:
    assert wrong_imports(text, PurePosixPath(path))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("metrics/a.py", "from radrag.types import Hit\nfrom radrag.metrics._checks import x\nimport numpy as np"),
        ("metrics/a.py", "from . import text\nfrom .text import f\nfrom ..errors import require\nfrom .. import types"),
        ("metrics/__init__.py", "from .text import f"),
        ("indexes/a.py", "def f():\n    from radrag.corpora import chunk"),
        ("cli.py", "import radrag\nfrom radrag.training import qlora"),
        ("protocols.py", "from radrag.types import Hit"),
    ],
)
def test_a_right_import_passes(path: str, text: str) -> None:
    assert wrong_imports(text, PurePosixPath(path)) == []


def test_files_are_short() -> None:
    lengths = {str(relative(path)): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_only_the_command_line_prints() -> None:
    found = []
    for path in FILES:
        if package_of(relative(path)) != "cli":
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and dotted(node.func) == "print":
                    found.append(f"radrag/{relative(path)}:{node.lineno}")
    assert found == []


def test_nothing_unpickles_or_evaluates() -> None:
    found = [f"radrag/{relative(path)}:{line}" for path in FILES for line in unsafe(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "class L(yaml.UnsafeLoader): pass\nyaml.load(x, Loader=L)",
        *("from xml.etree.ElementTree import parse", "import xml.etree.ElementTree as ET"),
        *("import pickle", "from pickle import loads", "from xml import etree"),
        *(
            "eval('1')",
            "exec('1')",
            "yaml.load(x)",
            "yaml.load(x, Loader=yaml.Loader)",
            "np.load(x, allow_pickle=True)",
        ),
    ],
)
def test_unsafe_code_is_seen(text: str) -> None:
    assert unsafe(text)


def test_a_safe_call_passes() -> None:
    assert (
        unsafe("model.eval()\nyaml.safe_load(x)\nimport defusedxml.ElementTree\nnp.load(x, allow_pickle=False)") == []
    )


def test_importing_radrag_loads_nothing_heavy() -> None:
    code = "import json, sys, radrag; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert HEAVY & set(json.loads(done.stdout)) == set()


def test_top_level_holds_what_it_should(tracked: list[str]) -> None:
    assert {name.split("/")[0] for name in tracked} - TOP_LEVEL == set()


def test_no_leftovers_of_merges_and_editors(tracked: list[str]) -> None:
    assert [name for name in tracked if name.endswith((".orig", ".rej", ".bak"))] == []


def test_no_path_of_one_machine(tracked: list[str]) -> None:
    needles = ["/" + place + "/" for place in ("work", "root")]
    found = []
    for name in tracked:
        content = (ROOT / name).read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
            found += [f"{name}:{number}: {needle}" for needle in needles if needle in line]
    assert found == []


def test_changelog_names_the_version() -> None:
    namespace = ast.parse((SOURCE / "_version.py").read_text("utf-8"))
    (version,) = (
        node.value.value
        for node in namespace.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    )
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## \[{re.escape(str(version))}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)


def test_constraints_pin_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert list(pins) == sorted(pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    for text in declared:
        requirement = Requirement(text)
        if requirement.name != "radrag":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text


def test_the_network_is_blocked() -> None:
    with socket.socket() as probe, pytest.raises(RuntimeError, match="without network"):
        probe.connect(("192.0.2.1", 80))
