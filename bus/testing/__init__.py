"""Test helpers for services built on `bus`: a real RabbitMQ and a real PostgreSQL, found or started.

`bus.testing.servers.rabbitmq.find_broker()` and `bus.testing.servers.postgres.find_database()` are the two doors;
`bus.testing.fixtures` is the pytest plugin, `python -m bus.testing` the command line. With nothing
found or started, `bus.testing.running.running()` runs services in the process of their test.
"""
