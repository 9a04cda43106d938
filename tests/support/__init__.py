"""What several test modules share: services to test with, helpers that read and break things, systems to start."""
