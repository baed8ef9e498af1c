"""One run: rounds of setups of columns, interleaved; what came, and what not.

Within a setup the columns follow one another, so that whatever else the machine
does hits those that are compared alike, and each round begins with another one.
"""
import contextlib
import importlib
import os
import signal
import statistics
import sys
import time

import measure
import place as places
import rows

TRIES = 2           # of what has never worked in this run
FOREIGN = ("limits", "vufront")     # modules with rows(log, quick), if there
FOREIGN_S = 300


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Run:
    """What is measured in which columns, and the samples.

    samples   {row: {column: [value of each round]}}
    reasons   {(column, row): why there is none}
    """

    def __init__(self, build, cols, globs=(), quick=False, extra=()):
        self.build, self.cols, self.extra = build, cols, extra
        self.globs, self.quick = globs, quick
        self.samples, self.reasons, self.failures = {}, {}, {}
        self.setups = []
        for s in measure.plan(measure.Times(quick)):
            jobs = [j for j in s.jobs
                    if any(rows.matches(r, globs) for r in j.rows)]
            if jobs:
                self.setups.append(s._replace(jobs=jobs))
        self.place = None
        self.congestion, self.noise = None, []
        self.load = os.getloadavg()     # of others: nothing runs yet

    def add(self, column, got):
        for row, value in got.items():
            if rows.matches(row, self.globs):
                self.samples.setdefault(row, {}).setdefault(
                    column, []).append(value)

    def failed(self, column, names, why):
        say(f"  {column}: {names[0]}: {why}")
        key = (column, names[0])
        self.failures[key] = self.failures.get(key, 0) + 1
        for row in names:
            if rows.matches(row, self.globs):
                self.reasons[column, row] = why

    def hopeless(self, column, names):
        """It has failed before, and has never worked."""
        return self.failures.get((column, names[0]), 0) >= TRIES and not any(
            column in self.samples.get(r, {}) for r in names)

    def job(self, col, job):
        """Whether the column may go on."""
        try:
            self.add(col.name, job.run(col))
        except measure.Partial as e:
            self.add(col.name, e.good)
            self.failed(col.name, [r for r in job.rows if r not in e.good],
                        str(e))
        except Exception as e:
            self.failed(col.name, job.rows, str(e) or repr(e))
        for proc in col.procs + col.helpers:
            if proc.poll() is not None:
                say(f"  {col.name}: has ended: {col.said(proc)}")
                return False
        return True

    def setup(self, setup, cls):
        jobs = [j for j in setup.jobs if (cls.gateway or not j.gateway) and
                any(rows.matches(r, cls.only) for r in j.rows) and
                not self.hopeless(cls.name, j.rows)]
        if not jobs:
            return
        begun, left = time.monotonic(), list(jobs)
        mtu = int(setup.name[4:]) if setup.name.startswith("MTU") else 1500
        many = rows.FLOWS[-1] if setup.name.endswith("flows") else None
        col = cls(self.place, self.build, mtu, many, self.extra)
        why = "it has ended before"
        try:
            setup.start(col)
            measure.settle()
            while left and self.job(col, left[0]):
                left.pop(0)
            left = left[1:]
        except Exception as e:
            why = f"it does not start: {e or repr(e)}"
        finally:
            col.stop()
        for job in left:
            self.failed(cls.name, job.rows, why)
        say(f"  {setup.name}, {cls.name}: "
            f"{time.monotonic() - begun:.1f} s")

    def quiet(self):
        """How much of all CPUs others use, %."""
        busy, begun = places.busy_s(), time.monotonic()
        places.nap(0.5)
        return 100 * (places.busy_s() - busy) / (
            time.monotonic() - begun) / places.cpus()

    def round(self, n, end):
        self.noise.append(self.quiet())
        say(f"round {n + 1}, others use {self.noise[-1]:.0f} % of the CPUs")
        for setup in self.setups:
            if n % setup.every:
                continue
            turn = n % len(self.cols)
            for cls in self.cols[turn:] + self.cols[:turn]:
                if time.monotonic() > end:
                    say("out of time")
                    return False
                self.setup(setup, cls)
        return True

    def rounds(self, n, end, after):
        """n rounds; after() is called behind each.  Whether all were made."""
        if not self.setups:
            return True
        self.place = places.Place(self.build)
        try:
            self.congestion = self.place.host.congestion
            self.place.wrapped = self.place.wrapped_s()
            for i in range(n):
                done = self.round(i, end)
                after()
                if not done:
                    return False
        finally:
            self.place.close()
        return True

    def foreign(self):
        """Rows of other programs, once."""
        for name in FOREIGN:
            self._foreign(name)
        for row, got in measure.size_kib().items():
            for column, value in got.items():
                if column in [c.name for c in self.cols]:
                    self.add(column, {row: value})

    def _foreign(self, name):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as e:
            if e.name != name:
                say(f"{name}: {e}")
            return
        # A row is a name, or begins with it
        known = [r if isinstance(r, str) else r[0]
                 for r in getattr(module, "ROWS", [])]
        if known and not any(rows.matches(r, self.globs) for r in known):
            return
        say(name)
        try:
            with limit(FOREIGN_S):
                got = module.rows(say, self.quick)
        except Exception as e:
            say(f"{name}: {e or repr(e)}")
            return
        for row, values in got.items():
            for column, value in values.items():
                if value is not None:
                    self.add(column, {row: value})

    # --- what came ---

    def columns(self):
        """Those chosen, then what others brought."""
        names = [c.name for c in self.cols]
        for got in self.samples.values():
            names += [c for c in got if c not in names]
        return names

    def wanted(self):
        """Names of all rows, in order, that were asked for."""
        known = [r for r in rows.ROWS if rows.matches(r, self.globs)]
        return known + [r for r in self.samples if r not in rows.ROWS]

    def spread(self):
        """{row: {column: {median, min, max, n}}}"""
        return {row: {c: {"median": statistics.median(v), "min": min(v),
                          "max": max(v), "n": len(v)}
                      for c, v in self.samples[row].items()}
                for row in self.wanted() if row in self.samples}

    def medians(self):
        """{row: {column: median}}; None where there is none, and why_not()"""
        out = {}
        for row in self.wanted():
            have = self.samples.get(row, {})
            # Columns that others brought have their own rows
            names = [c.name for c in self.cols] if row in rows.ROWS else []
            names += [c for c in have if c not in names]
            out[row] = {c: statistics.median(have[c]) if c in have else None
                        for c in names}
        return out

    def why_not(self, column, row):
        if (column, row) in self.reasons:
            return self.reasons[column, row]
        for cls in self.cols:
            if cls.name == column:
                return measure.cannot(cls, row)
        return "not measured"


@contextlib.contextmanager
def limit(seconds):
    """Whatever takes longer is over, here."""
    def late(*_):
        raise TimeoutError(f"not done within {seconds} s")
    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
