"""The composition root of orders: the only module that imports all its parts."""

from bus import Application

from orders import contract, handlers, web

application = Application(
    service=handlers.service,
    contract=contract,
    web=web.create_app,
    migrations="orders.migrations",
    port=5010,
)
