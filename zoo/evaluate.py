"""`python -m zoo.evaluate` is `zoo evaluate`."""

from zoo.__main__ import program

main = program("evaluate")

if __name__ == "__main__":
    raise SystemExit(main())
