"""Files of products: CSV, NDJSON, and the product export files of Shopify and WooCommerce.

They are read and written as streams, in constant memory. `source.py` finds out what a file is; `table.py` reads CSV;
`own.py`, `shopify.py`, `woocommerce.py` and `ndjson.py` make entries of it (`entries.py`), each with its line;
`reading.py` makes batches of commands of those, and `importing.py` sends them. `writing.py` is the other way.
"""
