"""Packaging; the ranges are tested at both ends."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="tap-helpscout",
    version="0.1.0",
    description="Singer tap for Help Scout: every conversation, thread and customer, none lost",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    classifiers=[
        "Environment :: Console",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["tap_helpscout", "tap_helpscout.*"]),
    package_data={"tap_helpscout": ["schemas/*.json"]},
    install_requires=[
        "singer-python>=6.0.1,<7",
        "requests>=2.30,<3",
        "backoff>=2.2.1,<3",
        "ciso8601>=2.3.1,<3",
        "urllib3>=2.0.2,<3",
    ],
    extras_require={
        "dev": [
            "ruff>=0.14,<0.18",
            "mypy>=1.18,<3",
            "types-requests>=2.32,<3",
            "pylint>=3.3,<5",
            "pytest>=8,<9.2",  # in later ones pytest-xdist 3.8 splits its groups
            "pytest-xdist>=3.6,<4",
            "hypothesis>=6.100,<7",
            "build>=1,<2",
            "setuptools>=70.1,<90",
        ],
        # What `make bench` draws with.
        "bench": ["matplotlib>=3.8,<4"],
    },
    entry_points={"console_scripts": ["tap-helpscout=tap_helpscout:main"]},
)
