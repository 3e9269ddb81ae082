"""Files that mean harm, and the demo under fire: nothing of them runs, and each ends in a clear line or a status.

Each file is handed in at its door by a process of its own, in a folder of its own. It is lost where one of these broke:

- no command, no connection and nothing that was pickled: heard by Python's audit hooks, a server and a file;
- nothing written but in the project's folder, and no temporary file left;
- at most 2 GB of memory (0.6 are Python and torch), 256 MB in a file and half a minute of computing;
- it ends with exit code 0, or 1 and a line that says why; no traceback, nothing that a terminal would obey.

    python -m tests.robustness.hostile [DOOR ...]
"""

import argparse
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from fer import cli
from fer.core.table import TABLE_COLUMNS
from fer.nn import weights
from fer.params import load_params
from fer.runtime import stage
from fer.runtime.errors import run_main
from fer.serving.package import bundle
from fer.serving.package.manifest import PackageManifest, save_package
from pipeline import ingest
from tests.robustness import harness
from tests.robustness import hostile_files as files
from tests.robustness.demo_under_fire import stress_demo

MAX_MEMORY, MAX_FILE_BYTES, MAX_SECONDS = 2_000_000_000, 256_000_000, 30
WAIT_SECONDS = 300  # for one that waits and computes nothing; on a busy machine also for one that computes
FORBIDDEN_EVENTS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "socket.connect")
WRITE_EVENTS = {
    "os.mkdir": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.symlink": 1,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.truncate": 0,
}
START_FOLDER = Path.cwd()  # the project
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")  # bytes of memory

Call = Callable[[], object]
Case = tuple[str, str, Callable[[Path], Call]]  # door, name, and what puts the file there and says what is called


def fer_call(*arguments: str) -> Call:
    return partial(_main, cli.main, "fer", *arguments)


def ingest_call(source: str = "good") -> Call:
    return partial(
        _main, partial(stage.run_stage, ingest.main), "ingest", source, "--root", f"data/raw/{source}", "--out", "out"
    )


def _main(main: Call, *arguments: str) -> None:
    sys.argv = list(arguments)
    main()


def make_cases(port: int, scratch: Path, doors: Sequence[str]) -> Iterator[Case]:
    def files_of(door: str, make_files: Callable[..., Mapping[str, Any]], *arguments: Any) -> Iterable[tuple[str, Any]]:
        return make_files(*arguments).items() if not doors or door in doors else ()

    def put_files(contents: files.Files, call: Call) -> Callable[[Path], Call]:
        def put(project: Path) -> Call:
            for name, content in contents.items():
                (project / name).parent.mkdir(parents=True, exist_ok=True)
                (project / name).write_bytes(content)
            return call

        return put

    predict = fer_call("predict", "in", "-o", "out.csv", "--model", "package")
    good: files.Files = {"data/raw/good/good.png": files.GOOD_PNG}
    for name, content in files_of("pictures", files.hostile_images):
        yield "pictures", f"{name}, predicted", put_files({"in/x.png": content, "in/y.png": files.GOOD_PNG}, predict)
        yield "pictures", f"{name}, ingested", put_files(good | {"data/raw/good/x.png": content}, ingest_call())
    for name, (file, content) in files_of("archives", files.hostile_archives):
        yield "archives", f"{name}, predicted", put_files({f"in/{file}": content}, predict)
        yield "archives", f"{name}, ingested", put_files({f"data/raw/good/{file}": content}, ingest_call())
    for name, content in files_of("videos", files.hostile_videos, port):
        other_video = {"in/.other.mp4": files.make_avi(64, 64, [files.GOOD_JPEG])}
        yield "videos", f"{name}, predicted", put_files({"in/x.avi": content} | other_video, predict)
        yield "videos", f"{name}, ingested", put_files({"data/raw/good/x.avi": content}, ingest_call())
    for name, content in files_of("csv", files.hostile_csv_files):
        yield "csv", name, put_files({"data/raw/good/fer2013.csv": content}, ingest_call())
    for name, tree in files_of("label files", files.hostile_label_files):
        contents = {f"data/raw/good/{file}": content for file, content in tree.items()}
        yield "label files", name, put_files(contents, ingest_call())
    for name, content in files_of("params", files.hostile_params):
        yield "params", name, put_files(good | {"params.yaml": content}, ingest_call())
    for name, (file, content) in files_of("review sheets", files.hostile_review_sheets):
        yield "review sheets", name, put_files({file: content}, fer_call("review", "--read", file))
        yield (
            "review sheets",
            f"{name}, as reviews.csv",
            put_files({"data/reviews.csv": content}, fer_call("review", "--read", "s")),
        )
    for name, contents in files_of("packages", files.hostile_packages, scratch / "package"):
        call = fer_call("predict", "good.png", "-o", "out.csv", "--model", "hostile")
        put = {f"hostile/{file}": content for file, content in contents.items()}
        yield "packages", name, put_files(put | {"good.png": files.GOOD_PNG}, call)
    for name, content in files_of("checkpoints", files.hostile_checkpoints):
        yield "checkpoints", name, put_files({"c.part": content}, _resume_checkpoint)
    for name, content in files_of("arrays", files.hostile_arrays):
        yield "arrays", name, put_files({"faces.npy": content}, partial(run_main, _open_faces))
    for name, content in files_of("lists", files.hostile_stdin):
        call = fer_call("predict", "-", "-o", "out.csv", "--model", "package")
        yield "lists", name, put_files({"stdin": content}, call)
    yield "special files", "a pipe for a video, predicted", partial(_put_pipe, "in/x.mp4", predict)
    yield "special files", "a pipe for an archive, predicted", partial(_put_pipe, "in/x.zip", predict)
    yield "special files", "a pipe for a picture, predicted", partial(_put_pipe, "in/x.png", predict)
    yield "special files", "a pipe for a csv, ingested", partial(_put_pipe, "data/raw/good/fer2013.csv", ingest_call())
    yield "special files", "a pipe for a video, ingested", partial(_put_pipe, "data/raw/good/x.mp4", ingest_call())
    yield "special files", "folders 1,500 deep, predicted", partial(_put_deep_folders, "in", predict)
    yield "special files", "folders 1,500 deep, ingested", partial(_put_deep_folders, "data/raw/good", ingest_call())


