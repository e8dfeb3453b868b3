"""Programs from other environments: the real ones where `make demo` has installed them, else
stand-ins that do of the same as much as the tests look at."""

import json
import sys
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
REAL = {
    "tap-helpscout": Path(sys.executable).with_name("tap-helpscout"),
    "target-jsonl": ROOT / ".venv-target-jsonl" / "bin" / "target-jsonl",
    "singer-check-tap": ROOT / ".venv-singer-tools" / "bin" / "singer-check-tap",
}


def put(name, folder):
    """Makes the program `name` in a folder; gives its path."""
    path = folder / name
    if REAL.get(name, path).exists():
        path.symlink_to(REAL[name])
        return path
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests import stand_ins\nstand_ins.main({name!r})\n"
    )
    path.chmod(0o755)
    return path


def main(name):
    """Reads Singer messages as a target or a checker does."""
    messages = [json.loads(line) for line in sys.stdin]
    if name == "singer-check-tap":
        print("The output is valid.")
        for stream in dict.fromkeys(m["stream"] for m in messages if m["type"] == "SCHEMA"):
            came = sum(m["type"] == "RECORD" and m["stream"] == stream for m in messages)
            print(f"| {stream} | {came} | 1 |")
        return
    config = json.loads(Path(sys.argv[2]).read_text("utf-8")) if sys.argv[1:] else {}
    if name == "target-jsonl":
        stamp = datetime.now().strftime("%Y%m%dT%H%M%S")
        for message in (m for m in messages if m["type"] == "RECORD"):
            path = Path(config.get("destination_path", "")) / f"{message['stream']}-{stamp}.jsonl"
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(message["record"]) + "\n")
    print(json.dumps([m["value"] for m in messages if m["type"] == "STATE"][-1]))
