"""The whole system in threads of the test's process: workers on SQLite, and front ends on ports."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import auth.main
import catalog.main
from bus.client.client import Client
from bus.messaging.connect import transport_for
from bus.service.application import Application
from bus.testing.databases import migrated
from bus.worker.worker import Worker
from support.serving import serving

APPLICATIONS = (auth.main.application, catalog.main.application)

START_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass
class RunningSystem:
    """Both services on the broker at `url`, with empty databases in `folder`. `front_ends` maps names to URLs."""

    url: str
    folder: Path
    front_ends: dict[str, str] = field(default_factory=dict)
    _closing: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        client = self._closing.enter_context(Client(self.url, name="tests"))
        for application in APPLICATIONS:
            self._start_worker(application)
            self.front_ends[application.name] = self._closing.enter_context(serving(application.web(client)))
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _start_worker(self, application: Application) -> None:
        database = migrated(f"sqlite:///{self.folder}/{application.name}.db", application.migrations)
        self._closing.callback(database.close)
        transport = transport_for(self.url, application.name)
        worker = Worker(application.service, transport, database)
        worker.start()
        self._closing.callback(worker.stop, STOP_SECONDS)
        assert transport.wait_until_ready(START_SECONDS)
