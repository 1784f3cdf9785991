"""What is checked of everything that comes from outside: options, files, names, text."""

from zoo.checks.options import refuse as refuse
from zoo.checks.options import seed_fault as seed_fault
from zoo.checks.options import whole_fault as whole_fault
from zoo.checks.options import writable_fault as writable_fault
from zoo.checks.plain_text import one_line as one_line
from zoo.checks.plain_text import plain as plain
from zoo.checks.plain_text import write_controls as write_controls
from zoo.checks.text_files import read_json as read_json
