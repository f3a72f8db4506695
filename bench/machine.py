"""What every benchmark needs: the binary, the machine, and a way to run one process and know its time and memory."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def binary() -> str:
    """The release build, or the one that TIDEMILL names."""
    if "TIDEMILL" in os.environ:
        return os.environ["TIDEMILL"]
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / "release" / "tidemill")


def data() -> Path:
    """The folder of the real data sets."""
    folder = os.environ.get("TIDEMILL_DATA")
    if not folder:
        sys.exit("set TIDEMILL_DATA to the folder of the data sets")
    return Path(folder)


def describe() -> str:
    """Processor and number of cores."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as text:
            name = next(line.split(":", 1)[1].strip() for line in text if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def measured(command: list[str], **kwargs) -> dict:
    """Runs a process to its end, as the only child of a small Python: seconds, those of the processor, peak resident bytes, output."""
    code = (
        "import json,resource,subprocess,sys,time\n"
        "b=time.monotonic();p=subprocess.run(sys.argv[1:],capture_output=True,text=True)\n"
        "s=time.monotonic()-b;u=resource.getrusage(resource.RUSAGE_CHILDREN);m=u.ru_maxrss\n"
        "print(json.dumps({'seconds':s,'cpu_seconds':u.ru_utime+u.ru_stime,'peak_rss_bytes':m*1024,'code':p.returncode,'stdout':p.stdout,'stderr':p.stderr[-2000:]}))"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True, **kwargs)
    result = json.loads(done.stdout)
    if result["code"] != 0:
        sys.exit(f"{' '.join(command)} ended with {result['code']}:\n{result['stderr']}")
    return result


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)


def in_folder(main: Callable[[Path], None]) -> None:
    """Runs a benchmark in the folder that the command line names, which is kept, or in one that is removed."""
    if len(sys.argv) > 1:
        return main(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
