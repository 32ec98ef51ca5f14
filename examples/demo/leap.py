"""Say which of the given years are leap years."""

import sys


def is_leap(year: int) -> bool:
    return year % 4 == 0 and year % 100 != 0


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(argument, "leap" if is_leap(int(argument)) else "common")
