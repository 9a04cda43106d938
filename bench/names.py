"""Names of the contenders, as the report shows them."""

ERRAND = "errand"
SEEN = "errand, all seen"
TUTORIAL = "tutorial"
KEEP_ALIVE = "tutorial, keep-alive"
