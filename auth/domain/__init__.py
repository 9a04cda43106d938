"""The rules of auth: plain functions and values, without database, messages or HTTP.

One rule is one file. Contract, tables and handlers use them; they import none of these.
"""
