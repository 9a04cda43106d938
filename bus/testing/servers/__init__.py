"""Real servers for tests: RabbitMQ and PostgreSQL, from a URL you give, from a container, or as local processes.

`bus.testing.fixtures` and `python -m bus.testing` use it. Start at `rabbitmq.py`; `recipe.py` says which way is taken.
"""
