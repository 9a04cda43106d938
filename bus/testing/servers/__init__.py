"""Real servers for tests: RabbitMQ and PostgreSQL, given by a URL, in a container, or as processes that we start.

`rabbitmq.py` and `postgres.py` have what tests see, a `Server` (`server.py`) with its lifecycle. `provisioning.py`
chooses how to get one; `runner.py` is the interface of what runs it: `containers.py`, or `rabbitmq_node.py` and
`postgres_cluster.py` on top of `processes.py`.

`bus.testing.fixtures`, `python -m bus.testing`, the tests and the benchmark import it. Start at `rabbitmq.py`.
"""
