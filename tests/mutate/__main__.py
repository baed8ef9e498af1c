"""mutate - break the TCP engine on purpose; do the tests notice?

Each comparison, arithmetic or logical operator, small number and sequence
helper of gateway/stack/tcp*.c is changed, one at a time: negated, shifted by
one, swapped.  Only that object is built anew (-O0, with traps for what is
undefined) and linked with the TCP groups of the unit tests, the quick ones
first.  A mutant is killed when they fail, crash or take too long; what the
compiler refuses does not count.

Environment: MUTATE_MAX (150) mutants, sampled by MUTATE_SEED (1); 0 is all of
them.  MUTATE_FILES limits the files, MUTATE_JOBS is 2.  MUTATE_AGAIN=1 takes
only those that survived last time.  MSB_BUILD is the build directory; the result
is mutate/report.txt in it, written anew with each verdict.

equal.txt beside this names survivors that no test can kill and says why: FILE,
the line's text, the mutation, the reason, separated by " | ".

Exit status: 0; 1 if a mutant survived that equal.txt does not explain; 2 if the
tests fail before anything is changed.
"""
import os
import random
import re
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
OUT = Path(os.environ.get("MSB_BUILD", TOP / "build")).resolve() / "mutate"
REPORT = OUT / "report.txt"
ORDER = ["survived", "explained", "refused", "killed"]
CPU_S = 3		# of 0.6 that the tests take; other load does not count
TIMEOUT_S = 90
MEMORY = 1 << 30
CC = os.environ.get("CC", "cc")
FLAGS = ("-std=c11 -D_GNU_SOURCE -DMSB_TEST -Iinclude -I. "
         "-Wno-all -w").split()
TRAPS = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
LAST = ["tcp_loss", "tcp_random", "tcp_frames"]  # they take longest
GROUPS = re.findall(r"X\((tcp\w*)\)", (TOP / "tests/unit/tests.h").read_text())
GROUPS = [g for g in GROUPS if g not in LAST] + LAST
SOURCES = ("lib/base/*.c lib/link/link.c lib/link/memlink.c lib/link/fault.c "
           "gateway/stack/*.c gateway/wire/*.c tests/unit/tcp_*.c").split()

# What is looked for, and what takes its place
OPS = [
    (r"(?<![-<>])<=", ["<", ">"]),
    (r"(?<![-<>])>=", [">", "<"]),
    (r"==", ["!="]),
    (r"!=", ["=="]),
    (r"(?<![-<>=!])<(?![<=])", ["<=", ">="]),
    (r"(?<![-<>=!])>(?![>=])", [">=", "<="]),
    (r"<<(?!=)", [">>"]),
    (r">>(?!=)", ["<<"]),
    (r"&&", ["||"]),
    (r"\|\|", ["&&"]),
    (r"\+=", ["-="]),
    (r"-=", ["+="]),
    (r"(?<= )\+(?= )", ["-"]),
    (r"(?<= )-(?= )", ["+"]),
    (r"(?<= )\*(?= )", ["/"]),
    (r"(?<= )/(?= )", ["*"]),
    (r"(?<=[( ])!(?=[\w(])", [""]),
    (r"\bseq_lt\(", ["seq_le(", "!seq_lt("]),
    (r"\bseq_le\(", ["seq_lt(", "!seq_le("]),
    (r"\bseq_max\(", ["seq_min("]),
    (r"\bseq_min\(", ["seq_max("]),
    (r"\bMAX\(", ["MIN("]),
    (r"\bMIN\(", ["MAX("]),
    (r"\btrue\b", ["false"]),
    (r"\bfalse\b", ["true"]),
    (r"(?<![\w.\"])\d+(?=[uUlL]*\b)(?!\w*x)", ["+1"]),
]


def blank(text):
    """Comments, strings, directives and invariants as spaces: same length"""
    pat = (r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|"
           r"^#(?:\\\n|[^\n])*|^(?:_Static_assert|COUNT)\(.*?\);|"
           r"\bASSERT\(.*?\);")
    return re.sub(pat, lambda m: re.sub(r"[^\n]", " ", m[0]), text,
                  flags=re.S | re.M)


class Mutant:
    def __init__(self, path, text, start, end, new):
        self.path, self.start, self.end, self.new = path, start, end, new
        self.old = text[start:end]
        self.line = text.count("\n", 0, start) + 1
        self.text = text.split("\n")[self.line - 1].strip()
        self.how = f"{self.old.rstrip('(')} -> {new.rstrip('(') or 'nothing'}"
        # The same operator may stand in a line twice
        begin = text.rfind("\n", 0, start) + 1
        nth = text[begin:start].count(self.old) + 1
        if nth > 1:
            self.how += f" (no. {nth})"

    def apply(self, text):
        return text[:self.start] + self.new + text[self.end:]

    def key(self):
        return self.path.name, self.text, self.how


def mutants(path):
    text = path.read_text(encoding="utf-8")
    code = blank(text)
    for pat, news in OPS:
        for m in re.finditer(pat, code, re.M):
            for new in news:
                if new == "+1":
                    new = str(int(m[0], 0) + 1)
                yield Mutant(path, text, m.start(), m.end(), new)


