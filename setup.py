"""Metadata of the project; versions are pinned in requirements.lock."""

import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
  r'__version__ = "(.+)"', (HERE / "emergence" / "__init__.py").read_text()
)
assert VERSION

setuptools.setup(
  name="emergence",
  version=VERSION[1],
  description=(
    "Distributions over random seeds of emergent capabilities, across scale"
  ),
  long_description=(HERE / "README.md").read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  license_files=["LICENSE"],
  python_requires=">=3.11",
  # Named, because discovery would take every folder of this flat top level.
  packages=setuptools.find_packages(
    include=[
      "emergence",
      "emergence.*",
      "experiments",
      "experiments.*",
      "launch",
      "launch.*",
    ]
  ),
  install_requires=[
    "absl-py>=2.1",
    "diptest>=0.8",
    "etils[epath]>=1.9",
    "filelock>=4.2",
    "flax>=0.12",
    "jax>=0.10",
    "jinja2>=3.1",
    "matplotlib>=3.10",
    "numpy>=2.0",
    "optax>=0.2.5",
    "orbax-checkpoint>=0.11",
    "ott-jax>=0.5",
    "pandas>=2.2",
    "psutil>=6",
    "pyarrow>=17",
    "safetensors>=0.5",
    "scipy>=1.14",
  ],
  package_data={
    "emergence.report": ["report.html"],
    "emergence.statistics": ["data/*.csv"],
  },
  extras_require={
    "cuda": ["jax[cuda13]"],
    "tpu": ["jax[tpu]", "gcsfs"],
    "torch": ["torch>=2.6"],
    "test": [
      "POT>=0.9.4",
      "ipykernel>=7",
      "nbclient>=0.10",
      "playwright>=1.50",
      "pre-commit>=4",
      "pyright>=1.1.390",
      "pytest>=8",
      "pytest-xdist>=3.6",
      "ruff>=0.9",
    ],
    "notebooks": ["jupyterlab>=4"],
  },
)
