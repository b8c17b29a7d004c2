#!/usr/bin/env python3
"""Each rule of arrows.py fires on a small tree that breaks it, and only then."""
import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))
import arrows  # noqa: E402

PAUSE = "sleep" + "_for"  # in two parts: the rule reads this file too


class ArrowsTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def given(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def found(self) -> list[str]:
        return [f"{finding.rule} {finding.file}:{finding.line}" for finding in arrows.check(self.root)]

    def expect(self, files: dict[str, str], *findings: str) -> None:
        self.given(files)
        self.assertEqual(self.found(), list(findings))

    def test_rooms_below_and_the_room_itself_may_be_included(self) -> None:
        self.expect({
            "src/queue/wal.cpp": '#include "queue/wal.h"\n#include "base/bytes.h"\n#include "crypto/hash.h"\n',
            "src/queue/wal.h": '#include <vector>\n',
            "sim/disk.cpp": '#include "sim/disk.h"\n#include "validator/validator.h"\n',
            "apps/qudag/main.cpp": '#include "arguments.h"\n#include "cli/table.h"\n#include "qh/version.h"\n',
            "tests/processes/node_test.cpp": '#include "apps/x.h"\n#include "sim/disk.h"\n#include "tests/support/y.h"\n',
        })

    def test_a_room_above_may_not_be_included(self) -> None:
        self.expect({"src/base/bytes.h": '#pragma once\n#include "queue/wal.h"\n'}, "arrow src/base/bytes.h:2")

    def test_a_room_of_the_same_floor_may_not_be_included(self) -> None:
        self.expect({"src/queue/wal.cpp": '#include "dag/vertex.h"\n', "sim/net.h": '#include "node/loop.h"\n'},
                    "arrow sim/net.h:1", "arrow src/queue/wal.cpp:1")

    def test_a_unit_test_obeys_the_arrows_of_its_room(self) -> None:
        self.expect({"src/queue/wal_test.cpp": '#include "sim/disk.h"\n'}, "arrow src/queue/wal_test.cpp:1")

    def test_a_room_may_not_include_tests_or_unknown_folders(self) -> None:
        self.expect({"src/base/a.h": '#include "tests/support/x.h"\n#include "utils/y.h"\n'},
                    "arrow src/base/a.h:1", "arrow src/base/a.h:2")

    def test_a_room_without_a_floor_is_found(self) -> None:
        self.expect({"src/helpers/a.h": '#include "base/a.h"\n'}, "arrow src/helpers/a.h:1")

    def test_the_text_names_both_rooms_and_floors(self) -> None:
        self.given({"src/base/a.h": '#include "serve/b.h"\n'})
        self.assertIn("base (floor 0) includes serve (floor 5)", str(arrows.check(self.root)[0]))

    def test_boost_is_the_rooms_own_matter_in_sources_and_private_headers(self) -> None:
        self.expect({
            "src/serve/server.cpp": '#include <boost/asio.hpp>\n#include "serve/session.h"\n',
            "src/serve/session.h": '#include <boost/beast/core.hpp>\n',
            "src/queue/fifo.h": '#include <boost/intrusive/list.hpp>\n',
        })

    def test_boost_may_not_stand_in_a_header_that_another_room_includes(self) -> None:
        self.expect({
            "src/queue/engine.h": '#pragma once\n#include <boost/intrusive/list.hpp>\n',
            "src/node/runner.cpp": '#include "queue/engine.h"\n',
        }, "boost src/queue/engine.h:2")

    def test_boost_is_found_through_other_headers_and_from_tests(self) -> None:
        self.expect({
            "src/queue/engine.h": '#include "queue/detail/fifo.h"\n',
            "src/queue/detail/fifo.h": '#include <boost/unordered/unordered_flat_map.hpp>\n',
            "tests/engine_test.cpp": '#include "queue/engine.h"\n',
        }, "boost src/queue/detail/fifo.h:1")

    def test_sleeping_tests_are_found_in_every_language(self) -> None:
        self.expect({
            "src/queue/wal_test.cpp": f"int x;\nstd::this_thread::{PAUSE}(1s);\n",
            "tests/a.cpp": "u" + "sleep(10);\n",
            "tests/b.py": "import time\ntime." + "sleep(1)\n",
            "tests/c.sh": "while true; do " + "sleep 1; done\n",
            "dashboard/e2e.test.ts": "await page.waitFor" + "Timeout(100);\n",
        }, "sleep dashboard/e2e.test.ts:1", "sleep src/queue/wal_test.cpp:2", "sleep tests/a.cpp:1", "sleep tests/b.py:2",
            "sleep tests/c.sh:1")

    def test_code_that_is_no_test_may_pause(self) -> None:
        self.expect({"src/node/retry.cpp": f"std::this_thread::{PAUSE}(1s);\n", "scripts/x.sh": "sleep 1\n"})

    def test_a_long_file_is_found(self) -> None:
        self.expect({"src/queue/wal.cpp": "\n" * 501, "src/queue/fine.cpp": "\n" * 500, "tests/long.cpp": "\n" * 900},
                    "length src/queue/wal.cpp:501")

    def test_hosts_of_registries_are_found(self) -> None:
        for host in ("deb." + "debian.org", "registry." + "npmjs.org", "pypi." + "org", "static.crates" + ".io"):
            with self.subTest(host=host):
                self.expect({"scripts/setup.sh": f"# one\ncurl https://{host}/x\n"}, "registry scripts/setup.sh:2")

    def test_paths_of_one_machine_are_found(self) -> None:
        self.expect({"docs/a.md": "see /wo" + "rk/main\n", "docs/b.md": "/fa" + "rm/x\n",
                     "docs/fine.md": "home/work/x and src/work/y, /workspace/z\n"}, "path docs/a.md:1", "path docs/b.md:1")

    def test_binary_files_are_passed_over(self) -> None:
        (self.root / "tests").mkdir()
        (self.root / "tests" / "golden.bin").write_bytes(b"\0\1 /wo" + b"rk/ \xff")
        self.assertEqual(self.found(), [])

    def test_the_exit_code_and_the_text_say_so(self) -> None:
        self.given({"src/base/a.h": '#include "serve/b.h"\n'})
        out = io.StringIO()
        with mock.patch.object(sys, "argv", ["arrows.py", str(self.root)]), contextlib.redirect_stdout(out):
            self.assertEqual(arrows.main(), 1)
        self.assertTrue(out.getvalue().startswith("src/base/a.h:1: arrow: "))


if __name__ == "__main__":
    unittest.main()
