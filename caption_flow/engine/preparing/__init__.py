"""Engine: the model's own processor, in processes of their own."""
