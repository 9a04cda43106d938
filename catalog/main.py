"""The composition root of catalog: the only module that imports all its parts."""

from bus import Application
from catalog import contract, handlers, web
from catalog.seed import seed

application = Application(
    service=handlers.catalog,
    contract=contract,
    web=web.create_app,
    migrations="catalog.migrations",
    port=5001,
    seed=seed,
    commands="catalog.cli:commands",
)
