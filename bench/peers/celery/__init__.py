"""Celery: a Flask front end that waits for the results of tasks."""
