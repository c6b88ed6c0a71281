"""What is asked of which model: prompts, sampling, and the stages in which that is done."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from msgspec import Struct, field

from caption_flow.config import stages as graph
from caption_flow.config import wording
from caption_flow.config.fields import Written, clashes
from caption_flow.config.quality import Check, Polish, unfit
from caption_flow.config.sampling import Sampling, SamplingChange
from caption_flow.config.structured import FORMS, STRUCTURED, StructuredOutputs
from caption_flow.config.values import Count, EngineArgs, Name, Prompts, Settings, Text, refuse

_GUIDED = {f"guided_{form}": f"{STRUCTURED}.{form}" for form in FORMS}


class StageConfig(Settings, frozen=True):
    """A stage as written; what it leaves out comes from the vllm section."""

    REST: ClassVar[str] = "engine_args"
    MEANT: ClassVar[Mapping[str, str]] = {
        "inference_prompts": "prompts",
        "output": "output_field",
        "depends_on": "requires",
        "images": "image",
        "checks": "quality",
        **_GUIDED,
    }

    name: Name
    prompts: Prompts
    model: Text | None = None
    system_prompt: str | None = None
    output_field: Name = "captions"
    requires: tuple[Name, ...] = ()
    image: bool = True  # whether the model is shown the image
    structured_outputs: StructuredOutputs | None = None
    quality: tuple[Check, ...] | None = None
    postprocess: tuple[Polish, ...] | None = None
    sampling: SamplingChange = field(default_factory=SamplingChange)
    engine_args: EngineArgs = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse(unfit(self.quality or (), self.postprocess or ()))


class Stage(Struct, frozen=True):
    """One prompt set with one model, with nothing left to look up."""

    name: str
    model: str  # "" when none is configured, as the simulated engine allows
    prompts: tuple[str, ...]
    output_field: str = "captions"
    requires: tuple[str, ...] = ()
    system_prompt: str | None = None
    image: bool = True  # whether the model is shown the image
    structured_outputs: StructuredOutputs | None = None  # the form of its answers
    quality: tuple[Check, ...] = ()  # in the order they are looked at
    postprocess: tuple[Polish, ...] = ()  # in the order they are done
    sampling: Sampling = field(default_factory=Sampling)
    engine_args: EngineArgs = field(default_factory=dict)


class VllmConfig(Settings, frozen=True):
    """The model, and what to ask it."""

    REST: ClassVar[str] = "engine_args"
    MEANT: ClassVar[Mapping[str, str]] = {
        "prompt": "inference_prompts",
        "prompts": "inference_prompts",
        "checks": "quality",
        **_GUIDED,
    }

    model: Text | None = None
    batch_size: Count = 64  # requests in the engine at once, at most
    inference_prompts: Prompts = ("Describe the image.",)
    system_prompt: str | None = None
    structured_outputs: StructuredOutputs | None = None
    quality: tuple[Check, ...] = ()
    postprocess: tuple[Polish, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    stages: tuple[StageConfig, ...] = ()
    engine_args: EngineArgs = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        refuse(unfit(self.quality, self.postprocess))
        refuse(graph.mistakes(names, self._requires()))
        refuse(clashes([*self._written()]))
        refuse(wording.mistakes(self))

    def needs(self) -> tuple[wording.Need, ...]:
        """Return the columns that the prompts are filled in with."""
        return wording.needs(self)

    def resolved_stages(self) -> tuple[Stage, ...]:
        """Return the stages in the order they run; one named "caption" where none is written."""
        stages = {stage.name: stage for stage in self._listed()}
        return tuple(self._resolved(stages[name]) for name in graph.order(self._requires()))

    def _listed(self) -> tuple[StageConfig, ...]:
        """Give the stages as written; one named "caption" where none is."""
        return self.stages or (StageConfig(name="caption", prompts=self.inference_prompts),)

    def _written(self) -> Iterator[Written]:
        """Say which columns the stages write, and where the document says so."""
        for index, stage in enumerate(self._listed()):
            at = f"stages[{index}]." if self.stages else ""
            form = stage.structured_outputs or self.structured_outputs
            yield Written(
                stage=stage.name,
                output=stage.output_field,
                output_at=f"{at}output_field",
                fields=tuple(form.fields) if form else (),
                form_at=f"{at if stage.structured_outputs else ''}structured_outputs.json",
                prompts=len(stage.prompts) if form and form.json is not None else 1,
                prompts_at=f"{at}prompts" if at else "inference_prompts",
            )

    def _requires(self) -> dict[str, tuple[str, ...]]:
        return {stage.name: stage.requires for stage in self._listed()}

    def _resolved(self, stage: StageConfig) -> Stage:
        own = stage.system_prompt
        return Stage(
            name=stage.name,
            model=stage.model or self.model or "",
            prompts=stage.prompts,
            output_field=stage.output_field,
            requires=stage.requires,
            system_prompt=self.system_prompt if own is None else own,
            image=stage.image,
            structured_outputs=stage.structured_outputs or self.structured_outputs,
            quality=self.quality if stage.quality is None else stage.quality,
            postprocess=self.postprocess if stage.postprocess is None else stage.postprocess,
            sampling=self.sampling.changed(stage.sampling),
            engine_args=self.engine_args | stage.engine_args,
        )
