"""Queue: the streams between the roles, their scripts, and the Redis that keeps them."""
