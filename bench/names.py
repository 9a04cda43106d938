"""Names of contenders and reads, as the report shows them."""

ERRAND = "errand"
SEEN = "errand, all seen"
TUTORIAL = "tutorial"
KEEP_ALIVE = "tutorial, keep-alive"

# Reads whose cost may not grow with the number of products; that of others is compared with the first page's.
GET = "get"
FIRST_PAGE = "first page"
