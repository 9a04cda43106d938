"""The worker: takes messages from the queues of one service, carries them out and answers.

The way of a request: `threads.py` (wait for a batch), `requests.py` (the order of steps), `admission.py` (is it
valid), `execution.py` (inbox and commit), `handler_runs.py` (the handler), `dispatcher.py` (reply, retry, quarantine,
dead letter).
`background/` has the loops that run beside it. It imports `bus.service` and what is below, and no HTTP.

Start at `requests.py`.
"""
