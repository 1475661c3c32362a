"""Parts with parameters that at least two systems share."""