def _resume_checkpoint() -> None:
    """Resume from a checkpoint, as a training does."""
    from fer.training.checkpoint import Checkpoint

    def resume() -> None:
        network = torch.nn.Linear(2, 2)
        Checkpoint(Path("c.part"), "x").resume({"network": network, "optimizer": torch.optim.SGD(network.parameters())})

    run_main(resume)


def _open_faces() -> None:
    from fer.core.store import open_faces

    open_faces(Path("faces.npy"))


def _put_pipe(name: str, call: Call, project: Path) -> Call:
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(project / name)
    (project / name).with_name("y.png").write_bytes(files.GOOD_PNG)
    return call


def _put_deep_folders(name: str, call: Call, project: Path) -> Call:
    os.chdir(project)
    os.makedirs(name)
    os.chdir(name)
    Path("y.png").write_bytes(files.GOOD_PNG)
    for _ in range(1500):
        os.mkdir("a")
        os.chdir("a")
    os.chdir(START_FOLDER)
    return call


def make_sandbox_project(folder: Path) -> Path:
    """Make a project with a package, a table of one face, and no reviews."""
    project, trained = folder / "project", folder / "trained/simple_cnn"
    for path in (project / "data/unified", project / "package", trained):
        path.mkdir(parents=True)
    shutil.copy("params.yaml", project)
    facts = weights.ModelConfig(network="simple_cnn", emotions=files.EMOTIONS, size=16, dropout=0.1, input_px=None)
    weights.save_model(facts.build(), facts, trained)
    network = {"simple_cnn": 1.0}
    manifest = PackageManifest(
        round=1,
        emotions=files.EMOTIONS,
        size=16,
        align=False,
        views=("plain",),
        precision="fp32",
        vote=network,
        temperatures=network,
        thresholds=dict.fromkeys(files.EMOTIONS, 0.5),
        weights_sha256={"simple_cnn": weights.hash_weights(trained)},
    )
    save_package(manifest, trained.parent, project / "package")
    text = (project / "params.yaml").read_text(encoding="utf-8")
    sources = ", ".join(load_params().sources)
    (project / "params.yaml").write_text(text.replace(sources, "good"), encoding="utf-8")
    row = dict.fromkeys(TABLE_COLUMNS, "") | {
        "source": "good",
        "id": "face.png",
        "fold": "unlabelled",
        "twin_in_train": "False",
    }
    pd.DataFrame([row]).to_csv(project / "data/unified/table.csv", index=False)
    (project / "data/reviews.csv").write_text("source,id,emotion\n")
    return project


def run_case(case: Case, template: Path) -> tuple[list[str], int]:
    """Return the violations of one file, and the peak of memory in bytes."""
    _, _, put = case
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as folder:
        sandbox = Path(folder)
        shutil.copytree(template, sandbox / "project")
        for name in ("tmp", "outside"):
            (sandbox / name).mkdir()
        (sandbox / "outside/kept.jpg").write_bytes(files.GOOD_JPEG)
        call = put(sandbox / "project")
        begun = time.monotonic()
        child = os.fork()
        if not child:
            _run_isolated(call, sandbox)
        killer = threading.Timer(WAIT_SECONDS, os.kill, (child, signal.SIGKILL))
        killer.start()
        _, status, usage = os.wait4(child, 0)
        killer.cancel()
        wrong = list(_find_violations(sandbox, status, time.monotonic() - begun))
        if (peak := usage.ru_maxrss * 1024) > MAX_MEMORY:
            wrong.append(f"took {peak / 1e6:,.0f} MB")
        subprocess.run(["rm", "-rf", sandbox / "project"], check=True)  # shutil's recursion ends at a depth of 1,000
    return wrong, peak


