"""Names of contenders and reads, as the report shows them."""

ERRAND = "errand"
SEEN = "errand, all seen"
TUTORIAL = "tutorial"
KEEP_ALIVE = "tutorial, keep-alive"
PEERS = ("nameko", "celery", "faststream")

# Loads of creates straight to the queue; what the last two cost is compared with the first.
ONE_BY_ONE = "one by one"
IN_BATCHES = "in batches of 500"
REPEATED = "1 in 100 a duplicate"
REFUSED = "1 in 100 refused"

# Reads whose cost may not grow with the number of products; that of others is compared with the first page's.
GET = "get"
FIRST_PAGE = "first page"
