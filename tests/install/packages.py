#!/usr/bin/env python3
"""packages.py BUILD_DIR - what ./dev package makes: the program as a service, and the library beside it."""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

EXPECTED = {
    "quantumharmony": ("./usr/bin/quantumharmony-node", "./usr/lib/systemd/system/quantumharmony.service",
                       "./etc/quantumharmony/node.toml", "./usr/share/man/man1/quantumharmony-node.1",
                       "./usr/share/doc/quantumharmony/LICENSE"),
    "libquantumharmony-dev": ("./usr/lib/libquantumharmony.a", "./usr/include/quantumharmony/queue/validator_queue.h",
                              "./usr/lib/cmake/QuantumHarmony/QuantumHarmonyConfig.cmake",
                              "./usr/share/doc/libquantumharmony-dev/LICENSE"),
}


def said_by(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def value(text, key):
    """Of a line `key=value` or `key = value`, the last one."""
    return re.findall(rf"^{key} *= *(.*?) *(?:#.*)?$", text, re.M)[-1].strip('"')


def check_service(root, prefix):
    """The unit runs the program that came with it, once for a mistake, on the directory that the configuration names."""
    unit = (root / f"{prefix}/lib/systemd/system/quantumharmony.service").read_text()
    program, *arguments = value(unit, "ExecStart").split()
    assert program == f"/{prefix}/bin/quantumharmony-node", program
    assert (root / program.lstrip("/")).exists(), program
    assert value(unit, "RestartPreventExitStatus") == "2"
    assert int(value(unit, "StartLimitBurst")) * int(value(unit, "RestartSec")) < 300
    assert value(unit, "StartLimitIntervalSec") == "5min"
    config = arguments[arguments.index("--config") + 1]
    state = f"/var/lib/{value(unit, 'StateDirectory')}"
    # What a person's shell says, who has no variable of the unit.
    shown = said_by(root / program.lstrip("/"), "--config", root / config.lstrip("/"), "config", "show")
    assert value(shown, "data-dir") == state, shown
    home = dict(item.split("=") for item in [value(unit, "Environment")])["XDG_STATE_HOME"]
    assert f"{home}/quantumharmony" == state, home


def check_installed(build, directory):
    """By cmake --install, which may put it anywhere."""
    said_by("env", f"DESTDIR={directory}", "cmake", "--install", build, "--component", "node", "--prefix", "/opt/qh")
    check_service(Path(directory), "opt/qh")


def main():
    with tempfile.TemporaryDirectory() as directory:
        said_by("cpack", "--config", f"{sys.argv[1]}/CPackConfig.cmake", "-B", directory)
        packages = {said_by("dpkg-deb", "-f", file, "Package").strip(): file for file in Path(directory).glob("*.deb")}
        assert packages.keys() == EXPECTED.keys(), packages
        owners = {}
        for name, file in packages.items():
            files = {line.split()[5] for line in said_by("dpkg-deb", "-c", file).splitlines() if line[0] == "-"}
            missing = set(EXPECTED[name]) - files
            assert not missing, f"{name} has no {missing}"
            for path in files:
                assert owners.setdefault(path, name) == name, f"{path} is in two packages"
        assert "/etc/quantumharmony/node.toml" in said_by("dpkg-deb", "-I", packages["quantumharmony"], "conffiles")
        for name, needed in (("quantumharmony", "libc6"), ("libquantumharmony-dev", "libexpected-dev")):
            assert needed in said_by("dpkg-deb", "-f", packages[name], "Depends"), name
        said_by("dpkg-deb", "-x", packages["quantumharmony"], f"{directory}/unpacked")
        check_service(Path(directory) / "unpacked", "usr")
    with tempfile.TemporaryDirectory() as directory:
        check_installed(sys.argv[1], directory)
    print("two packages with what they should have")


if __name__ == "__main__":
    main()
