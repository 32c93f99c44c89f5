"""Who calls the service, what they may do and see, and what is written down about it."""
