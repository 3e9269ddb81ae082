"""A stage that a launcher runs on several machines ends as the launcher does, and no copy runs alone."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer.runtime.errors import InputError
from fer.runtime.launcher import refuse_copies, run_launcher


@pytest.mark.parametrize(
    ("variables", "launcher"),
    [
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"}, "srun"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "mpirun"),
        ({"PMI_SIZE": "2", "FER_LAUNCH": "torchrun"}, "mpirun"),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}, None),  # the script of sbatch --ntasks=4
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),  # the shell of salloc
    ],
)
def test_a_stage_that_was_started_several_times_refuses_to_run(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], launcher: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if launcher:
        with pytest.raises(InputError, match=rf"^{launcher} started this stage \d times .*; start `dvc repro` once"):
            refuse_copies()
    else:
        refuse_copies()


@pytest.fixture
def _restored_handlers() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_restored_handlers")
@pytest.mark.parametrize(
    ("program", "code", "line"),
    [
        ("pass", None, ""),
        ("sys.exit(7)", 7, "exit code 7"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "SIGKILL"),
        ("os.kill(os.getppid(), signal.SIGINT); signal.pause()", 128 + signal.SIGTERM, "SIGTERM"),
        ("os.kill(os.getppid(), signal.SIGHUP); signal.pause()", 128 + signal.SIGTERM, "SIGTERM"),
    ],
)
def test_a_stage_ends_as_the_command_of_fer_launch_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    program: str,
    code: int | None,
    line: str,
) -> None:
    script = tmp_path / "a launcher.py"
    script.write_text(
        "import json, os, signal, sys\nfrom pathlib import Path\n"
        "assert not {'FER_LAUNCH', 'DVC_STAGE'} & set(os.environ)\n"
        f"Path('arguments').write_text(json.dumps(sys.argv[1:]))\n{program}\n"
    )
    command = f"{sys.executable} '{script}' --nnodes=2"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FER_LAUNCH", command)
    monkeypatch.setenv("DVC_STAGE", "train@a")
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "pipeline.train", "a b", "--out", "o"])
    if code is None:
        run_launcher(os.environ["FER_LAUNCH"])
    else:
        with pytest.raises(SystemExit) as end:
            run_launcher(os.environ["FER_LAUNCH"])
        assert end.value.code == code
        error = f"error: FER_LAUNCH={command!r} ended with {line}; its messages are above\n"
        assert capsys.readouterr().err == error
    assert json.loads(Path("arguments").read_text()) == ["--nnodes=2", "-m", "pipeline.train", "a b", "--out", "o"]


@pytest.mark.usefixtures("_restored_handlers")
@pytest.mark.parametrize(
    ("command", "reason"),
    [("srunn torchrun", "srunn: No such file or directory"), ("'srun", "No closing quotation")],
)
def test_a_command_of_fer_launch_that_cannot_run_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, command: str, reason: str
) -> None:
    monkeypatch.setenv("FER_LAUNCH", command)
    with pytest.raises(InputError) as error:
        run_launcher(os.environ["FER_LAUNCH"])
    assert str(error.value) == f"FER_LAUNCH={command!r}: {reason}"
