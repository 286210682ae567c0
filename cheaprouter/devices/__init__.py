"""Who is calling, what they may use, and what happens at the limit."""
