"""What the watch says in these tests: that the primary is lost, its replica, or a pooler."""

from model.effects import Alarm, AlarmKind

A = Alarm(kind=AlarmKind.NODE, name="a", how="its process ended")
B = Alarm(kind=AlarmKind.NODE, name="b", how="its process ended")
POOLER = Alarm(kind=AlarmKind.WAY_IN, name="pooler-1-1", how="its container does not run")
