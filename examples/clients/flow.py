"""What the flows in Python share: steps that are told one by one, and how a flow ends."""

import sys

failed = 0


def step(name):
    """Runs the decorated function now and says how it went; a failed one does not stop the flow."""

    def run(function):
        global failed
        try:
            function()
            print(f"ok {name}", flush=True)
        except Exception as error:  # Whatever went wrong is what the step reports.
            failed += 1
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            print(f"not ok {name}: {text[:600]}", flush=True)

    return run


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def finish():
    """Ends the program; it fails if a step did."""
    sys.exit(1 if failed else 0)
