"""FastStream: a FastAPI front end that sends requests to subscribers."""
