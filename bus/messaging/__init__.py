"""Messaging: messages and their headers, the topology, and the two transports that carry messages to a broker.

`message.py` is one message, `call.py` a valid request, `replies.py` its reply, `topology.py` the queues with their
arguments, `publishing.py` publishing with confirms, `redelivery.py` the copies for a retry or the quarantine.
`transport.py` is the interface to a broker: `rabbitmq/` implements it with pika, `memory/` inside this process, and
`connect.py` chooses one by the URL. Only `bus cli` and `bus doctor` import `rabbitmq/` itself, to inspect a broker.

It imports `bus.contract` and `bus.failpoints`; every package above may import it.

Start at `transport.py`, then `topology.py`.
"""
