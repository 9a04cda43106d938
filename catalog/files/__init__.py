"""Files of products: CSV, NDJSON, and the product export files of Shopify and WooCommerce.

They are read and written as streams, in constant memory. `own.py`, `shopify.py` and `woocommerce.py` know the columns
of each layout, and `reading.py` makes operations of their rows, which `bus.files` sends in batches. `writing.py` is the
other way.
"""