def explained():
    known = {}
    for line in (HERE / "equal.txt").read_text(encoding="utf-8").split("\n"):
        if not line or line.startswith("#"):
            continue
        name, *text, how, why = (p.strip() for p in line.split(" | "))
        known[name, " | ".join(text), how] = why
    return known


def build_base():
    (OUT / "base").mkdir(parents=True, exist_ok=True)
    main = OUT / "main.c"
    calls = " || ".join(f"{g}_test()" for g in GROUPS)
    decls = "".join(f"int {g}_test(void);\n" for g in GROUPS)
    main.write_text(f"{decls}int main(void) {{ return {calls}; }}\n",
                    encoding="utf-8")
    objs = {}
    jobs = []
    for src in [p for s in SOURCES for p in sorted(TOP.glob(s))] + [main]:
        objs[src] = OUT / "base" / (src.stem + "_" + src.parent.name + ".o")
        jobs.append([CC, *FLAGS, "-O2", "-c", "-o", str(objs[src]),
                     str(src)])
    with ThreadPoolExecutor(JOBS) as pool:
        for rc in pool.map(lambda j: subprocess.run(j, cwd=TOP, check=False)
                           .returncode, jobs):
            if rc:
                sys.exit(2)
    return objs


def limits():
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(objs, name):
    """0 all pass, 1 something fails, -1 it did not link"""
    exe = OUT / name
    cmd = [CC, "-o", str(exe), *map(str, objs), "-lcmocka"]
    if subprocess.run(cmd, cwd=TOP, capture_output=True,
                      check=False).returncode:
        return -1
    env = {**os.environ, "TCP_SEEDS": "12", "TCP_FRAMES": "20000"}
    try:
        return int(subprocess.run([str(exe)], cwd=TOP, env=env, check=False,
                                  stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL,
                                  preexec_fn=limits,
                                  timeout=TIMEOUT_S).returncode != 0)
    except subprocess.TimeoutExpired:
        return 1
    finally:
        exe.unlink()


def judge(job):
    number, m, objs = job
    src = OUT / f"m{number}.c"
    obj = OUT / f"m{number}.o"
    src.write_text(m.apply(m.path.read_text(encoding="utf-8")),
                   encoding="utf-8")
    cmd = [CC, *FLAGS, "-O0", *TRAPS, "-c", "-o", str(obj), str(src)]
    rc = subprocess.run(cmd, cwd=TOP, capture_output=True,
                        check=False).returncode
    verdict = "refused"
    if rc == 0:
        rest = [o for s, o in objs.items() if s != m.path]
        verdict = {0: "survived", 1: "killed",
                   -1: "refused"}[run(rest + [obj], f"t{number}")]
    src.unlink()
    obj.unlink(missing_ok=True)
    return m, verdict


def again(found):
    """Of @found, what survived last time"""
    keys = set()
    for line in REPORT.read_text(encoding="utf-8").split("\n"):
        part = line.split(": ", 3)
        if part[0] == "survived":
            keys.add((part[1], part[3], part[2]))
    return [m for m in found if (where(m), m.text, m.how) in keys]


def where(m):
    return f"{m.path.relative_to(TOP)}:{m.line}"


def pick(found):
    most = int(os.environ.get("MUTATE_MAX", "150"))
    if os.environ.get("MUTATE_AGAIN"):
        return again(found)
    if not 0 < most < len(found):
        return found
    rng = random.Random(int(os.environ.get("MUTATE_SEED", "1")))
    return sorted(rng.sample(found, most), key=lambda m: (m.path, m.start))


def report(lines):
    """Write what is known so far; returns the totals as text"""
    total = ", ".join(f"{sum(v == o for v, _ in lines)} {o}" for o in ORDER)
    text = "\n".join(t for _, t in
                     sorted(lines, key=lambda v: ORDER.index(v[0])))
    REPORT.write_text(f"{total}\n\n{text}\n", encoding="utf-8")
    return total


JOBS = int(os.environ.get("MUTATE_JOBS", "2"))


def main():
    if set(sys.argv[1:]) & {"-h", "--help"}:
        print(__doc__)
        return 0
    files = os.environ.get("MUTATE_FILES", "").split()
    paths = [p for p in sorted((TOP / "gateway/stack").glob("tcp*.c"))
             if not files or p.name in files]
    all_of = [m for p in paths for m in mutants(p)]
    picked = pick(all_of)
    objs = build_base()
    if run(objs.values(), "t"):
        print("mutate: the tests fail without any mutation", file=sys.stderr)
        return 2
    print(f"mutate: {len(picked)} of {len(all_of)} mutants", flush=True)
    known = explained()
    lines = []
    with ThreadPoolExecutor(JOBS) as pool:
        for m, verdict in pool.map(judge, [(i, m, objs) for i, m
                                           in enumerate(picked)]):
            why = ""
            if verdict == "survived" and m.key() in known:
                verdict = "explained"
                why = f"\n\t{known[m.key()]}"
            lines.append((verdict, f"{verdict}: {where(m)}: {m.how}: "
                          f"{m.text}{why}"))
            report(lines)
            if verdict == "survived":
                print(lines[-1][1], flush=True)
    print(f"mutate: {report(lines)}; {REPORT}")
    return 1 if any(v == "survived" for v, _ in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
