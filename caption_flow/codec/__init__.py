"""Records in and out: the model as bytes in entries and files, and what is too deep for them."""
