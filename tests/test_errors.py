import os
import subprocess
import sys
from pathlib import Path

import pytest

from radrag import errors
from radrag.errors import CorpusError, MissingExtraError, RadragError, require


def test_tree_is_as_drawn() -> None:
    assert issubclass(errors.CorpusError, ValueError)
    assert issubclass(errors.PromptError, ValueError)
    assert issubclass(errors.MissingExtraError, ImportError)
    assert issubclass(errors.IndexMismatchError, errors.IndexStateError)
    assert issubclass(errors.IndexCorruptError, errors.IndexStateError)
    drawn = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert issubclass(errors.TrainingError, errors.ModelError)
    assert len(drawn) == 9
    assert all(issubclass(error, RadragError) for error in drawn)
    assert all(error.__name__ in (errors.__doc__ or "") for error in drawn)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({}, "bad"),
        ({"file": Path("a.csv")}, "file a.csv: bad"),
        ({"file": "a.csv", "record": 3, "field": "pmid"}, "file a.csv, record 3, field pmid: bad"),
        ({"record": 0}, "record 0: bad"),
    ],
)
def test_corpus_error_says_where(where: dict[str, object], message: str) -> None:
    error = CorpusError("bad", **where)
    assert str(error) == message
    assert error.record == where.get("record")
    assert error.file == (str(where["file"]) if "file" in where else None)


def test_require_returns_the_module() -> None:
    assert require("json", extra="llama") is sys.modules["json"]


@pytest.mark.parametrize("module", ["radrag_absent", "radrag_absent.inner"])
def test_absent_module_gives_the_pip_line(module: str) -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'radrag\[ragas\]'") as caught:
        require(module, extra="ragas")
    assert caught.value.name == module


def test_error_inside_the_module_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "radrag_broken_inside.py").write_text("import radrag_absent_too\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="radrag_absent_too") as caught:
        require("radrag_broken_inside", extra="llama")
    assert not isinstance(caught.value, MissingExtraError)


@pytest.mark.torch
def test_nothing_is_fetched_while_bitsandbytes_is_imported(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    fake = "import pathlib\ndef get_kernel(*a, **k):\n    pathlib.Path(__file__).with_name('asked').touch()\n"
    (tmp_path / "kernels.py").write_text(fake)
    code = "from radrag.errors import require; require('peft', extra='llama'); import kernels; kernels.get_kernel"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "asked").exists()
    assert "kernels" not in done.stderr
