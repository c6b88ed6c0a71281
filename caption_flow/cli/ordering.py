"""Command line: what the commands share that give orders to the processes of a job."""

import getpass
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from caption_flow.cli.asking import job_of
from caption_flow.config import JobConfig
from caption_flow.queue.operate import RedisOperator
from caption_flow.queue.ports import Order

T = TypeVar("T")


def ask_operator(config: JobConfig, question: Callable[[RedisOperator], Awaitable[T]]) -> T:
    """Have something done by who gives orders to a job."""
    with job_of(config, "operator") as asked:
        return asked.ask(lambda job: question(RedisOperator(job.connections, job.job)))


def order_of_now() -> Order:
    """Make an order of whoever runs this command."""
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many a container
        who = "somebody"
    return Order(f"{who} on {socket.gethostname()}", time.time())


def told(order: Order) -> str:
    """Say who gave an order, and when."""
    at = datetime.fromtimestamp(order.at).astimezone()
    return f"by {order.by} at {at.strftime('%Y-%m-%d %H:%M:%S')}"
