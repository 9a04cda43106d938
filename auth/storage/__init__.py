"""What several features of auth keep in the database, and the rules of keeping it.

Handlers and the command line use it; it knows the tables and the contract, and no message.
"""
