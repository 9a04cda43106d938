"""Names of the contenders, as the report shows them."""

ERRAND = "errand"
TUTORIAL = "tutorial"
KEEP_ALIVE = "tutorial, keep-alive"
