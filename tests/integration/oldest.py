"""Prints the oldest releases that setup.py's ranges allow, as constraints for pip."""

import re
from importlib import metadata


def main():
    for requirement in metadata.requires("tap-helpscout"):
        if "extra ==" not in requirement:
            name, oldest = re.match(r"([\w.-]+).*>=([\w.]+)", requirement).groups()
            print(f"{name}=={oldest}")


if __name__ == "__main__":
    main()
