"""The composition root of feed: the only module that imports all its parts."""

from bus import Application

from feed import contract, handlers, web

application = Application(
    service=handlers.service,
    contract=contract,
    web=web.create_app,
    migrations="feed.migrations",
    port=5003,
)
