"""`python -m zoo.distill` is `zoo distill`."""

from zoo.__main__ import program

main = program("distill")

if __name__ == "__main__":
    raise SystemExit(main())
