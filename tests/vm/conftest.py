"""Fixtures, and what is told at the end of a run."""
import os
import pathlib
import shutil

import pytest

import vm


def pytest_collection_modifyitems(items):
    missing = [str(p) for p in (vm.GATEWAY, vm.INIT, vm.BUILD /
                                "initramfs.cpio.gz") if not p.exists()]
    if missing:
        pytest.exit(f"not built: {', '.join(missing)}: run make all image", 2)


def pytest_terminal_summary(terminalreporter):
    tr = terminalreporter
    for line in vm.measured:
        tr.write_line("vm: " + line)
    if vm.boots:
        tr.write_line(f"vm: {len(vm.boots)} boots, {len(vm.hung)} hung in "
                      "boot" + "".join("\n  " + x for x in vm.hung))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    # A guest is a fixture of the tests that read its steps
    for value in getattr(item, "funcargs", {}).values():
        logs = getattr(value, "logs", None)
        if report.failed and callable(logs):
            report.sections.append(("guest and gateway", logs()))


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    s = vm.Servers(tmp_path_factory.mktemp("servers"))
    yield s
    s.close()


@pytest.fixture(scope="session")
def room(tmp_path_factory):
    """room(NAME): a directory that is removed at the end of the run"""
    made = []

    def make(name):
        made.append(tmp_path_factory.mktemp(name))
        return made[-1]
    yield make
    for d in made:
        if not os.environ.get("MSB_KEEP"):
            shutil.rmtree(d, ignore_errors=True)


@pytest.fixture
def tmp(room, request) -> pathlib.Path:
    return room(request.node.name.split("[")[0][:20])
