"""What runs name, number by number: for tests, which know how many those are."""

from collections.abc import Iterator, Sequence


def numbers_in(runs: Sequence[int]) -> Iterator[int]:
    """Every number in checked `runs`, in their order."""
    for index in range(0, len(runs), 2):
        yield from range(runs[index], runs[index + 1] + 1)
