"""Where jobs live: the one truth about them."""
