"""How a script under DeepSpeed ends."""

import os
import sys
from typing import NoReturn

import torch


def end_process() -> NoReturn:
    """Ends the process without taking the interpreter down.

    DeepSpeed's engines and parameters keep their process groups past `destroy_process_group()`, its own included, and
    gloo's threads in them abort one interpreter's end of 25 ("terminate called without an active exception").
    """
    torch.distributed.barrier()  # nobody leaves while others still talk
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
