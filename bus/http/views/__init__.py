"""Views that every front end has: health, the documents of the contract, and the pages for people.

Only `bus.http.application` adds them. Start at `health.py`.
"""
