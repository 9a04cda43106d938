"""What a process tells about itself: logs, metrics for Prometheus, spans for OpenTelemetry.

`metrics.py` alone knows the Prometheus client, `otlp.py` alone knows OpenTelemetry. It imports `bus.messaging` and
what is below; workers, clients and front ends import it.

Start at `spans.py` for traces and `metrics.py` for the list of all metrics.
"""
