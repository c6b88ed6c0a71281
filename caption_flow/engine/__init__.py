"""Engine: what runs a model. The port, and the engines behind it; vLLM is imported only here."""
