"""The way a tutorial builds it: a front end that calls a product service over HTTP, and waits.

The code is a tutorial's on purpose: applications made when their module is imported, settings read
where they are used. Only its servers and its pools are sized as ours are, so that the way is
measured and not its defaults.
"""
