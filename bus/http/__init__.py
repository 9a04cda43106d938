"""The HTTP side, thin: parse, call, relay. The only package that knows Flask."""

from bus.http.application import front_end
from bus.http.relaying import relay
from bus.http.request_body import MAX_BODIES, MAX_BODY_BYTES

__all__ = ["MAX_BODIES", "MAX_BODY_BYTES", "front_end", "relay"]
