"""What `zoo COMMAND` runs: a module for each command, with `main(arguments)`."""
