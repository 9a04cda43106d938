"""What several features of the catalog keep in the database, and the rules of keeping it.

Handlers use it; it knows the tables and the contract, and no message.
"""
