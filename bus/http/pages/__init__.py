"""The HTML pages of a front end, and their headers, made without Flask.

`pages.py` makes the three pages from `templates/`, and `page.py` adds their headers. The start page and the page of
messages show the guide to a service (`guide.py`): fields in words (`field_words.py`) and programs to copy
(`programs.py`, with values written by `literals.py`). `static/` has the viewer of OpenAPI documents, which others
wrote.

Only `bus.http.views` imports it. Start at `pages.py`.
"""
