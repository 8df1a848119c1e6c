"""Latency on an Android phone: the commands of TensorFlow's `benchmark_model`, and on demand their run through `adb`.

Nothing is downloaded, and nothing runs on a phone unless it is asked for.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerafer.benchmarking.parsing import parse_output
from kerafer.benchmarking.report import BenchmarkReport, FileBenchmark, with_ratios

FOLDER = "/data/local/tmp/kerafer"
"""Where files lie on the phone: programs may run in /data/local/tmp, and no app sees it."""

TOOL = "benchmark_model"
WHERE_TO_GET_IT = (
    "benchmark_model is TensorFlow's own benchmark program for Android. Build it in TensorFlow's source tree (bazel "
    "build -c opt --config=android_arm64 tensorflow/lite/tools/benchmark:benchmark_model), or fetch the nightly build "
    "android_aarch64_benchmark_model that Google's page on measuring LiteRT models links to: "
    "https://ai.google.dev/edge/litert/models/measurement. kerafer downloads nothing"
)
METHOD = "benchmark_model on Android, as the tool tells it"
PROCESSORS = ("cpu", "gpu")
_STEP_TIMEOUT = 120
"""Seconds for a step that is no benchmark: the slowest is a push of some hundred megabytes over USB 2."""
_DESCRIBE = "; ".join(
    f"getprop {name}" for name in ("ro.product.manufacturer", "ro.product.model", "ro.build.version.release")
)


@dataclass(frozen=True)
class Plan:
    """Which commands benchmark some files on a phone.

    Args:
        files: `.tflite` files here.
        processor: `"cpu"` (XNNPACK) or `"gpu"` (the GPU delegate).
        threads: CPU threads.
        runs: measured inferences, at least.
        warmup: inferences before them, at least.
        profile: let the tool time each operator too, which slows it a little.
        serial: of the phone, as `adb devices` tells it; needed where there are several.
        tool: the program here, or None where it lies on the phone already.
        max_seconds: after which the tool ends by itself.

    Raises:
        FileNotFoundError: if there is no such file or program.
        ValueError: if a number is not positive, the processor is unknown, or there is no file.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "ean.tflite"
        >>> _ = file.write_bytes(b"")
        >>> print(Plan((file,)).benchmark(file)[-1])  # doctest: +ELLIPSIS
        /data/local/tmp/kerafer/benchmark_model --graph=/data/local/tmp/kerafer/ean.tflite --num_threads=4 ...
    """

    files: tuple[Path, ...]
    processor: str = "cpu"
    threads: int = 4
    runs: int = 200
    warmup: int = 20
    profile: bool = False
    serial: str | None = None
    tool: Path | None = None
    max_seconds: int = 150

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("`files` must name one or more .tflite files. Received: none")
        if self.processor not in PROCESSORS:
            raise ValueError(f"`processor` must be one of {', '.join(PROCESSORS)}. Received: {self.processor!r}")
        for name in ("threads", "runs", "warmup", "max_seconds"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {getattr(self, name)!r}")
        for path in (*self.files, *((self.tool,) if self.tool else ())):
            if not Path(path).is_file():
                raise FileNotFoundError(f"There is no file {path}.")

    def adb(self, *arguments: str) -> list[str]:
        """Return a command line of `adb` for this phone."""
        return ["adb", *(("-s", self.serial) if self.serial else ()), *arguments]

    def shell(self, *words: str) -> list[str]:
        """Return a command line that runs a program on the phone; its shell splits at blanks, so words are quoted."""
        return self.adb("shell", shlex.join(words))

    def remote(self, file: Path) -> str:
        """Return where a file lies on the phone: under its own name, with a number where two share one."""
        before = [other.name for other in self.files[: self.files.index(file)]]
        twin = before.count(file.name)
        return f"{FOLDER}/{f'{file.stem}_{twin}{file.suffix}' if twin else file.name}"

    def prepare(self) -> list[list[str]]:
        """Return the commands that put the program on the phone."""
        tool = str(self.tool or TOOL)
        return [
            self.shell("mkdir", "-p", FOLDER),
            self.adb("push", tool, f"{FOLDER}/{TOOL}"),
            self.shell("chmod", "755", f"{FOLDER}/{TOOL}"),
        ]

    def push(self, file: Path) -> list[str]:
        """Return the command that puts a file on the phone."""
        return self.adb("push", str(file), self.remote(file))

    def benchmark(self, file: Path) -> list[str]:
        """Return the command that measures a file."""
        flags = [
            f"--graph={self.remote(file)}",
            f"--num_threads={self.threads}",
            f"--num_runs={self.runs}",
            f"--warmup_runs={self.warmup}",
            f"--max_secs={self.max_seconds}",
            f"--use_xnnpack={str(self.processor == 'cpu').lower()}",
            f"--use_gpu={str(self.processor == 'gpu').lower()}",
        ]
        if self.profile:
            flags.append("--enable_op_profiling=true")
        return self.shell(f"{FOLDER}/{TOOL}", *flags)

    def remove(self, file: Path) -> list[str]:
        """Return the command that takes a file off the phone again."""
        return self.shell("rm", "-f", self.remote(file))

    def text(self) -> str:
        """Return all commands, as one types them, and what to do with what they print."""
        lines = [f"# {WHERE_TO_GET_IT}.", *map(shlex.join, self.prepare())]
        logs = []
        for file in self.files:
            logs.append(f"{Path(self.remote(file)).stem}_{self.processor}.log")
            lines += [
                "",
                shlex.join(self.push(file)),
                f"{shlex.join(self.benchmark(file))} > {shlex.quote(logs[-1])} 2>&1",
            ]
            lines.append(shlex.join(self.remove(file)))
        again = ["kerafer", "benchmark", *map(str, self.files), "--device", "android", "--processor", self.processor]
        again += ["--threads", str(self.threads), *(word for log in logs for word in ("--log", log))]
        return "\n".join([*lines, "", "# then, for the table:", shlex.join(again)])


@dataclass(frozen=True)
class Phone:
    """A phone that answers.

    Args:
        serial: as `adb devices` tells it.
        name: maker, model and Android version, as the phone tells them.
    """

    serial: str
    name: str

    @classmethod
    def find(cls, serial: str | None = None) -> Phone:
        """Return the phone that is attached.

        Args:
            serial: which one; needed where there are several.

        Raises:
            FileNotFoundError: if `adb` is not on the PATH.
            ValueError: if no phone, several, or another one is attached, or it does not let this machine in.
        """
        if shutil.which("adb") is None:
            raise FileNotFoundError(
                "There is no `adb` on the PATH. Install Android's platform tools (the Debian package adb), or run the "
                "commands by hand where a phone is attached: leave out --run, and they are printed."
            )
        rows = [line.partition("\t") for line in _adb(["adb", "devices"], "list the phones").splitlines()]
        states = {name: state.strip() for name, tab, state in rows if tab}
        listed = ", ".join(f"{name} ({state})" for name, state in states.items()) or "none"
        if serial is None and len(states) > 1:
            raise ValueError(f"Several phones are attached; name one with `serial` (--serial). Received: {listed}")
        if not states or (serial is not None and serial not in states):
            raise ValueError(
                f"`adb devices` must list {serial or 'a phone'}: attach it with a cable and switch USB debugging on "
                f"in its developer options. Received: {listed}"
            )
        chosen = serial or next(iter(states))
        if states[chosen] != "device":
            raise ValueError(
                f"The phone {chosen} is {states[chosen]}, not ready. Unlock it and allow USB debugging from here."
            )
        told = _adb(["adb", "-s", chosen, "shell", _DESCRIBE], "describe itself").split("\n")
        maker, model, version = [*(line.strip() for line in told), "", "", ""][:3]
        model = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
        return cls(chosen, f"{model.strip() or chosen}, Android {version or 'of unknown version'}")


def benchmark_on_phone(plan: Plan, *, reference: str | None = None, progress: bool = False) -> BenchmarkReport:
    """Run a plan's commands on the attached phone.

    The files are taken off the phone again; the program stays for the next time.

    Args:
        plan: what to run; `plan.tool` may be None if the program lies on the phone from an earlier run.
        reference: name of the file that ratios refer to; the first by default.
        progress: show a progress bar.

    Returns:
        What the tool told of each file; a file that it could not run has a `failure`.

    Raises:
        FileNotFoundError: if there is no `adb` here, or no program on the phone.
        ValueError: if no phone is ready.
        OSError: if `adb` fails otherwise.
    """
    from tqdm import tqdm

    phone = Phone.find(plan.serial)
    plan = Plan(**{**vars(plan), "serial": phone.serial})
    if plan.tool:
        for command in plan.prepare():
            _adb(command, "take the program")
    elif "yes" not in _adb(plan.adb("shell", f"test -x {FOLDER}/{TOOL} && echo yes; true"), "look for the program"):
        raise FileNotFoundError(f"There is no {FOLDER}/{TOOL} on {phone.name}: name it with --tool. {WHERE_TO_GET_IT}.")
    found = []
    for file in tqdm(plan.files, unit="file", disable=not progress, leave=False):
        _adb(plan.push(file), f"take {file.name}")
        try:
            said = _run(plan.benchmark(file), timeout=2 * plan.max_seconds + _STEP_TIMEOUT)
            found.append(_parsed(said, plan, file, phone.name))
        except subprocess.TimeoutExpired:
            known = {**_known(plan, file, phone.name), "failure": "the phone did not answer in time"}
            found.append(FileBenchmark(**known))
        finally:
            _run(plan.remove(file), timeout=_STEP_TIMEOUT)
    return BenchmarkReport(with_ratios(tuple(found), reference), METHOD)


def read_log(
    plan: Plan, logs: Sequence[str | Path], *, device: str = "a phone", reference: str | None = None
) -> BenchmarkReport:
    """Read what the plan's commands printed when somebody ran them by hand.

    Args:
        plan: what was run.
        logs: one file for each of the plan's, in the same order.
        device: which phone it was, for the table.
        reference: name of the file that ratios refer to; the first by default.

    Returns:
        What the tool told of each file.

    Raises:
        FileNotFoundError: if there is no such log.
        ValueError: if there is not one log for each file.
    """
    if len(logs) != len(plan.files):
        raise ValueError(f"`logs` must be one for each of the {len(plan.files)} files. Received: {len(logs)}")
    texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in logs]
    found = tuple(_parsed(text, plan, file, device) for text, file in zip(texts, plan.files, strict=True))
    return BenchmarkReport(with_ratios(found, reference), METHOD)


def _known(plan: Plan, file: Path, device: str) -> dict[str, object]:
    return {
        "name": Path(plan.remote(file)).name,
        "bytes": file.stat().st_size,
        "device": device,
        "processor": plan.processor,
        "threads": plan.threads,
    }


def _parsed(said: str, plan: Plan, file: Path, device: str) -> FileBenchmark:
    return parse_output(said, **_known(plan, file, device))


def _run(command: list[str], timeout: float) -> str:
    """Return what a command printed on either stream, whatever its exit code."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
    return done.stdout.decode("utf-8", errors="replace")


def _adb(command: list[str], purpose: str) -> str:
    """Return what a command printed, or raise what went wrong."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_STEP_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"The phone did not {purpose} within {_STEP_TIMEOUT} s: {shlex.join(command)}") from error
    said = done.stdout.decode("utf-8", errors="replace")
    if done.returncode:
        words = "\n".join(_last(done.stderr.decode("utf-8", errors="replace") + said))
        raise OSError(f"The phone did not {purpose}: {shlex.join(command)} ended with {done.returncode}: {words}")
    return said


def _last(text: str, lines: int = 5) -> Iterator[str]:
    yield from [line for line in text.splitlines() if line.strip()][-lines:]
