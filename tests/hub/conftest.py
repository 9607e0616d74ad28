"""One server and one client per session, emptied for every test; finished runs to publish."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_client import ClientProcess
from hub_server import HubServer
from tiny_runs import make_trainer


@pytest.fixture(scope="session")
def running_hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(scope="session")
def running_client(running_hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientProcess]:
    client = ClientProcess(tmp_path_factory.mktemp("client") / "home", running_hub.url)
    yield client
    client.close()


@pytest.fixture
def hub(running_hub: HubServer) -> HubServer:
    """An empty Hub."""
    running_hub.reset()
    return running_hub


@pytest.fixture
def client(running_client: ClientProcess, hub: HubServer) -> ClientProcess:
    """A client that knows no token but the one of its command."""
    return running_client


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folder of a finished run of a kind that `make_trainer` knows; each is trained once."""
    folders: dict[str, Path] = {}

    def run(kind: str, **options: Any) -> Path:
        if kind not in folders:
            folder = tmp_path_factory.mktemp("runs") / kind
            make_trainer(kind, folder, save_strategy="steps", save_steps=3, **options).train()
            folders[kind] = folder
        return folders[kind]

    return run
