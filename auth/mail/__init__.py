"""Mails: how one is written, and how it is sent. It knows no account and no database.

`templates.py` makes the words, `message.py` the message (RFC 5322), and `smtp.py` and `files.py` send it.
"""
