"""What was used: booking, live figures and reports."""
