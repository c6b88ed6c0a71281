"""Records in and out: nouns of the model as the bytes that stand in stream entries and files."""
