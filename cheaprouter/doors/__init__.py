"""What clients come in by on the LAN: one folder a protocol, and the guard before all of them."""
