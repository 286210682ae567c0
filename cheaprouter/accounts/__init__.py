"""Who calls, what holds for them, and what they used."""