def _run_isolated(call: Call, sandbox: Path) -> None:
    """Run the call in the child process, within limits and under audit; never return."""
    code = 70
    try:
        project, temporary = sandbox / "project", sandbox / "tmp"
        os.chdir(project)
        os.environ |= {"TMPDIR": str(temporary), "HOME": str(temporary), "FER_NPROC": "1", "FER_DEVICE": "cpu"}
        tempfile.tempdir = str(temporary)
        output = os.open(sandbox / "stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        events = os.open(sandbox / "heard", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.dup2(os.open("stdin" if Path("stdin").exists() else os.devnull, os.O_RDONLY), 0)
        now = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (now + 2 * MAX_MEMORY, now + 2 * MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sys.addaudithook(partial(_record_event, events, (f"{project}/", f"{temporary}/", "/dev/null"), str(project)))
        call()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _record_event(
    events: int, allowed: tuple[str, ...], working_folder: str, event: str, arguments: tuple[Any, ...]
) -> None:
    """Record an audit event that a harmless file would not cause."""
    if event in FORBIDDEN_EVENTS:
        os.write(events, f"{event} {arguments!r:.200}\n".encode())
    path: Any = None
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        path = arguments[0]
    elif event in WRITE_EVENTS:
        path = arguments[WRITE_EVENTS[event]]
    if isinstance(path, str | bytes | os.PathLike):
        full = os.path.normpath(os.path.join(working_folder, os.fsdecode(path)))
        if not f"{full}/".startswith(allowed):
            os.write(events, f"{event} {full!r}\n".encode())


def _find_violations(sandbox: Path, status: int, seconds: float) -> Iterator[str]:
    output = (sandbox / "stdout").read_bytes().decode("utf-8", "replace")
    if os.WIFSIGNALED(status):
        yield f"killed by signal {os.WTERMSIG(status)} after {seconds:.0f} s"
    elif (code := os.WEXITSTATUS(status)) not in (0, 1):
        yield f"exit code {code}"
    elif code and not output.strip():
        yield "failed without a word"
    if "Traceback" in output or "Error:" in output.splitlines()[-1:]:
        yield f"traceback: {output.strip().splitlines()[-1][:200]}"
    if errors := [line for line in output.splitlines() if line.startswith("error:")][1:]:
        yield f"more than one line of error: {errors[-1][:100]}"
    if odd := re.findall(r"[^\n\r\t -~\u00a0-\U0010ffff]", output):
        yield f"characters that a terminal obeys: {sorted(set(odd))!r:.60}"
    if len(output) > 20_000:
        yield f"says {len(output):,} characters"
    if events := (sandbox / "heard").read_text(errors="replace"):
        yield f"heard: {events[:300]}"
    expected = {"project", "tmp", "outside", "stdout", "heard"}
    if unexpected := {path.name for path in sandbox.iterdir()} ^ expected:
        yield f"written outside: {', '.join(sorted(unexpected))}"
    if [path.name for path in (sandbox / "outside").iterdir()] != ["kept.jpg"]:
        yield "the folder beside the project was changed"
    if leftovers := [path.name for path in (sandbox / "tmp").iterdir()]:
        yield f"temporary files left: {', '.join(leftovers)[:100]}"
    if parts := [path.name for path in (sandbox / "project").glob("*.part") if path.name != "c.part"]:
        yield f"half-written files left: {', '.join(parts)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("doors", nargs="*", metavar="DOOR", help="pictures, archives, …, demo (default: all)")
    parser.add_argument("--every", type=int, default=1, help="take one file of so many (default: all)")
    parser.add_argument("--out", type=Path, help="folder for hostile.json, with the figures")
    args = parser.parse_args()
    begun = time.monotonic()
    lost, peak = list[str](), 0
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        torch.optim.SGD([torch.zeros(1)])  # the first one makes a temporary folder
        torch.set_num_threads(1)  # the forked child of a process with a pool of threads would wait for it
        scratch = Path(folder)
        project = make_sandbox_project(scratch)
        shutil.copytree(project / "package", scratch / "package")
        server.setblocking(False)
        cases = (
            case
            for case in make_cases(server.getsockname()[1], scratch, args.doors)
            if not args.doors or case[0] in args.doors
        )
        for door, name, put in islice(cases, 0, None, args.every):
            started = time.monotonic()
            wrong, used = run_case((door, name, put), project)
            with contextlib.suppress(BlockingIOError):
                server.accept()
                wrong.append("a connection to the network")
            counts[door] = counts.get(door, 0) + 1
            peak = max(peak, used)
            lost += [f"{door}: {name}: {'; '.join(wrong)}"] if wrong else []
            usage = f"{time.monotonic() - started:5.1f} s {used / 1e6:6,.0f} MB"
            print(f"{'LOST' if wrong else 'ok  '} {usage}  {door}: {name}", flush=True)
        if not args.doors or "demo" in args.doors:
            counts["requests to the demo"], wrong = stress_demo(
                bundle.load_package(scratch / "package", torch.device("cpu"))
            )
            lost += [f"demo: {problem}" for problem in wrong]
    harness.report(args.out, "hostile", counts, lost, begun, peak_megabytes=round(peak / 1e6))


if __name__ == "__main__":
    main()
