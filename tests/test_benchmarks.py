"""The benchmarks run at the smallest size, and their page has their results."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as page
from benchmarks import augmentation, duplicates, gpu, ingest, measuring, pool, prediction, ranks, training
from pipeline import train

SMALL_ARGUMENTS = {
    training: "--steps 1 --batch 4 --repeats 1 --epochs 1 --faces 8 --seeds 0 1",
    augmentation: "--faces 4 --repeats 1",
    prediction: "--faces 4 --repeats 1",
    ingest: "--pictures 5 --sizes 5 --repeats 1",
    duplicates: "--faces 200",
    pool: "--sizes 10 --ways slices --repeats 1",
}
RATE_COLUMNS = {"way", "per_second", "lowest", "highest", "ratio", "lowest_ratio", "highest_ratio"}


def run_benchmark(name: str, benchmark: object, arguments: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.setenv("FER_NPROC", "1")
    monkeypatch.setattr(sys, "argv", [name, *arguments.split(), "--out", str(out)])
    benchmark.main()
    return json.loads((out / f"{name}.json").read_text())


@pytest.mark.parametrize("benchmark", SMALL_ARGUMENTS, ids=lambda module: module.__name__.partition(".")[2])
@pytest.mark.harden
def test_a_benchmark_writes_results_machine_and_command(
    benchmark: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = benchmark.__name__.partition(".")[2]
    results = run_benchmark(name, benchmark, SMALL_ARGUMENTS[benchmark], tmp_path, monkeypatch)
    assert list(results) == ["claim", "command", "machine", "facts", "tables", "targets"]
    assert results["command"] == f"python -m benchmarks.{name} {SMALL_ARGUMENTS[benchmark]}"
    assert results["machine"].keys() == {"device", "cores", "threads", "openmp", "torch", "python"}
    assert all(rows for rows in results["tables"].values())
    with_ratios = [rows for rows in results["tables"].values() if "ratio" in rows[0]]
    assert all(row.keys() == RATE_COLUMNS for rows in with_ratios for row in rows)
    assert all(rows[0]["ratio"] == 1 for rows in with_ratios)
    assert (tmp_path / f"{name}.png").is_file() == bool(with_ratios)


def test_a_dry_run_of_the_gpu_benchmark_finds_everything_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--tiny", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 0
    rows = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert {row["part"] for row in rows} == {"machine", *gpu.PARTS}
    assert sum("ok" in row for row in rows) > 10
    assert not any("left_out" in row or ("error" in row and "ok" not in row) for row in rows)
    assert capsys.readouterr().out.endswith("0 findings are not ok\n")


def test_a_ratio_is_of_rates_of_the_same_repeat() -> None:
    """The machine is twice as slow in the second repeat; the ratio is the same."""
    baseline, ours = measuring.summarize_rates({"one": [100, 50, 90], "ours": [300, 150, 180]}, "one")
    assert (baseline["per_second"], baseline["lowest"], baseline["highest"], baseline["ratio"]) == (90, 50, 100, 1)
    assert (ours["ratio"], ours["lowest_ratio"], ours["highest_ratio"]) == (3, 2, 3)


def test_workloads_take_turns_and_the_first_repeat_does_not_count() -> None:
    calls = []
    results = measuring.measure_rates({name: lambda name=name: calls.append(name) or 1 for name in "ab"}, repeats=2)
    assert "".join(calls) == "ababab"
    assert [len(values) for values in results.values()] == [2, 2]


def test_a_target_is_met_at_its_bound() -> None:
    assert [measuring.check_target("", ratio, minimum=1.7)["met"] for ratio in (1.69, 1.7)] == [False, True]
    assert [measuring.check_target("", ratio, maximum=1.05)["met"] for ratio in (1.05, 1.06)] == [True, False]


def test_the_rate_excludes_the_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(folder: Path, stage: str, processes: int, threads: int) -> float:
        faces = ranks.START_UP_FACES if folder.name == "few" else ranks.STAGES[stage]["faces"]
        return 3 * processes + faces / (100 * processes)

    monkeypatch.setattr(ranks, "time_stage", seconds)
    monkeypatch.setattr(ranks, "write_project", lambda folder, stage, count: folder)
    monkeypatch.setattr(ranks, "count_cores", lambda: 2)
    rows = ranks.measure_stage("train", [1, 2], repeats=2)
    names = ["ours, 1 process, 1 thread", "ours, 1 process, 2 threads", "ours, 2 processes, 2 threads"]
    assert [row["way"] for row in rows] == names
    assert [round(row["ratio"], 6) for row in rows] == [1, 1, 2]
    assert [round(row["start_up_seconds"], 6) for row in rows] == [3, 3, 6]


def test_prediction_runs_on_the_written_project(tmp_path: Path) -> None:
    project = ranks.write_project(tmp_path / "few", "predict", 2)
    assert ranks.time_stage(project, "predict", processes=1, threads=1) > 0
    assert np.load(project / "logits.npy").shape == (3, 1, 7)


@pytest.mark.harden
def test_training_runs_on_the_written_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ranks.write_project(tmp_path / "few", "train", 2))
    monkeypatch.setattr(sys, "argv", ["train", *ranks.stage_arguments("train")])
    train.main()
    assert Path("trained/weights.safetensors").is_file()


def test_the_page_gets_the_results_and_keeps_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "RESULTS_FOLDER", tmp_path)
    results = run_benchmark("prediction", prediction, SMALL_ARGUMENTS[prediction], tmp_path, monkeypatch)
    template = "Before.\n\n<!-- targets -->old<!-- end -->\n\n<!-- prediction -->old<!-- end -->\n\n{}\n\nAfter.\n"
    not_run = "<!-- ranks -->kept<!-- end -->"
    text = page.fill_page(template.format(not_run))
    assert text == page.fill_page(text), "filled twice"
    assert text.startswith("Before.")
    assert text.endswith(f"{not_run}\n\nAfter.\n")
    assert "old" not in text
    for part in (results["command"], "| DataLoader, fp32 ", "results/prediction.png", "| prediction: ours, bf16 ÷"):
        assert part in text


def test_numbers_of_a_table_have_three_digits() -> None:
    rows = [{"way": "ours", "faces": 10_000, "per_second": 1234.5, "ratio": 1.2345}]
    cells = [cell.strip() for cell in measuring.format_rows(rows).splitlines()[-1].strip("|").split("|")]
    assert cells == ["ours", "10,000", "1,234", "1.23"]


def test_every_benchmark_has_a_section_in_the_page() -> None:
    files = {path.stem for path in page.BENCHMARKS_FOLDER.glob("*.py")} - {
        "__main__",
        "gpu",
        "measuring",
        "memory",
        "ordinary",
    }
    assert files == set(page.BENCHMARK_ARGUMENTS)
    text = page.README.read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in text for name in page.BENCHMARK_ARGUMENTS)
