"""Reading gin files, checking them, and calling what they configure: the one place that knows gin."""

from zoo.gin_config.configure import configure as configure
from zoo.gin_config.files import Binding as Binding
from zoo.gin_config.files import read_files as read_files
