"""What a developer runs; see each file."""
