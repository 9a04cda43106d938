"""The wire: messages and their headers, the topology, and the interface that both transports keep.

`rabbitmq/` speaks AMQP through pika, `memory/` is the embedded broker. Which of them is used is decided in
`connect.py`, by the URL. It imports `bus.contract` and `bus.failpoints`; everything above may import it.

Start at `transport.py`, the interface, then `topology.py`, the queues with their arguments.
"""
