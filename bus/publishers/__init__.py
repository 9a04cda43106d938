"""Publishers: programs in several languages that send a request to its queue and print the answer."""
