"""Run plain test files under any interpreter: `run.py FILE...`, MicroPython above all.

A test is a function whose name begins with `test_` and that takes nothing. The last line says
`N passed, N failed`, and the exit code is 1 where one failed.
"""

import sys


def report(name: str, error: Exception) -> None:
    """Say which test failed, and where."""
    print("FAILED %s" % name)
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        sys.excepthook(type(error), error, error.__traceback__)


def run(paths: "list[str]", without: "tuple[str, ...]" = ()) -> int:
    """Run the tests of these files, without those of these names; return how many failed."""
    passed = failed = 0
    for path in paths:
        folder, _, file = path.rpartition("/")
        sys.path.insert(0, folder or ".")
        module = __import__(file.rsplit(".", 1)[0])
        for name in sorted(dir(module)):
            if not name.startswith("test_") or name in without:
                continue
            try:
                getattr(module, name)()
            except Exception as error:
                failed += 1
                report("%s: %s" % (file, name), error)
            else:
                passed += 1
        sys.path.pop(0)
    print("%d passed, %d failed" % (passed, failed))
    return failed


if __name__ == "__main__":
    sys.exit(1 if run(sys.argv[1:]) else 0)
