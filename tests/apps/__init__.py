"""Small apps that the tests serve."""
