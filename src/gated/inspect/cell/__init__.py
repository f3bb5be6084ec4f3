"""A cell on paper: its flow chart, its page, and what is to be said about it."""
