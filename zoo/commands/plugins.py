"""Say what plugin packages bring, and which of them are broken."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from dataclasses import asdict

from zoo import registry
from zoo.commands import cli

NONE = "No plugins are installed. zoo new-plugin NAME writes one to begin with."


def main(arguments: list[str]) -> int:
    """Run the command and give its exit code."""
    parser = cli.parser(
        "zoo plugins",
        "List the installed plugin packages: version, what each brings, and whether all of it can be used; if not, why "
        f"and what to type. Exits with 0 whatever it finds, unless --check is given. {registry.SAFE_MODE}=1 makes any "
        "command do without plugins.",
        ["zoo plugins", "zoo plugins --check", "zoo plugins --json"],
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a plugin is broken")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    options = parser.parse_args(arguments)
    from zoo.commands.installed import examine_plugins

    # A plugin may print or warn while it is imported; that must not end up among what other programs read.
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        plugins = examine_plugins()
    if options.json:
        content = [{**asdict(plugin), "state": plugin.state} for plugin in plugins]
        for entry in content:
            del entry["failures"]  # the problems say the same, once for each cause
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    elif registry.safe_mode():
        sys.stdout.write(f"{registry.SAFE_MODE} is set: plugins are left out. Unset it to see them.\n")
    elif not plugins:
        sys.stdout.write(f"{NONE}\n")
    else:
        rows = [("distribution", "version", "state", "brings")]
        cli.write_table(rows + [(each.distribution, each.version, each.state, each.describe()) for each in plugins])
        for each in plugins:
            for problem in each.problems:
                sys.stdout.write(f"broken: {each.distribution} {each.version}: {problem}\n")
    return 1 if options.check and any(plugin.problems for plugin in plugins) else 0
