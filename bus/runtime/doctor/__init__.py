"""The doctor: looks at everything the system needs, and says in words what is wrong."""
