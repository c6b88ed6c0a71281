"""Command line: what the commands share that give orders to the processes of a job."""

import getpass
import socket
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from caption_flow.cli.asking import office_of
from caption_flow.config import JobConfig
from caption_flow.queue.ports import Operator, Order

T = TypeVar("T")


def ask_operator(config: JobConfig, question: Callable[[Operator], Awaitable[T]]) -> T:
    """Have something done by who gives orders to a job."""
    with office_of(config, "operator") as asked:
        return asked.ask(question)


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
