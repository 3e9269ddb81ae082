"""The list of mutations follows the code, and only a test that fails notices one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.robustness import mutations
from tests.robustness.mutations import MUTATIONS, ROOT, Mutation

ADDED = Mutation("sums are differences", "sums.py", "a + b", "a - b", "test_sums.py")
UNTESTED = Mutation("products are sums", "sums.py", "a * b", "a + b", "test_sums.py")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of which one line is tested and one is not."""
    project = tmp_path / "small"
    project.mkdir()
    (project / "sums.py").write_text("def add(a, b): return a + b\ndef times(a, b): return a * b\n")
    (project / "test_sums.py").write_text("from sums import add\ndef test_add(): assert add(2, 3) == 5\n")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=project, check=True)
    monkeypatch.setattr(mutations, "ROOT", project)
    monkeypatch.setattr(sys, "argv", ["mutations", "--out", str(tmp_path)])
    return project


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.broken)
def test_what_is_broken_stands_in_the_code_once(mutation: Mutation) -> None:
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.line) == 1
    compile(text.replace(mutation.line, mutation.instead), mutation.file, "exec")
    assert all((ROOT / file).is_file() for file in mutation.tests.split())


@pytest.mark.parametrize(("mutation", "lost"), [(ADDED, 0), (UNTESTED, 1)])
def test_a_mutation_is_lost_where_no_test_fails(
    small: Path, mutation: Mutation, lost: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutations, "MUTATIONS", [mutation])
    with pytest.raises(SystemExit) as ended:
        mutations.main()
    assert ended.value.code == lost
    assert f"mutations: tried 1 mutations; lost {lost}; " in capsys.readouterr().out
    assert (small / "sums.py").read_text().count(mutation.line) == 1


def test_tests_that_fail_anyway_prove_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small / "test_sums.py").write_text("def test_nothing(): assert False\n")
    monkeypatch.setattr(mutations, "MUTATIONS", [ADDED])
    with pytest.raises(SystemExit, match="fail without any mutation"):
        mutations.main()
