"""Engine: what vLLM raises, in our words."""

from caption_flow.errors import ConfigError


def words(error: Exception) -> str:
    """Say what was raised."""
    return f"{type(error).__name__}: {error}"


def is_refusal(error: Exception) -> bool:
    """Tell what would be said of the same request again: too long, no image it can read."""
    from vllm.exceptions import VLLMClientError  # noqa: PLC0415 - slow to import

    return isinstance(error, VLLMClientError | ConfigError | ValueError | TypeError)
