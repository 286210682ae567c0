"""What happened, for good: a journal, one SQLite file behind it, live figures and reports."""
