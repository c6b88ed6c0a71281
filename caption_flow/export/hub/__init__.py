"""Export to the Hugging Face hub: files, and a card that says what is in them."""
