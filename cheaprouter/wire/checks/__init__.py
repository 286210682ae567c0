"""What can be seen of an answer by itself: whether it does what was asked for, as far as that needs no other model. Pure."""
