"""What only Home Assistant knows: its Supervisor, its discovery, its entities."""
