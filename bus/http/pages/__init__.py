"""Pages: what a front end shows to people. HTML and its headers, without a web framework."""
