"""Files of accounts: CSV and NDJSON, and what `manage.py dumpdata --format jsonl` of Django writes.

`reading.py` makes accounts of their rows, which `bus.files` sends in batches.
"""
