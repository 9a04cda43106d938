"""Views that every front end has: health, the documents of the contract, and the HTML pages.

`documents.py` and `pages.py` serve what `bus.http.documents` and `bus.http.pages` make without Flask; they make it once
and send it with its caching headers. Only `bus.http.application` imports this package, and adds the views.

Start at `health.py`.
"""
