"""What every test shares: no network, and the development data where it is present."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Set here, not in a fixture: some of these are read when a library is imported, which collection already does.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["RAGAS_DO_NOT_TRACK"] = "true"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for a busy core make small models ten times slower

DATA = Path(os.environ.get("RADRAG_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
_CONNECT = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex")}


def _is_local(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = str(address[0])
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _guarded(name: str) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        if not _is_local(self.family, address):
            raise RuntimeError(f"a test tried to reach {address!r}; tests run without network")
        return _CONNECT[name](self, address)

    return connect


def pytest_configure() -> None:
    """Block connections before the first test module is imported; no example fails for being slow on a busy machine."""
    settings.register_profile("radrag", deadline=None)
    settings.load_profile("radrag")
    for name in _CONNECT:
        setattr(socket.socket, name, _guarded(name))


def pytest_unconfigure() -> None:
    """Give the connections back."""
    for name, function in _CONNECT.items():
        setattr(socket.socket, name, function)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of development data."""
    if not DATA.is_dir():
        pytest.skip(f"no development data in {DATA}; set RADRAG_DATA (see CONTRIBUTING.md)")
    return DATA
