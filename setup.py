"""Put params.yaml, whose values are the defaults of the library, into the package that is built."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithParams(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file("params.yaml", str(Path(self.build_lib, "fer", "params", "params.yaml")))


setup(cmdclass={"build_py": BuildWithParams})
