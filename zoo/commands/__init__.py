"""What `zoo COMMAND` runs: a module for each command, with `main(arguments)`.

For commands of plugins, `cli` has what all commands share, and `gin_program` what those with gin files share.
"""

from zoo.commands import cli as cli
from zoo.commands import gin_program as gin_program
