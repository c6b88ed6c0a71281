"""Doctor: looks for what goes wrong in practice, and says what to do about it."""
