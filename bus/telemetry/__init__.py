"""What a process reports about itself: logs, metrics for Prometheus, spans for OpenTelemetry.

Only `metrics.py` imports the Prometheus client, and only `otlp.py` imports OpenTelemetry. The package imports
`bus.messaging` and the packages below it; workers, clients and front ends import this one.

Start at `spans.py` for traces and `metrics.py` for the list of all metrics.
"""
