"""How a model chooses its tokens: the section of a job, and what differs from it elsewhere."""

from typing import ClassVar

from msgspec import UNSET, UnsetType, field

from caption_flow.config.values import Count, EngineArgs, Penalty, Settings, Temperature, TopP


class Sampling(Settings, frozen=True):
    """How the next token is chosen; defaults of our own rather than vLLM's."""

    REST: ClassVar[str] = "extra"

    temperature: Temperature = 0.7
    top_p: TopP = 0.95
    max_tokens: Count = 256
    repetition_penalty: Penalty = 1.05
    skip_special_tokens: bool = True
    stop: tuple[str, ...] = ("<|end|>", "<|endoftext|>", "<|im_end|>")
    extra: EngineArgs = field(default_factory=dict)  # other parameters, as vLLM names them

    def changed(self, change: "SamplingChange") -> "Sampling":
        """Return these with what `change` says, key by key."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        said = {name: getattr(change, name) for name in change.__struct_fields__}
        values |= {name: value for name, value in said.items() if value is not UNSET}
        values["extra"] = self.extra | change.extra
        return Sampling(**values)


class SamplingChange(Settings, frozen=True):
    """The sampling of one stage: only what differs from the section's."""

    REST: ClassVar[str] = "extra"

    temperature: Temperature | UnsetType = UNSET
    top_p: TopP | UnsetType = UNSET
    max_tokens: Count | UnsetType = UNSET
    repetition_penalty: Penalty | UnsetType = UNSET
    skip_special_tokens: bool | UnsetType = UNSET
    stop: tuple[str, ...] | UnsetType = UNSET
    extra: EngineArgs = field(default_factory=dict)
