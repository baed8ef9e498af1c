"""Fixtures: a laboratory per test, or one that lives on while tests pass."""
import os

import pytest

import lab as labs

# Programs are started in other mount namespaces, where a relative path is lost
os.environ["MSB_BUILD"] = str(labs.BUILD)


def _need():
    for path in (labs.GATEWAY, labs.INIT):
        if not os.access(path, os.X_OK):
            pytest.skip(f"{path} has not been built")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun cannot be opened")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    lab = getattr(item, "msb_lab", None)
    if lab and report.failed:
        lab.failed = True
        report.sections.append(("gateway and agent", lab.logs()))


def _use(request, lab):
    lab.failed = False
    request.node.msb_lab = lab
    return lab


@pytest.fixture
def lab(request):
    """Empty namespaces: the test starts what it needs."""
    _need()
    new = labs.Lab()
    yield _use(request, new)
    new.close()


class Shared:
    """At most one running lab; another set of flags, or a failure, ends it."""

    def __init__(self):
        self.key = self.lab = None

    def get(self, key):
        if self.key != key:
            self.close()
            self.lab = labs.Lab()
            self.key = key
            self.lab.start(*key)
        return self.lab

    def close(self):
        if self.lab:
            self.lab.close()
        self.key = self.lab = None


@pytest.fixture(scope="session")
def _shared():
    shared = Shared()
    yield shared
    shared.close()


@pytest.fixture
def net(request, _shared):
    """A connected guest, shared by the tests with the same flags.

    The flags come by indirect parametrization.  What a test leaves behind in
    lab.own() is closed after it, and the link must still carry.
    """
    _need()
    try:
        lab = _use(request, _shared.get(tuple(getattr(request, "param", ()))))
    except BaseException:
        if _shared.lab:
            print(_shared.lab.logs())
        _shared.close()
        raise
    yield lab
    for close in reversed(lab.closers):
        close()
    lab.closers.clear()
    if not lab.failed:
        try:
            lab.sane()
        except BaseException:
            print(lab.logs())
            _shared.close()
            raise
    if lab.failed:
        _shared.close()
