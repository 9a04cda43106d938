"""The composition root of auth: the only module that imports all its parts."""

from auth import contract, handlers, web
from bus import Application

application = Application(
    service=handlers.auth,
    contract=contract,
    web=web.create_app,
    migrations="auth.migrations",
    port=5000,
    commands="auth.cli:commands",
)
