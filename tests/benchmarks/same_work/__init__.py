"""Works that taskkit and others do alike, each measured by beside.py."""
