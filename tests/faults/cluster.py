"""The cluster: three RabbitMQ nodes of ours, and one address for all."""

from collections.abc import Iterator
from contextlib import contextmanager

from bus.testing.servers.errors import ProvisioningFailed
from bus.testing.servers.rabbitmq import Broker
from bus.testing.servers.rabbitmq_node import Node, find_server
from bus.testing.servers.server import LoginFailed
from bus.testing.waiting import wait_until
from faults.proxy import Proxy, through

NODES = 3
JOIN_SECONDS = 90.0


class Cluster(Broker):
    """A broker that is three nodes. Its URL leads to the first that listens, as that of a load balancer would."""

    def __init__(self, nodes: list[Node], proxy: Proxy) -> None:
        self.nodes = nodes
        super().__init__(through(proxy, "amqp://guest:guest@127.0.0.1/%2F"), "process", nodes[0])

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on a node that runs."""
        running = next(node for node in self.nodes if node.pids())
        return running.run("rabbitmqctl", *arguments)

    def node_of(self, name: str) -> Node:
        """The node of this name."""
        return next(node for node in self.nodes if node.name == name)

    def leader_of(self, url: str, queue: str) -> Node:
        """The node that leads a quorum queue of a vhost."""
        vhost = url.rpartition("/")[2]
        listed = self.ctl("list_queues", "-q", "--no-table-headers", "-p", vhost, "name", "leader")
        leaders = dict(line.split("\t") for line in listed.splitlines())
        return self.node_of(leaders[queue])


@contextmanager
def cluster_of_three() -> Iterator[Cluster]:
    """Start three nodes one after the other. Raises ProvisioningFailed where RabbitMQ is not installed."""
    server = find_server()
    if server is None:
        raise ProvisioningFailed("rabbitmq-server is not installed")
    nodes: list[Node] = []
    try:
        for _ in range(NODES):
            nodes.append(Node(server, nodes[0] if nodes else None))
            start(nodes[-1], len(nodes))
        proxy = Proxy(*(node.port for node in nodes))
        yield Cluster(nodes, proxy)
        proxy.close()
    finally:
        for node in reversed(nodes):  # the first one's epmd serves all
            node.close()


def start(node: Node, members: int) -> None:
    """Start a node; returns when it is one of so many that run."""
    node.start()
    broker = Broker(f"amqp://guest:guest@127.0.0.1:{node.port}/%2F", "process", node)

    def is_complete() -> bool:
        try:
            broker.login()
        except LoginFailed:
            return False
        return node.run("rabbitmqctl", "-q", "eval", "length(rabbit_nodes:all_running()).").strip() == str(members)

    wait_until(is_complete, JOIN_SECONDS, f"{node.name} has joined")
