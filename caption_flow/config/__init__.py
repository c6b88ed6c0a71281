"""Configuration: YAML documents, variables and flags in, frozen structs out."""

from caption_flow.config.dataset import DatasetConfig, DownloadConfig
from caption_flow.config.load import (
    Loaded,
    LoadedJob,
    LoadedMonitor,
    LoadedWorker,
    dump,
    from_json,
    load_job,
    load_monitor,
    load_worker,
    read_dump,
)
from caption_flow.config.places import find
from caption_flow.config.proxy import AuthConfig, Token
from caption_flow.config.sampling import Sampling
from caption_flow.config.schema import (
    BudgetConfig,
    ImagesConfig,
    JobConfig,
    MonitorConfig,
    SimulatedConfig,
    StorageConfig,
    WorkerConfig,
)
from caption_flow.config.vllm import Stage, StageConfig, VllmConfig

__all__ = [
    "AuthConfig",
    "BudgetConfig",
    "DatasetConfig",
    "DownloadConfig",
    "ImagesConfig",
    "JobConfig",
    "Loaded",
    "LoadedJob",
    "LoadedMonitor",
    "LoadedWorker",
    "MonitorConfig",
    "Sampling",
    "SimulatedConfig",
    "Stage",
    "StageConfig",
    "StorageConfig",
    "Token",
    "VllmConfig",
    "WorkerConfig",
    "dump",
    "find",
    "from_json",
    "load_job",
    "load_monitor",
    "load_worker",
    "read_dump",
]
