"""ondeck: what an experiment does with its runs after the DAQ has closed them."""

__version__ = "0.1.0"
