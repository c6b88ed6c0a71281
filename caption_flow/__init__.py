"""caption-flow: images become captions, as a message-queue pipeline over Redis Streams."""

__version__ = "0.1.0"
