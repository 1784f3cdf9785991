"""`python -m zoo.train` is `zoo train`."""

from zoo.__main__ import program

main = program("train")

if __name__ == "__main__":
    raise SystemExit(main())
