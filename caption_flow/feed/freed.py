"""Feed: the memory of images that are gone stays at hand for the next ones.

Left alone, glibc gives it back to the kernel after each batch, which clears it before it is taken
again: that costs more than to read the images. How much it keeps, it learns from the largest block
that it has seen freed.
"""

_LARGEST = 4 << 20  # bytes; it keeps twice as many, which is what is on its way at once


def keep_freed_memory() -> None:
    """Have glibc keep what is freed; other allocators go their own way."""
    block = bytes(_LARGEST)  # never written to, so that it takes no memory
    del block
