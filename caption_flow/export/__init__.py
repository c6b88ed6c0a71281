"""Export: finished captions in the formats that people train from."""
