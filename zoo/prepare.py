"""`python -m zoo.prepare` is `zoo prepare`."""

from zoo.__main__ import program

main = program("prepare")

if __name__ == "__main__":
    raise SystemExit(main())
