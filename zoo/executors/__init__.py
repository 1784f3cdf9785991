"""Running tasks in processes that end with the one that started them."""

from zoo.executors.parent_watch import PATIENCE as PATIENCE
from zoo.executors.parent_watch import ends_with_parent as ends_with_parent
