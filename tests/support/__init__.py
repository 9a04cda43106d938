"""Helpers that several test modules share: example services, systems to start, and readers of what they leave behind.

Only tests import it. Start at `example_service.py`.
"""
