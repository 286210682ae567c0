"""What is kept on disk: one SQLite file with a single writer thread, and a journal in front of it."""
