"""macOS frameworks by ctypes; loaded only by a sensor that was asked for on macOS."""
