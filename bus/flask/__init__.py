"""The HTTP side, thin: parse, call, relay. The only package that knows Flask."""

from bus.flask.application import front_end
from bus.flask.relaying import relay
from bus.flask.request_body import MAX_BODIES, MAX_BODY_BYTES

__all__ = ["MAX_BODIES", "MAX_BODY_BYTES", "front_end", "relay"]
