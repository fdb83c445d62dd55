"""Records of artifacts are read by many threads at once, from the first moment on."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from wasmind.sandbox import compile_program_now

if TYPE_CHECKING:
    from pathlib import Path

READ = """
import sys, threading
from pathlib import Path
from wasmind.sandbox.artifact import ArtifactCache
sys.setswitchinterval(1e-6)
cache = ArtifactCache(Path(sys.argv[1]))
together = threading.Barrier(8)
found = []
def find():
    together.wait()
    found.append(cache.find(sys.argv[2]))
threads = [threading.Thread(target=find) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 8 and all(found)
"""


def test_the_first_reads_may_come_from_many_threads(tmp_path: Path) -> None:
    compile_program_now(b"\0asm\1\0\0\0", tmp_path, ())
    (record,) = tmp_path.glob("*.json")
    for _ in range(5):
        subprocess.run([sys.executable, "-c", READ, str(tmp_path), record.stem], check=True)
